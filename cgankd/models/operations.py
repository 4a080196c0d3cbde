"""What a network computes: multiply-adds of convolutions and matrix products."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Operations(TorchDispatchMode):
    """Counts in `num` the multiply-adds of what runs inside, by torch's own formulas."""

    num = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.num += formula(*args, **(kwargs or {}), out_val=result) // 2
        return result
