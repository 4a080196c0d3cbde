"""The arithmetic that networks are trained in: as asked, or by a table of what was measured.

bf16 is mixed precision: convolutions and matrix products in bfloat16, weights, sums, norms and
losses in fp32. Networks are scored in fp32, whatever they were trained in.
"""

from cgankd import cpu

# Steps on a CPU with bf16 instructions against fp32 steps (32x32, batch 128, one thread, AMX):
# resnet8 2.0, resnet20 2.2, vgg11 2.1, resnet18 2.9, mobilenetv2 1.4, densenet121 2.3 times as
# fast; shufflenetv2 0.8, efficientnet-b0 0.4, and 1.0 of networks narrowed by _x, whose time goes
# elsewhere; steps of a BigGAN of width 8 at 16x16, batch 32, 1.3, and its fakes are as good (three
# splits). On a GPU (H100) steps of a BigGAN of width 64 were 1.5 times as fast as in TF32; how good
# their fakes are has not been compared there.
FASTER_IN_BF16 = {"cpu": ("resnet", "vgg", "mobilenetv2", "densenet", "biggan")}
INSTRUCTIONS = ("avx512_bf16", "amx_bf16")  # as /proc/cpuinfo names them


def choose(asked: str, device: str, network: str) -> str:
    """fp32 or bf16: what was `asked` for, or for auto what the table says of a network's name."""
    if asked != "auto":
        return asked
    supported = device != "cpu" or bool(instructions())
    narrow = "_x" in network
    fast = network.startswith(FASTER_IN_BF16.get(device, ()))
    return "bf16" if supported and fast and not narrow else "fp32"


def instructions() -> tuple[str, ...]:
    """Those of INSTRUCTIONS that this machine's CPU has."""
    known = cpu.flags()
    return tuple(name for name in INSTRUCTIONS if name in known)
