"""How the published state dicts are named: data only, which cgankd/published.py applies.

A layout lists the words of its module names in the order in which our network has the modules. Our networks are
written down in the order of the forward pass, so a layout says which published module is which of ours.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

WRAPPERS = ("net_state_dict", "state_dict", "model_state_dict")  # where files keep their tensors, if not at the top


@dataclass(frozen=True)
class Layout:
    """The names of one published network; `networks` is a pattern of the `kind` that it is of ours."""

    networks: str
    order: str
    renames: tuple[tuple[str, str], ...] = ()  # patterns of names, applied before the order
    unused: str = "(?!)"  # tensors that the published network holds and never uses
    wrappers: tuple[str, ...] = ("", *WRAPPERS)  # an empty one: at the top
    needs: dict[str, Any] = field(default_factory=dict)  # settings of our network without which it is another

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


def kind(design: dict[str, Any]) -> str:
    """What a layout is for: a network's name, with its trunk where it has one."""
    return f"{design['name']} {design.get('trunk', '')}".strip()


def known_for(design: dict[str, Any]) -> dict[str, Layout]:
    """The published layouts of a network."""
    return {name: layout for name, layout in LAYOUTS.items() if re.fullmatch(layout.networks, kind(design))}


def twin(layouts: Iterable[Layout], wrapper: str) -> str:
    """The layout with the same names that files with this wrapper have."""
    orders = {layout.order for layout in layouts}
    return next(name for name, one in LAYOUTS.items() if one.order in orders and wrapper in one.wrappers)


_REST = "conv2 bn2 conv3 bn3 shortcut"
_STAGES = f"conv1 bn1 layer1 layer2 layer3 layer4 {_REST} linear"
_DENSE = "bn1 conv1 bn2 conv2 dense1 trans1 dense2 trans2 dense3 trans3 dense4 bn conv"
LAYOUTS = {
    "VGG": Layout(r"cnn vgg\d+", "features classifier"),
    "ShuffleNetV2": Layout(
        "cnn shufflenetv2", "conv1 bn1 layer1 layer2 layer3 conv2 bn2 conv3 bn3 conv4 bn4 conv5 bn5 linear"
    ),
    "MobileNetV2": Layout("cnn mobilenetv2", f"conv1 bn1 layers {_REST} linear"),
    "EfficientNet-B0": Layout(
        "cnn efficientnet-b0",
        "conv1 bn1 layers conv2 bn2 se se1 se2 conv3 bn3 linear",
        unused=r"layers\.0\.(conv|bn)1\.",  # 1,088 parameters; its first block has nothing to expand
    ),
    "ResNet": Layout("cnn resnet(18|34|50)", f"main conv1 bn1 {_REST} classifier"),
    # The same names for two forward passes: only what is around the tensors tells the files apart.
    "ResNet of SSKD": Layout("cnn resnet(18|34|50)", _STAGES, wrappers=("", "state_dict")),
    "ResNet of Distiller": Layout("cnn resnet(18|50)-uda", _STAGES, wrappers=("", "model_state_dict")),
    "DenseNet121": Layout("cnn densenet121", f"{_DENSE} linear"),
    "DenseNet121-extract": Layout("cnn-features densenet121", f"{_DENSE} classifier_1 classifier_2"),
    "cDR-MLP": Layout("ratio", "label_emb main", needs={"output": "relu"}),
    "BigGAN": Layout(
        "biggan",
        "shared linear blocks bn1 norm gain bias bn2 conv1 conv2 conv_sc attention theta phi g o output_layer",
        renames=(
            (r"(\.bn\d)\.stored_(mean|var)$", r"\1.norm.running_\2"),
            (r"^(output_layer\.0)\.stored_(mean|var)$", r"\1.running_\2"),
            (r"^(output_layer\.0)\.gain$", r"\1.weight"),
            (r"^blocks\.(\d+)\.0\.", r"blocks.\1."),
            (r"^blocks\.(\d+)\.1\.", r"attention.\1."),
        ),
    ),
}
