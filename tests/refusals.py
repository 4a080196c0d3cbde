"""What the tests of presets expect of a wrong one."""

from pathlib import Path

import pytest

from cgankd.errors import UserError
from cgankd.preset import load


def refused(source: str | Path, words: str, changes: list[str] | None = None) -> UserError:
    """The message of a preset that is refused with these words."""
    with pytest.raises(UserError, match=words) as caught:
        load(source, changes)
    assert caught.value.code == 2
    return caught.value
