"""The kinds of values in a preset: names, numbers with their bounds, lists without repetitions."""

import difflib
import re
import unicodedata
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field

MAX_LABELS = 10**6  # of a continuous label, to generate fakes for
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

CnnName = Literal[
    "resnet8", "resnet20", "resnet110", "resnet18", "resnet34", "resnet50", "resnet18-uda",
    "resnet50-uda", "vgg11", "vgg13", "vgg16", "vgg19", "densenet121", "mobilenetv2",
    "shufflenetv2", "efficientnet-b0", "mobilenetv2-imagenet", "shufflenetv2-imagenet",
    "efficientnet-b0-imagenet",
]  # fmt: skip
ANY_WIDTH = ("resnet8", "resnet20", "resnet110")
FOREIGN = ("timm", "torchvision")  # libraries whose networks may teach
GanName = Literal["biggan", "sngan", "sagan"]
RatioName = Literal["mlp3", "mlp5", "mlp7", "mlp9"]
HIDDEN = ("Cc", "Cs", "Zl", "Zp")  # Unicode's control characters, undecodable bytes, line ends
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # show text out of its order


def check_cnn(name: str) -> str:
    """A network of the table, at another width with a suffix: resnet8, resnet8_x0_25 (a quarter as
    wide).
    """
    base, _, width = name.partition("_x")
    if base not in get_args(CnnName) or (width and not re.fullmatch(r"\d+(_\d+)?", width)):
        raise ValueError(
            f"unknown network{did_you_mean(base, get_args(CnnName))}, at another width e.g. "
            "resnet8_x0_25"
        )
    if width and base not in ANY_WIDTH:
        raise ValueError(f"{base} has one width; {', '.join(ANY_WIDTH)} have any")
    return name


def check_teacher(name: str) -> str:
    """A network of the table, or of another library: timm/resnet26, torchvision/resnet18."""
    library, slash, network = name.partition("/")
    if not slash:
        return check_cnn(name)
    if library not in FOREIGN or not re.fullmatch(r"\w{1,64}", network, re.ASCII):
        raise ValueError(f"unknown network; of other libraries e.g. {FOREIGN[0]}/resnet26")
    return name


def check_chain(names: list[str]) -> list[str]:
    """Teacher, assistant, student."""
    return [check_teacher(names[0]), *map(check_cnn, names[1:])]


def did_you_mean(name: str, known: Any) -> str:
    """The end of a message about the unknown `name`."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f" (known: {', '.join(known)})"


def unshown(text: str) -> str:
    """The first character that terminals and pages cannot show as it is; empty where there is
    none.
    """
    hidden = (c for c in text if unicodedata.category(c) in HIDDEN or c in TURNING)
    return next(hidden, "")


def check_shown(text: str) -> str:
    """Text that can be shown wherever a run says what it is about."""
    if wrong := unshown(text):
        raise ValueError(f"holds the character {wrong!r}, which cannot be shown")
    return text


def check_distinct(values: list[Any]) -> list[Any]:
    """A list without repetitions: equal students are one, and would be counted twice."""
    if len(set(values)) < len(values):
        raise ValueError("an entry stands there twice")
    return values


def check_side(size: int) -> int:
    """A side that the GANs can draw: 4 doubled."""
    if size & (size - 1):
        raise ValueError("GANs draw images of side 8, 16, 32, 64, ...")
    return size


def check_batch(head: int | None, batch: int) -> None:
    """ValueError where the batch norm of a head would see one image at a time."""
    if head and batch < 2:
        raise ValueError("batch: the batch norm of a head needs at least 2 images")


Cnn = Annotated[str, AfterValidator(check_cnn)]
TeacherName = Annotated[str, AfterValidator(check_teacher)]
Place = Annotated[str, Field(min_length=1), AfterValidator(check_shown)]
Count = Annotated[int, Field(ge=1, le=10**8)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=10)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Error = Annotated[float, Field(ge=0, le=10**6)]
Distinct = AfterValidator(check_distinct)
Nfake = (
    Count
    | Annotated[
        list[Annotated[int, Field(ge=0, le=10**8)]], Field(min_length=1, max_length=100), Distinct
    ]
    | None
)
Head = Annotated[
    Annotated[int, Field(ge=1, le=8192)] | None,
    Field(
        description="width of two hidden layers before the output, each with batch norm and ReLU; "
        "absent: none"
    ),
]
Seeds = Annotated[
    list[Annotated[int, Field(ge=0, le=2**31)]], Field(min_length=1, max_length=1000), Distinct
]
