"""What a preset asks for: the artefacts of every stage with their recipes, and the list of students.

Nothing here imports torch, so that whatever is missing, refused or already done is known at once.
"""

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from cgankd import sources
from cgankd.errors import USAGE, UserError
from cgankd.fakes import View
from cgankd.preset import Preset, Recipe
from cgankd.runs import Artefact, Run, content_of, finished

ABLATION = {  # each row adds one step of the method
    "nokd": None,
    "raw fakes": View(subsample=False, relabel="keep"),
    "+ subsampling": View(relabel="keep"),
    "+ filter": View(relabel="keep", rho=0.0),  # rho stands for the chosen one
    "+ relabel": View(rho=0.0),
}


@dataclass(frozen=True)
class Student:
    """One network to train: on which labels and fakes, by which teachers, from which seed."""

    network: str
    method: str  # without +fake: fakes are data
    seed: int
    teacher: str = ""
    assistant: str = ""
    view: View | None = None
    held_out: bool = False  # trained without the validation rows where the protocol makes them training rows

    @property
    def previous(self) -> "Student | None":
        """The assistant that teaches this student, paired by seed."""
        if self.method != "takd":
            return None
        return Student(self.assistant, "blkd", self.seed, self.teacher, view=self.view)


@dataclass(frozen=True)
class Call:
    """What one call asks for beside the preset."""

    method: str = ""
    student: str = ""
    rho: str = ""
    ablation: bool = False


def artefacts(stage: str, preset: Preset, run: Run, call: Call = Call()) -> list[Artefact]:
    """The artefacts of a stage; UserError naming the command that makes a missing input."""
    match stage:
        case "train-gan":
            return [gan(preset, run)]
        case "train-teacher":
            return [teacher(network, preset, run) for network in preset.teacher.networks]
        case "fit-dre":
            return [dre(preset, run)]
        case "generate":
            return [pool(preset, run)]
        case "select-rho":
            return [rho(preset, run)]
        case "distill":
            if call.ablation:
                return [ablation(preset, run, call)]
            return [distilled(method, preset, run, call) for method in methods(preset, call)]
    raise AssertionError(f"no such stage: {stage}")


def gan(preset: Preset, run: Run) -> Artefact:
    return Artefact(run.gan, "train-gan", {"gan": _values(preset.gan), **_data(preset, run)})


def teacher(network: str, preset: Preset, run: Run) -> Artefact:
    settings = _values(preset.teacher, exclude={"networks"})
    return Artefact(
        run.teacher(network), "train-teacher", {"network": network, "teacher": settings, **_data(preset, run)}
    )


def dre(preset: Preset, run: Run) -> Artefact:
    recipe = {"dre": _values(preset.dre), **_data(preset, run), "train-gan": content_of(run.gan, "train-gan")}
    return Artefact(run.dre, "fit-dre", recipe)


def pool(preset: Preset, run: Run) -> Artefact:
    recipe = {
        "generate": _values(preset.generate),
        "seed": preset.seed,
        "train-gan": content_of(run.gan, "train-gan"),
        "fit-dre": content_of(run.dre, "fit-dre"),
        "train-teacher": content_of(run.teacher(preset.generate.teacher), "train-teacher"),
    }
    return Artefact(run.pool, "generate", recipe)


def rho(preset: Preset, run: Run) -> Artefact:
    students = [student_artefact(student, preset, run).digest for student in rho_students(preset)]
    recipe = {"rho": _values(preset.rho), "students": students, "generate": content_of(run.pool, "generate")}
    return Artefact(run.rho, "select-rho", recipe)


def distilled(method: str, preset: Preset, run: Run, call: Call) -> Artefact:
    members = method_students(method, preset, run, call)
    recipe = {"method": method, **_data(preset, run),
              "students": [student_artefact(member, preset, run).digest for member in members]}  # fmt: skip
    return Artefact(run.distill(method), "distill", recipe, owns_folder=False)


def ablation(preset: Preset, run: Run, call: Call) -> Artefact:
    rows = ablation_students(preset, run, call)
    recipe = {"ablation": {row: [student_artefact(student, preset, run).digest for student in students]
                           for row, students in rows.items()}, **_data(preset, run)}  # fmt: skip
    return Artefact(run.distill("ablation"), "distill", recipe, owns_folder=False)


def student_artefacts(stage: str, preset: Preset, run: Run, call: Call) -> list[Artefact]:
    """All students that `select-rho` or `distill` trains, assistants included."""
    if stage == "select-rho":
        students = rho_students(preset)
    elif call.ablation:
        students = [student for row in ablation_students(preset, run, call).values() for student in row]
    else:
        students = [s for method in methods(preset, call) for s in method_students(method, preset, run, call)]
    previous = [student.previous for student in students if student.previous]
    return [student_artefact(student, preset, run) for student in dict.fromkeys([*previous, *students])]


def student_artefact(student: Student, preset: Preset, run: Run) -> Artefact:
    """A student's place, named after all that it depends on and shared by every stage that asks for it."""
    settings = preset.distill
    recipe: dict[str, Any] = {
        "network": student.network,
        "method": student.method,
        "student seed": student.seed,
        "training": settings.model_dump(include=set(Recipe.model_fields)),
        **_data(preset, run),
    }
    if student.held_out:
        recipe["rows"] = "without validation"
    if settings.epochs is not None:
        recipe["epochs"] = settings.epochs
    if student.method != "nokd":
        recipe["weights"] = [settings.label_weight, settings.match_weight, settings.temperature]
        recipe["train-teacher"] = content_of(run.teacher(student.teacher), "train-teacher")
    if student.previous:
        recipe["assistant"] = student_artefact(student.previous, preset, run).digest
    if student.view:
        recipe["view"] = asdict(student.view)
        recipe["fake_share"] = settings.fake_share
        recipe["generate"] = content_of(run.pool, "generate")
    draft = Artefact(run.root, "distill", recipe)
    fakes = "+fake" if student.view else ""
    name = f"{student.network}-{student.method}{fakes}-seed{student.seed}-{draft.digest[:8]}"
    return Artefact(run.student(name), "distill", recipe)


def rho_students(preset: Preset) -> list[Student]:
    """The students of the search: each rho and no fakes, each network, each seed; none sees the rows that choose."""
    paper = preset.data.protocol == "paper"
    networks = dict.fromkeys(pair[2] for pair in preset.distill.pairs)
    views = [None, *(_view(preset, value) for value in preset.rho.grid)]
    return [Student(network, "nokd", seed, view=view, held_out=paper)
            for view, network, seed in product(views, networks, preset.rho.seeds)]  # fmt: skip


def methods(preset: Preset, call: Call) -> list[str]:
    """The methods of a call, by default those of the preset."""
    return [call.method] if call.method else list(preset.distill.methods)


def method_students(method: str, preset: Preset, run: Run, call: Call) -> list[Student]:
    """The students of a method: each pair, each seed."""
    base = method.removesuffix("+fake")
    fakes = method != base and (call.rho or preset.distill.rho) != "none"
    view = distill_view(preset, run, call) if fakes else None
    pairs = [pair for pair in preset.distill.pairs if call.student in ("", pair[2])]
    if not pairs:
        known = ", ".join(dict.fromkeys(pair[2] for pair in preset.distill.pairs))
        raise UserError(f"--student {call.student}: not in distill.pairs (students: {known})", USAGE)
    chains = dict.fromkeys(_chain(base, *pair) for pair in pairs)
    return [Student(network, base, seed, teacher, assistant, view)
            for (teacher, assistant, network), seed in product(chains, preset.distill.seeds)]  # fmt: skip


def ablation_students(preset: Preset, run: Run, call: Call) -> dict[str, list[Student]]:
    """The students of each row of the ablation."""
    if (call.rho or preset.distill.rho) == "none":
        raise UserError("the ablation adds fakes step by step, but rho is none", USAGE, "name a rho, e.g. --rho 0.7")
    full = distill_view(preset, run, call)

    def view(row: View | None) -> View | None:
        return row and View(full.rho if row.rho == 0 else 1.0, row.subsample, row.relabel, full.num)

    network = call.student or preset.distill.pairs[0][2]
    return {name: [Student(network, "nokd", seed, view=view(row)) for seed in preset.distill.seeds]
            for name, row in ABLATION.items()}  # fmt: skip


def distill_view(preset: Preset, run: Run, call: Call) -> View:
    """The view of the pool that +fake methods use: the rho of the call, of the preset, or the selected one."""
    asked = call.rho or preset.distill.rho
    if asked == "selected":
        return _view(preset, float(finished(run.rho, "select-rho")["best_rho"]))
    try:
        value = float(asked)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise UserError(f"--rho {asked}: expected a number in (0, 1] or none", USAGE)
    return _view(preset, value)


def _view(preset: Preset, value: float) -> View:
    return View(rho=value, relabel=preset.distill.relabel, num=preset.distill.nfake)


def _chain(base: str, teacher: str, assistant: str, student: str) -> tuple[str, str, str]:
    """Of a pair only what the method uses, so that equal students are one."""
    return (teacher if base != "nokd" else "", assistant if base == "takd" else "", student)


def _values(table: Any, exclude: set[str] | None = None) -> dict[str, Any]:
    return table.model_dump(exclude=exclude, exclude_none=True)


def _data(preset: Preset, run: Run) -> dict[str, Any]:
    return {"seed": preset.seed, "data": sources.identify(preset.data, preset.seed, run)}
