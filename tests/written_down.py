"""Published networks written down again, by their published names, with random weights."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import relu, silu


class Published:
    """Random tensors by published name, and the layers that read them in eval mode."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.state: dict[str, Tensor] = {}

    def tensor(self, name: str, *shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
        return self.state.setdefault(name, torch.rand(shape) * (high - low) + low)

    def conv(
        self,
        name: str,
        x: Tensor,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        bias=False,
    ):
        inputs = x.shape[1] // groups
        size = 3 / (inputs * kernel**2) ** 0.5
        weight = self.tensor(
            f"{name}.weight", outputs, inputs, kernel, kernel, low=-size, high=size
        )
        offset = self.tensor(f"{name}.bias", outputs) if bias else None
        return F.conv2d(x, weight, offset, stride, kernel // 2, groups=groups)

    def norm(self, name: str, x: Tensor) -> Tensor:
        channels = x.shape[1]
        mean, var = (
            self.tensor(f"{name}.running_mean", channels),
            self.tensor(f"{name}.running_var", channels, low=0.5),
        )
        gain, bias = (
            self.tensor(f"{name}.weight", channels, low=0.5),
            self.tensor(f"{name}.bias", channels),
        )
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)
        return F.batch_norm(x, mean, var, gain, bias)

    def linear(self, name: str, x: Tensor, outputs: int) -> Tensor:
        size = 2 / x.shape[1] ** 0.5
        weight = self.tensor(f"{name}.weight", outputs, x.shape[1], low=-size, high=size)
        return F.linear(x, weight, self.tensor(f"{name}.bias", outputs))


def uda_resnet18(p: Published, x: Tensor) -> Tensor:
    x = relu(p.norm("bn1", p.conv("conv1", x, 64, 3)))
    for stage in (1, 2, 3, 4):
        for index in (0, 1):
            name, width, stride = (
                f"layer{stage}.{index}",
                32 << stage,
                2 if stage > 1 and index == 0 else 1,
            )
            h = relu(p.norm(f"{name}.bn1", p.conv(f"{name}.conv1", x, width, 3, stride)))
            h = p.norm(f"{name}.bn2", p.conv(f"{name}.conv2", h, width, 3))
            if x.shape != h.shape:
                x = p.norm(f"{name}.shortcut.1", p.conv(f"{name}.shortcut.0", x, width, 1, stride))
            x = h + x  # not rectified within a stage
        x = relu(x)
    return p.linear("linear", x.mean((2, 3)), 3)


EFFICIENTNET = (  # expansion, width, number of blocks, kernel, first stride
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)


def efficientnet(p: Published, x: Tensor) -> Tensor:
    x = silu(p.norm("bn1", p.conv("conv1", x, 32, 3)))
    index = 0
    for expansion, outputs, num_blocks, kernel, first in EFFICIENTNET:
        for stride in [first] + [1] * (num_blocks - 1):
            name, inputs = f"layers.{index}", x.shape[1]
            wide = inputs * expansion
            h = silu(
                p.norm(f"{name}.bn1", p.conv(f"{name}.conv1", x, wide))
            )  # the first block has it, unused
            h = x if expansion == 1 else h
            h = silu(p.norm(f"{name}.bn2", p.conv(f"{name}.conv2", h, wide, kernel, stride, wide)))
            gate = silu(
                p.conv(f"{name}.se.se1", h.mean((2, 3), keepdim=True), inputs // 4, bias=True)
            )
            h = h * p.conv(f"{name}.se.se2", gate, wide, bias=True).sigmoid()
            h = p.norm(f"{name}.bn3", p.conv(f"{name}.conv3", h, outputs))
            x = x + h if stride == 1 and inputs == outputs else h
            index += 1
    return p.linear("linear", x.mean((2, 3)), 3)


def ratio(p: Published, features: Tensor, embedded: Tensor) -> Tensor:
    x = torch.cat([embedded, features], 1)
    for index, width in enumerate((64, 32, 16, 8, 8)):
        x = p.linear(f"main.{4 * index}", x, width)
        gain, bias = (
            p.tensor(f"main.{4 * index + 1}.{name}", width) for name in ("weight", "bias")
        )
        x = relu(F.group_norm(x, max(1, min(8, width // 16)), gain, bias))
    return relu(p.linear("main.20", x, 1)).squeeze(1)


def label_embedding(p: Published, labels: Tensor) -> Tensor:
    x = labels[:, None] + 1e-8
    for index in range(4):
        x = p.linear(f"main.{3 * index}", x, 128)
        gain, bias = (p.tensor(f"main.{3 * index + 1}.{name}", 128) for name in ("weight", "bias"))
        x = relu(F.group_norm(x, 8, gain, bias))
    return relu(p.linear("main.12", x, 128))


def sparse_encoder(p: Published, x: Tensor) -> Tensor:
    names = iter(range(0, 100, 3))
    for width in (2, 4, 8):
        for outputs, kernel, stride in ((width, 4, 2), (width, 3, 1)):
            x = halve_or_refine(p, next(names), x, outputs, kernel, stride)
    x = halve_or_refine(p, next(names), x, 16, 4, 2)
    return relu(p.conv(f"conv.{next(names)}", x, 3, 3, bias=True)).flatten(1)


def halve_or_refine(
    p: Published, name: int, x: Tensor, outputs: int, kernel: int, stride: int
) -> Tensor:
    weight = p.tensor(f"conv.{name}.weight", outputs, x.shape[1], kernel, kernel)
    x = F.conv2d(x, weight, p.tensor(f"conv.{name}.bias", outputs), stride, 1)
    return relu(p.norm(f"conv.{name + 1}", x))


class Ccgan(Published):
    """The published generators of a continuous label: `normalised` spectrally or not."""

    normalised = False

    def conv(self, name: str, x: Tensor, outputs: int, kernel: int = 1) -> Tensor:
        weight = self.weight(name, outputs, x.shape[1], kernel, kernel)
        return F.conv2d(x, weight, self.state[f"{name}.bias"], padding=kernel // 2)

    def linear(self, name: str, x: Tensor, outputs: int) -> Tensor:
        return F.linear(x, self.weight(name, outputs, x.shape[1]), self.state[f"{name}.bias"])

    def weight(self, name: str, *shape: int) -> Tensor:
        """A layer's weight, divided by u W v; the layer has a bias."""
        self.tensor(f"{name}.bias", shape[0])
        size = 3 / torch.Size(shape[1:]).numel() ** 0.5
        if not self.normalised:
            return self.tensor(f"{name}.weight", *shape, low=-size, high=size)
        weight = self.tensor(f"{name}.weight_orig", *shape, low=-size, high=size)
        matrix = weight.flatten(1)
        v = self.state.setdefault(
            f"{name}.weight_v", F.normalize(torch.rand(shape[0]) @ matrix, dim=0)
        )
        u = self.state.setdefault(f"{name}.weight_u", F.normalize(matrix @ v, dim=0))
        return weight / (u @ matrix @ v)

    def conditional_norm(self, name: str, x: Tensor, h: Tensor) -> Tensor:
        channels = x.shape[1]
        mean, var = (
            self.tensor(f"{name}.bn.running_{part}", channels, low=0.5) for part in ("mean", "var")
        )
        self.state[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)
        gain, bias = (
            F.linear(h, self.tensor(f"{name}.embed_{part}.weight", channels, h.shape[1]))
            for part in ("gamma", "beta")
        )
        normalised = F.batch_norm(x, mean, var)
        return normalised * (1 + gain[:, :, None, None]) + bias[:, :, None, None]

    def block(
        self, name: str, x: Tensor, h: Tensor, outputs: int, norm: str, convs: list[str]
    ) -> Tensor:
        y = F.interpolate(relu(self.conditional_norm(f"{name}.{norm}1", x, h)), scale_factor=2)
        y = self.conv(f"{name}.{convs[0]}", y, outputs, 3)
        y = self.conv(
            f"{name}.{convs[1]}", relu(self.conditional_norm(f"{name}.{norm}2", y, h)), outputs, 3
        )
        return y + self.conv(f"{name}.{convs[2]}", F.interpolate(x, scale_factor=2), outputs)


class Sngan(Ccgan):
    def __call__(self, z: Tensor, h: Tensor, widths: list[int]) -> Tensor:
        x = self.linear("dense", z, widths[0] * 16).view(len(z), -1, 4, 4)
        for index, outputs in enumerate(widths[1:]):
            name = f"genblock{index}"
            inputs = x.shape[1]
            x = self.block(name, x, h, outputs, "condbn", ["conv1", "conv2", "bypass_conv"])
            for alias, part in (
                ("model.3", "conv1"),
                ("model.6", "conv2"),
                ("bypass.1", "bypass_conv"),
            ):
                self.state |= {
                    f"{name}.{alias}.{kind}": self.state[f"{name}.{part}.{kind}"]
                    for kind in ("weight", "bias")
                }
            for unused, channels in ((0, inputs), (4, outputs)):
                self.norm(f"{name}.model.{unused}", torch.zeros(1, channels, 1, 1))
        return self.conv("final.2", relu(self.norm("final.0", x)), 3, 3).tanh()


class Sagan(Ccgan):
    normalised = True

    def __call__(self, z: Tensor, h: Tensor, widths: list[int]) -> Tensor:
        x = self.linear("snlinear0", z, widths[0] * 16).view(len(z), -1, 4, 4)
        for index, outputs in enumerate(widths[1:], 1):
            x = self.attention("self_attn", x) if index == len(widths) - 1 else x
            x = self.block(
                f"block{index}", x, h, outputs, "cond_bn", ["snconv2d1", "snconv2d2", "snconv2d0"]
            )
        return self.conv("snconv2d1", relu(self.norm("bn", x)), 3, 3).tanh()

    def attention(self, name: str, x: Tensor) -> Tensor:
        channels = x.shape[1]
        theta = self.conv(f"{name}.snconv1x1_theta", x, channels // 8).flatten(2)
        phi = F.max_pool2d(self.conv(f"{name}.snconv1x1_phi", x, channels // 8), 2).flatten(2)
        g = F.max_pool2d(self.conv(f"{name}.snconv1x1_g", x, channels // 2), 2).flatten(2)
        attention = (theta.transpose(1, 2) @ phi).softmax(-1)
        seen = (g @ attention.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        return x + self.tensor(f"{name}.sigma", 1, low=0.5) * self.conv(
            f"{name}.snconv1x1_attn", seen, channels
        )


class BigGan(Published):
    """The published generator, its weights divided by singular values from one power iteration at
    each evaluation.
    """

    def spectral(self, name: str, *shape: int, bias: int = 0) -> tuple[Tensor, Tensor | None]:
        weight, u = self.tensor(f"{name}.weight", *shape), self.tensor(f"{name}.u0", 1, shape[0])
        self.tensor(f"{name}.sv0", 1)
        matrix = weight.view(shape[0], -1)
        v = F.normalize(u @ matrix, eps=1e-12)
        u = F.normalize(v @ matrix.t(), eps=1e-12)
        return weight / (v @ matrix.t() @ u.t()).squeeze(), self.tensor(
            f"{name}.bias", bias
        ) if bias else None

    def sn_conv(self, name: str, x: Tensor, outputs: int, kernel: int, bias: bool = True) -> Tensor:
        weight, offset = self.spectral(
            name, outputs, x.shape[1], kernel, kernel, bias=outputs if bias else 0
        )
        return F.conv2d(x, weight, offset, padding=kernel // 2)

    def batch_norm(self, name: str, x: Tensor) -> Tensor:
        mean, var = (
            self.tensor(f"{name}.stored_mean", x.shape[1]),
            self.tensor(f"{name}.stored_var", x.shape[1], low=0.5),
        )
        return F.batch_norm(x, mean, var)

    def conditional_norm(self, name: str, x: Tensor, condition: Tensor) -> Tensor:
        def affine(part: str) -> Tensor:
            if condition.ndim == 1:
                return self.tensor(f"{name}.{part}.weight", 5, x.shape[1])[condition]
            return F.linear(
                condition, self.spectral(f"{name}.{part}", x.shape[1], condition.shape[1])[0]
            )

        gain, bias = (affine(part)[:, :, None, None] for part in ("gain", "bias"))
        return self.batch_norm(name, x) * (1 + gain) + bias

    def attention(self, name: str, x: Tensor) -> Tensor:
        channels = x.shape[1]
        theta = self.sn_conv(f"{name}.theta", x, channels // 8, 1, bias=False).flatten(2)
        phi = F.max_pool2d(self.sn_conv(f"{name}.phi", x, channels // 8, 1, bias=False), 2).flatten(
            2
        )
        g = F.max_pool2d(self.sn_conv(f"{name}.g", x, channels // 2, 1, bias=False), 2).flatten(2)
        beta = (theta.transpose(1, 2) @ phi).softmax(-1)
        seen = (g @ beta.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        return (
            self.tensor(f"{name}.gamma") * self.sn_conv(f"{name}.o", seen, channels, 1, bias=False)
            + x
        )

    def __call__(
        self, z: Tensor, classes: Tensor, widths: list[int], shared: int = 0, attend_at: int = 0
    ) -> Tensor:
        """Images of 5 classes."""
        conditions = [classes] * len(widths)
        if shared:
            z, *chunks = z.split(z.shape[1] // len(widths), 1)
            embedded = self.tensor("shared.weight", 5, shared)[classes]
            conditions = [torch.cat([embedded, chunk], 1) for chunk in chunks]
        weight, bias = self.spectral("linear", widths[0] * 16, z.shape[1], bias=widths[0] * 16)
        x = F.linear(z, weight, bias).view(len(z), -1, 4, 4)
        for index, (_, outputs) in enumerate(itertools.pairwise(widths)):
            name, condition = f"blocks.{index}.0", conditions[index]
            h = relu(self.conditional_norm(f"{name}.bn1", x, condition))
            h, x = F.interpolate(h, scale_factor=2), F.interpolate(x, scale_factor=2)
            h = self.sn_conv(f"{name}.conv1", h, outputs, 3)
            h = self.sn_conv(
                f"{name}.conv2",
                relu(self.conditional_norm(f"{name}.bn2", h, condition)),
                outputs,
                3,
            )
            x = h + self.sn_conv(f"{name}.conv_sc", x, outputs, 1)
            if x.shape[-1] == attend_at:
                x = self.attention(f"blocks.{index}.1", x)
        gain, bias = (
            self.tensor(f"output_layer.0.{name}", x.shape[1]) for name in ("gain", "bias")
        )
        x = relu(self.batch_norm("output_layer.0", x) * gain[:, None, None] + bias[:, None, None])
        return self.sn_conv("output_layer.2", x, 3, 3).tanh()
