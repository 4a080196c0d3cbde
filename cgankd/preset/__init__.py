"""Presets: a sparse TOML file becomes frozen, checked settings; whatever it does not know is
refused.

One subcommand is one table: [data] [gan] [teacher] [dre] [generate] [evaluate] [rho] [distill]
[report].
"""

from cgankd.preset.base import Training
from cgankd.preset.data import Data
from cgankd.preset.fakes import Dre, Evaluate, Features, Generate, Random, Spread, Types
from cgankd.preset.files import copy, dump, folder, load, names, text
from cgankd.preset.gan import Embedding, Gan, Width
from cgankd.preset.kinds import CnnName, GanName, RatioName, check_cnn
from cgankd.preset.methods import (
    METHODS,
    MethodFacts,
    SskdSettings,
    base_of,
    check_method,
    uses_fakes,
)
from cgankd.preset.paper import Paper
from cgankd.preset.preset import Preset, check_applies, check_labels
from cgankd.preset.students import Distill, TeacherSettings

__all__ = [
    "METHODS",
    "CnnName",
    "Data",
    "Distill",
    "Dre",
    "Embedding",
    "Evaluate",
    "Features",
    "Gan",
    "GanName",
    "Generate",
    "MethodFacts",
    "Paper",
    "Preset",
    "Random",
    "RatioName",
    "Spread",
    "SskdSettings",
    "TeacherSettings",
    "Training",
    "Types",
    "Width",
    "base_of",
    "check_applies",
    "check_cnn",
    "check_labels",
    "check_method",
    "copy",
    "dump",
    "folder",
    "load",
    "names",
    "text",
    "uses_fakes",
]
