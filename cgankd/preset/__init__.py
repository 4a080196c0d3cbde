"""Presets: a sparse TOML file becomes frozen, checked settings; whatever it does not know is
refused.

One subcommand is one table: [data] [gan] [teacher] [dre] [generate] [evaluate] [rho] [distill]
[report].
"""

from cgankd.preset.base import Training
from cgankd.preset.data import Data
from cgankd.preset.fakes import Dre, Features, Generate, Random, Spread
from cgankd.preset.files import copy, dump, folder, load, names, text
from cgankd.preset.gan import Embedding, Width
from cgankd.preset.kinds import CnnName, GanName, MethodName, RatioName, check_cnn, check_method
from cgankd.preset.paper import Paper
from cgankd.preset.preset import Preset, check_applies, check_labels
from cgankd.preset.students import Distill, SskdSettings

__all__ = [
    "CnnName",
    "Data",
    "Distill",
    "Dre",
    "Embedding",
    "Features",
    "GanName",
    "Generate",
    "MethodName",
    "Paper",
    "Preset",
    "Random",
    "RatioName",
    "Spread",
    "SskdSettings",
    "Training",
    "Width",
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
]
