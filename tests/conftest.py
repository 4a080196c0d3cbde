"""One thread per process: results depend on the number of threads, and many small tests run faster so."""

import os

import pytest
import toy

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", params=["digits", "digits-angle"])
def chain(request, tmp_path_factory):
    """A whole toy chain that nothing disturbed; tests that change it copy it first."""
    root = tmp_path_factory.mktemp("chain") / request.param
    toy.build_all(root, request.param)
    return request.param, root
