"""How the published state dicts are named: data only, which cgankd/published.py applies.

A layout lists the words of its module names in the order in which our network has the modules. Our
networks are written down in the order of the forward pass, so a layout says which published module
is which of ours.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# Fmt: skip.
WRAPPERS = (  # where files keep their tensors, if not at the top
    "net_state_dict",
    "state_dict",
    "model_state_dict",
    "netG_state_dict",
    "encoder_net_state_dict",
    "net_encoder_state_dict",
)


@dataclass(frozen=True)
class Layout:
    """The names of one published network; `networks` is a pattern of the `kind` that it is of
    ours.
    """

    networks: str
    order: str
    renames: tuple[tuple[str, str], ...] = ()  # patterns of names, applied before the order
    unused: str = "(?!)"  # tensors that the published network holds and never uses
    wrappers: tuple[str, ...] = ("", *WRAPPERS)  # an empty one: at the top
    # Settings of our network without which it is another.
    needs: dict[str, Any] = field(default_factory=dict)

    def place(self, module: str) -> tuple[int, ...] | None:
        """What modules are sorted by; None for a name that is not of this layout."""
        words, parts = self.order.split(), module.split(".")
        if not all(part in words or re.fullmatch("[0-9]{1,4}", part) for part in parts):
            return None
        return tuple(words.index(part) if part in words else int(part) for part in parts)

    def rename(self, name: str) -> str:
        """The name of a tensor with all patterns applied."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name


def kind(architecture: dict[str, Any]) -> str:
    """What a layout is for: a network's name, with its trunk where it has one, and whether it has a
    deeper head.
    """
    trunk = [architecture["trunk"]] if "trunk" in architecture else []
    head = ["with head"] if "head" in architecture else []
    return " ".join([architecture["name"], *trunk, *head])


def known_for(architecture: dict[str, Any]) -> dict[str, Layout]:
    """The published layouts of a network."""
    return {
        name: layout
        for name, layout in LAYOUTS.items()
        if re.fullmatch(layout.networks, kind(architecture))
    }


def twin(layouts: Iterable[Layout], wrapper: str) -> str:
    """The layout with the same names that files with this wrapper have."""
    orders = {layout.order for layout in layouts}
    return next(
        name for name, one in LAYOUTS.items() if one.order in orders and wrapper in one.wrappers
    )


_REST = "conv2 bn2 conv3 bn3 shortcut"
_STAGES = f"conv1 bn1 layer1 layer2 layer3 layer4 {_REST} linear"
_DENSE = "bn1 conv1 bn2 conv2 dense1 trans1 dense2 trans2 dense3 trans3 dense4 bn conv"
_BLOCKS = "genblock0 genblock1 genblock2 genblock3"
LAYOUTS = {
    "VGG": Layout(r"cnn vgg\d+", "features classifier"),
    "ShuffleNetV2": Layout(
        "cnn shufflenetv2",
        "conv1 bn1 layer1 layer2 layer3 conv2 bn2 conv3 bn3 conv4 bn4 conv5 bn5 linear",
    ),
    "MobileNetV2": Layout("cnn mobilenetv2", f"conv1 bn1 layers {_REST} linear"),
    "EfficientNet-B0": Layout(
        "cnn efficientnet-b0",
        "conv1 bn1 layers conv2 bn2 se se1 se2 conv3 bn3 linear",
        # 1,088 parameters; its first block has nothing to expand
        unused=r"layers\.0\.(conv|bn)1\.",
    ),
    "ResNet": Layout("cnn resnet(18|34|50)", f"main conv1 bn1 {_REST} classifier"),
    # The same names for two forward passes: only what is around the tensors tells the files apart.
    "ResNet of SSKD": Layout("cnn resnet(18|34|50)", _STAGES, wrappers=("", "state_dict")),
    "ResNet of Distiller": Layout(
        "cnn resnet(18|50)-uda", _STAGES, wrappers=("", "model_state_dict")
    ),
    "DenseNet121": Layout("cnn densenet121( with head)?", f"{_DENSE} linear"),
    "DenseNet121-extract": Layout(
        "cnn-features densenet121", f"{_DENSE} classifier_1 classifier_2"
    ),
    "cDR-MLP": Layout("ratio", "label_emb main", needs={"output": "relu"}),
    "BigGAN": Layout(
        "biggan",
        "shared linear blocks bn1 norm gain bias bn2 conv1 conv2 conv_sc attention theta phi g o "
        "output_layer",
        renames=(
            (r"(\.bn\d)\.stored_(mean|var)$", r"\1.norm.running_\2"),
            (r"^(output_layer\.0)\.stored_(mean|var)$", r"\1.running_\2"),
            (r"^(output_layer\.0)\.gain$", r"\1.weight"),
            (r"^blocks\.(\d+)\.0\.", r"blocks.\1."),
            (r"^blocks\.(\d+)\.1\.", r"attention.\1."),
        ),
    ),
    "VGG regressor": Layout(r"cnn vgg\d+ with head", "features fc"),
    "ResNet regressor": Layout(
        r"cnn resnet(18|34|50) with head", f"block1 block2 block3 block4 conv1 bn1 {_REST} linear"
    ),
    "ShuffleNetV2 regressor": Layout(
        "cnn shufflenetv2-imagenet with head", "conv1 stage2 stage3 stage4 branch1 branch2 conv5 fc"
    ),
    "MobileNetV2 regressor": Layout(
        "cnn mobilenetv2-imagenet with head", "features conv classifier"
    ),
    "EfficientNet-B0 regressor": Layout(
        "cnn efficientnet-b0-imagenet with head",
        "_conv_stem _expand_conv _bn0 _blocks _conv_head _depthwise_conv _bn1 _se_reduce "
        "_se_expand _project_conv _bn2 "
        "_fc",
    ),
    "SNGAN": Layout(
        "sngan",
        f"dense {_BLOCKS} condbn1 condbn2 bn embed_gamma embed_beta conv1 conv2 bypass_conv model "
        "bypass final",
        # other names of the same tensors, and batch norms that nothing runs
        unused=r"genblock\d\.(model|bypass)\.",
    ),
    "SAGAN": Layout(
        "sagan",
        "snlinear0 block1 block2 block3 block4 self_attn cond_bn1 cond_bn2 bn embed_gamma "
        "embed_beta "
        "snconv2d1 snconv2d2 snconv2d0 snconv1x1_theta snconv1x1_phi snconv1x1_g snconv1x1_attn",
        renames=((r"\.sigma$", ".gamma"),),
    ),
    "ResNet embedding": Layout(
        "image-embedding resnet(18|34)", f"main conv1 bn1 {_REST} x2h_res h2y"
    ),
    "label embedding": Layout("label-embedding", "main"),
    "sparse encoder": Layout("sparse-encoder", "conv"),
}
