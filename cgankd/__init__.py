"""Knowledge distillation through the samples of a conditional GAN (cGAN-KD, Ding et al.).

`Run` builds runs from Python as the command line does, `load` gives a trained network to use; what
goes wrong by the user's doing is a `UserError`. Importing this costs nothing: each is imported when
it is first asked for.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from cgankd.version import VERSION as __version__

if TYPE_CHECKING:
    from cgankd.api import Run
    from cgankd.deploy.loading import load
    from cgankd.deploy.trained import Trained
    from cgankd.errors import UserError

__all__ = ["Run", "Trained", "UserError", "__version__", "load"]

# Threads that spin while they wait make a training step several times slower as soon as anything
# else computes on the machine (measured: 100 ms instead of 450 to 950 ms). OpenMP reads this when
# torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOMES = {
    "Run": "cgankd.api",
    "Trained": "cgankd.deploy.trained",
    "UserError": "cgankd.errors",
    "load": "cgankd.deploy.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
