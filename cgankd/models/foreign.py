"""Networks of timm and torchvision as trunks, by names such as timm/resnet26 and
torchvision/resnet18: made anew, or with the weights of a local file; nothing is downloaded.

They see images at their own side, normalised by their own constants. Their classifier is left out;
N images become features (N, D), as of any trunk.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cgankd.errors import DATA, USAGE, UserError
from cgankd.preset.kinds import FOREIGN, did_you_mean

State = dict[str, Tensor]
OPTIONAL = "num_batches_tracked"  # not read in eval mode, and older files lack it


@dataclass(frozen=True)
class Facts:
    """What a library says of a network before it is made."""

    side: int  # of the images that it was designed for
    mean: list[float]  # of their pixels in [0, 1]
    std: list[float]
    resizable: bool  # whether any side will do, without telling it


def is_foreign(trunk: str) -> bool:
    """Whether a trunk is of another library."""
    return trunk.partition("/")[0] in FOREIGN


def facts(trunk: str) -> Facts:
    """What its library says of a network; UserError where there is none of that name, or the
    library is not installed.
    """
    library, _, name = trunk.partition("/")
    return _timm_facts(name) if library == "timm" else _torchvision_facts(name)


class ForeignTrunk(nn.Module):
    """(N, 3, S, S), normalised -> (N, D)."""

    def __init__(self, trunk: str, side: int) -> None:
        super().__init__()
        known, (library, _, name) = facts(trunk), trunk.partition("/")
        sized = side if side != known.side and not known.resizable else None
        make = _make_timm if library == "timm" else _make_torchvision
        wanted = torch.get_default_device()
        with torch.device("cpu"):  # some look at values while they are made, and meta has none
            model, self.num_features, self.classifier = make(name, sized)
        self.model = model.to(wanted)

    def forward(self, images: Tensor) -> Tensor:
        features = self.model(images)
        assert isinstance(features, Tensor), "networks with several outputs are refused"
        return features.flatten(1)


def fill(network: Any, state: State, where: str, *, tune: bool) -> None:
    """Puts the weights of a file into a network with such a trunk. Its classifier must have as many
    outputs, or is, where they are to be tuned, left as it is. UserError naming what does not fit.
    """
    trunk = network.trunk
    prefix = f"{trunk.classifier}."
    rest = {key: value for key, value in state.items() if not key.startswith(prefix)}
    _load(trunk.model, rest, where)
    last = {key.removeprefix(prefix): value for key, value in state.items() if key not in rest}
    head, found = network.head, last.get("weight", torch.empty(0)).shape
    if isinstance(head, nn.Linear) and found == head.weight.shape:
        _load(head, last, where)
    elif not tune:
        outputs = next(reversed(list(network.head.parameters()))).shape[0]
        raise UserError(
            f"{where}: {trunk.classifier} is {tuple(found)}, expected {outputs} outputs of "
            f"{trunk.num_features} features",
            DATA,
            "to train it from these weights with outputs of its own, set teacher.tune = true",
        )


def _load(module: nn.Module, state: State, where: str) -> None:
    own = module.state_dict()
    for key in [*own, *state]:
        missing = key not in state and not key.endswith(OPTIONAL)
        if missing or key not in own or (key in state and state[key].shape != own[key].shape):
            found, expected = (
                tuple(tensors[key].shape) if key in tensors else "none" for tensors in (state, own)
            )
            raise UserError(
                f"{where}: {key} is {found}, expected {expected}",
                DATA,
                "name weights of this very network, at this teacher.input_size",
            )
        if key in state and not state[key].isfinite().all():
            raise UserError(f"{where}: {key} is not finite", DATA)
    module.load_state_dict(state, strict=False)


# timm


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise UserError(
            "networks named timm/... need the package timm",
            USAGE,
            "python -m pip install 'cgankd[timm]', or name another network",
        ) from None
    return timm


def _timm_facts(name: str) -> Facts:
    timm = _timm()
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    known = timm.get_pretrained_cfg(name)
    return Facts(
        known.input_size[-1], list(known.mean), list(known.std), not known.fixed_input_size
    )


def _make_timm(name: str, side: int | None) -> tuple[nn.Module, int, str]:
    sized = {"img_size": side} if side else {}
    model = _timm().create_model(name, pretrained=False, num_classes=0, **sized)
    classifier = model.default_cfg["classifier"]
    if not isinstance(classifier, str):
        raise UserError(f"timm/{name} has several classifiers", USAGE, "name another network")
    return model, getattr(model, "head_hidden_size", model.num_features), classifier


# torchvision


def _torchvision_facts(name: str) -> Facts:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise _unknown("torchvision", name, known)
    seen = models.get_model_weights(name).DEFAULT.transforms()
    resizable = not name.startswith(("vit", "maxvit"))
    return Facts(seen.crop_size[0], list(seen.mean), list(seen.std), resizable)


def _make_torchvision(name: str, side: int | None) -> tuple[nn.Module, int, str]:
    from torchvision import models

    if side and not name.startswith("vit"):
        raise UserError(
            f"torchvision/{name} sees images of one side only", USAGE, "drop teacher.input_size"
        )
    model = models.get_model(name, weights=None, **({"image_size": side} if side else {}))
    last, classifier = [
        (path, module)
        for path, module in model.named_modules()
        if not any(module.children()) and any(True for _ in module.parameters())
    ][-1]
    if not isinstance(classifier, nn.Linear) or name in ("googlenet", "inception_v3"):
        raise UserError(
            f"torchvision/{name} does not end in one linear layer", USAGE, "name another network"
        )
    parent, _, attribute = last.rpartition(".")
    setattr(model.get_submodule(parent), attribute, nn.Identity())
    return model, classifier.in_features, last


def _unknown(library: str, name: str, known: list[str]) -> UserError:
    near = did_you_mean(name, known)
    # All of them would fill a screen.
    return UserError(
        f"{library} has no network {name}{near if 'mean' in near else ''}",
        USAGE,
        f"it has {len(known):,}: {library}.{'' if library == 'timm' else 'models.'}list_models()",
    )
