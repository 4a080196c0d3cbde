"""What a job asks for: the stages, their artefacts, the students; without torch."""

from cgankd.plan.artefacts import (
    dre,
    gan,
    pool,
    pool_networks,
    teacher,
    teachers,
)
from cgankd.plan.chain import STALE, NotBuilt, check_inputs, waits
from cgankd.plan.evaluation import RAW, REAL, evaluated, evaluation
from cgankd.plan.imports import gan_parts, import_files, import_of
from cgankd.plan.specs import HEAD, StudentSpec
from cgankd.plan.stages import STAGES, Stage, chain_of
from cgankd.plan.students import (
    Student,
    StudentPlanner,
    StudentTable,
    distilled,
    search,
    to_train,
)

__all__ = [
    "HEAD",
    "RAW",
    "REAL",
    "STAGES",
    "STALE",
    "NotBuilt",
    "Stage",
    "Student",
    "StudentPlanner",
    "StudentSpec",
    "StudentTable",
    "chain_of",
    "check_inputs",
    "distilled",
    "dre",
    "evaluated",
    "evaluation",
    "gan",
    "gan_parts",
    "import_files",
    "import_of",
    "pool",
    "pool_networks",
    "search",
    "teacher",
    "teachers",
    "to_train",
    "waits",
]
