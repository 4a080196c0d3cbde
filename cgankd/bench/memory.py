"""The peak of memory that a piece of work takes."""

from pathlib import Path

import torch


def reset_peak(device: torch.device) -> None:
    """Begins to count the peak of memory anew, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def peak(device: torch.device) -> int | None:
    """The peak of memory in bytes since then: of a GPU what tensors took, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), None)
