"""What the CPU of this machine says of itself."""

import platform
from functools import cache
from pathlib import Path


def name() -> str:
    """Its model, or the best that is known of it."""
    return _said("model name") or platform.processor() or platform.machine()


def flags() -> set[str]:
    """The names of what it can do; none where it does not say."""
    return set(_said("flags").split())


@cache
def _said(field: str) -> str:
    """What the first core says under a field of /proc/cpuinfo; nothing where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    parts = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in parts if key.strip() == field), "")
