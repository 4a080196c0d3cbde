"""What a preset asks for: the artefacts of every stage with their recipes, and the list of students.

Nothing here imports torch, so that whatever is missing, refused or already done is known at once.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from cgankd import fakes, sources
from cgankd.errors import DATA, USAGE, UserError
from cgankd.fakes import View
from cgankd.preset import Distill, Preset, Recipe, check_applies
from cgankd.runs import Artefact, Run, content_of, file_digest, finished, read_json

ABLATION = {  # each row adds one step of the method
    "nokd": None,
    "raw fakes": View(subsample=False, relabel="keep"),
    "+ subsampling": View(relabel="keep"),
    "+ filter": View(relabel="keep", rho=0.0),  # rho stands for the chosen one
    "+ relabel": View(rho=0.0),
}


MAX_WEIGHTS = 2 << 30  # bytes; a file is read whole
HEAD = "sskd-head"  # not a network of its own, but trained, kept and shared like one


@dataclass(frozen=True)
class Student:
    """One network to train: on which labels and fakes, by which teachers, from which seed."""

    network: str
    method: str  # without +fake: fakes are data
    seed: int
    teacher: str = ""
    assistant: str = ""
    view: View | None = None
    fakes: str = ""  # a file of fakes in the place of the pool
    held_out: bool = False  # trained without the validation rows where the protocol makes them training rows

    @property
    def previous(self) -> "Student | None":
        """What is trained before: takd's assistant, paired by seed; the head of sskd's teacher, which seeds share."""
        match self.method:
            case "takd":
                return replace(self, network=self.assistant, method="blkd", assistant="")
            case "sskd":
                return replace(self, network=self.teacher, method=HEAD, seed=0)
        return None


@dataclass(frozen=True)
class Call:
    """What one call asks for beside the preset."""

    method: str = ""
    student: str = ""
    rho: str = ""
    fake: str = ""
    ablation: bool = False
    weights: dict[str, dict[str, str]] = field(default_factory=dict)  # part -> file and sha256 to import it from


def artefacts(stage: str, preset: Preset, run: Run, call: Call = Call()) -> list[Artefact]:
    """The artefacts of a stage; UserError naming the command that makes a missing input."""
    match stage:
        case "train-gan":
            return [gan(preset, run, call)]
        case "train-teacher":
            return [teacher(network, preset, run, call) for network in preset.teacher.networks]
        case "fit-dre":
            return [dre(preset, run, call)]
        case "generate":
            return [pool(preset, run)]
        case "evaluate":
            return [evaluation(preset, run)]
        case "select-rho":
            return [rho(preset, run)]
        case "distill":
            if call.ablation:
                return [ablation(preset, run, call)]
            return [distilled(method, preset, run, call) for method in methods(preset, call)]
    raise AssertionError(f"no such stage: {stage}")


def gan(preset: Preset, run: Run, call: Call = Call()) -> Artefact:
    origin = imported(run.gan, call, *gan_parts(preset))
    settings = _gan_settings(preset, origin.get("from", {}))
    return Artefact(run.gan, "train-gan", {"gan": settings, **_data(preset, run), **origin})


def gan_parts(preset: Preset) -> list[str]:
    """The parts of a GAN that can be imported."""
    return ["generator", *(["condition", "embedding"] if preset.gan.embedding else [])]


def _gan_settings(preset: Preset, imported: Collection[str]) -> dict[str, Any]:
    """What the GAN depends on: of imported parts only their form."""
    form = {"network", "width", "latent", "shared", "attention", "embedding"}
    settings = _values(preset.gan, include=form if "generator" in imported else None)
    if preset.gan.embedding and {"condition", "embedding"} & set(imported):
        trained = {"labels", "noise"} if "condition" not in imported else set()
        network = {"network"} if "embedding" in imported else set()
        settings["embedding"] = _values(preset.gan.embedding, include={"size"} | network | trained)
    return settings


def teacher(network: str, preset: Preset, run: Run, call: Call = Call()) -> Artefact:
    origin = imported(run.teacher(network), call, network)
    settings = {} if origin else {"teacher": _values(preset.teacher, exclude={"networks"})}
    recipe = {"network": network, **settings, **_data(preset, run), **origin}
    return Artefact(run.teacher(network), "train-teacher", recipe)


def dre(preset: Preset, run: Run, call: Call = Call()) -> Artefact:
    origin = imported(run.dre, call, "features", "ratio")
    settings = _values(
        preset.dre, include={"network", "width", "output"} if "ratio" in origin.get("from", {}) else None
    )
    settings["features"] = _values(preset.dre.features, include={"network", "width", "size"} if origin else None)
    recipe = {"dre": settings, **_data(preset, run), "train-gan": content_of(run.gan, "train-gan"), **origin}
    return Artefact(run.dre, "fit-dre", recipe)


def imported(record: Path, call: Call, *parts: str) -> dict[str, dict[str, str]]:
    """What an import adds to a recipe: {"from": sha256 of the file of each imported part}; empty for no import.

    A call that names no file asks for what already stands imported, so that imports stay up to date for all later
    commands; one that names other files than the recorded ones asks for another artefact.
    """
    files = {part: call.weights[part]["sha256"] for part in parts if part in call.weights}
    recorded = {} if files or not record.exists() else read_json(record).get("recipe", {}).get("from", {})
    return {"from": files or recorded} if files or recorded else {}


def file_of(part: str, artefact: Artefact, call: Call) -> dict[str, str] | None:
    """The file and sha256 to import a part from; None where it is to be trained."""
    if part not in artefact.recipe.get("from", {}):
        return None
    if part not in call.weights:
        raise UserError(f"{artefact.folder}: its import was not finished", DATA,
                        f"run `cgankd {artefact.command}` with its --from again, or move the folder away")  # fmt: skip
    return call.weights[part]


def check_labels(preset: Preset, label: dict[str, Any] | None) -> None:
    """UserError where a label to generate, or a window, lies outside the range of `label`, as a source describes it."""
    if not label or label["kind"] != "continuous":
        return
    low, high = label["min"], label["max"]
    if preset.evaluate and 2 * preset.evaluate.radius > high - low:
        raise UserError(
            f"preset {preset.name}: evaluate.radius = {preset.evaluate.radius:g}, but the range of the label is "
            f"[{low:g}, {high:g}]",
            USAGE,
            f"a window is at most as wide: name at most {(high - low) / 2:g}",
        )
    outside = [value for value in preset.generate.values if not low <= value <= high]
    if outside:
        more = f" (and {len(outside) - 1} more)" if len(outside) > 1 else ""
        raise UserError(
            f"preset {preset.name}: generate.labels: {outside[0]:g}{more} lies outside [{low:g}, {high:g}], the range "
            "of the label",
            USAGE,
            "networks know no labels outside: drop them, or widen data.range",
        )


def weights(stage: str, given: list[str], preset: Preset) -> dict[str, dict[str, str]]:
    """The files of `--from [part=]FILE`, by the part of the stage that each is to be; the part may be left out where
    there is one alone."""
    parts = {"train-gan": gan_parts(preset), "train-teacher": preset.teacher.networks,
             "fit-dre": ["features", "ratio"]}[stage]  # fmt: skip
    found: dict[str, dict[str, str]] = {}
    for text in given:
        part, equals, path = text.partition("=")
        if not equals or part not in parts:
            part, path = (parts[0] if len(parts) == 1 else ""), text
        if not part:
            raise UserError(f"--from {text}: expected PART=FILE, PART being one of {', '.join(parts)}", USAGE)
        if part in found:
            raise UserError(f"--from {text}: {part} has a file already, {found[part]['file']}", USAGE)
        file = Path(path).absolute()
        if not file.is_file():
            raise UserError(f"--from {text}: there is no file {path}", DATA)
        if file.stat().st_size > MAX_WEIGHTS:
            raise UserError(f"--from {text}: {file.stat().st_size:,} bytes, more than the {MAX_WEIGHTS:,} that "
                            "published weights have at most", DATA)  # fmt: skip
        found[part] = {"file": str(file), "sha256": file_digest(file)}
    if "ratio" in found and "features" not in found:
        raise UserError("--from ratio=: a ratio network reads the features of one extractor only", USAGE,
                        "import both: --from features=FILE --from ratio=FILE")  # fmt: skip
    if preset.gan.embedding and "generator" in found and "condition" not in found:
        raise UserError("--from generator=: a generator of a continuous label takes the h of one label embedding only",
                        USAGE, "import both: --from generator=FILE --from condition=FILE")  # fmt: skip
    return found


def pool(preset: Preset, run: Run) -> Artefact:
    inputs = {"train-gan": run.gan, "train-teacher": run.teacher(preset.generate.teacher), "fit-dre": run.dre}
    missing = [command for command, record in inputs.items() if not record.exists()]
    if len(missing) > 1:
        raise UserError(f"{run.root}: the networks that draw and judge fakes are not there", DATA,
                        f"run {', '.join(f'`cgankd {command}`' for command in missing)} first")  # fmt: skip
    recipe = {
        "generate": _values(preset.generate),
        "seed": preset.seed,
        **{command: content_of(record, command) for command, record in inputs.items()},
    }
    return Artefact(run.pool, "generate", recipe)


def evaluation(preset: Preset, run: Run) -> Artefact:
    if preset.evaluate is None:
        raise UserError(f"preset {preset.name} has no table [evaluate], so there is nothing to evaluate", USAGE,
                        "add it with its radius and centers" if preset.data.continuous
                        else "it is for a continuous label; metrics within classes are not there")  # fmt: skip
    recipe = {
        "evaluate": _values(preset.evaluate),
        "views": {row: asdict(view) for row, view in evaluated(preset).items()},
        **_data(preset, run),
        "fit-dre": content_of(run.dre, "fit-dre"),
        "train-teacher": content_of(run.teacher(preset.generate.teacher), "train-teacher"),
        "generate": content_of(run.pool, "generate"),
    }
    return Artefact(run.evaluation, "evaluate", recipe)


def evaluated(preset: Preset) -> dict[str, View]:
    """The views of the pool that are evaluated: step by step, with the ends of the grid, since rho is chosen later."""
    ends = dict.fromkeys([max(preset.rho.grid), min(preset.rho.grid)])
    return {
        "raw fakes": View(subsample=False, relabel="keep"),
        "+ subsampling": View(relabel="keep"),
        **{f"+ filter, relabel (rho = {rho:g})": View(rho=rho) for rho in ends},
    }


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
    students = rho_students(preset) if stage == "select-rho" else wanted(preset, run, call)
    return [student_artefact(student, preset, run) for student in dict.fromkeys([*previous(students), *students])]


def wanted(preset: Preset, run: Run, call: Call) -> list[Student]:
    """The students whose results `distill` is asked for."""
    if call.ablation:
        return [student for row in ablation_students(preset, run, call).values() for student in row]
    return [student for method in methods(preset, call) for student in method_students(method, preset, run, call)]


def previous(students: list[Student]) -> list[Student]:
    """What students need to be trained before them, each once."""
    return list(dict.fromkeys(student.previous for student in students if student.previous))


def student_artefact(student: Student, preset: Preset, run: Run) -> Artefact:
    """A student's place, named after all that it depends on and shared by every stage that asks for it."""
    settings = preset.distill
    recipe: dict[str, Any] = {
        "network": student.network,
        "method": student.method,
        "student seed": student.seed,
        "training": training(student, preset).model_dump(include=set(Recipe.model_fields)),
        **_data(preset, run),
    }
    if student.held_out:
        recipe["rows"] = "without validation"
        recipe |= _values(preset.data, include={"min_per_label"})  # the data's digest knows it of all training rows
    if settings.head and student.method != HEAD:
        recipe["head"] = settings.head
    if settings.epochs is not None:
        recipe["epochs"] = settings.epochs
    if student.method != "nokd":
        recipe["weights"] = _weights(student, settings)
        recipe["train-teacher"] = content_of(run.teacher(student.teacher), "train-teacher")
    if student.previous:
        recipe["assistant"] = student_artefact(student.previous, preset, run).digest
    if student.view:
        recipe["view"] = asdict(student.view)
        recipe["fake_share"] = settings.fake_share
        recipe["generate"] = fakes.identify(student.fakes) if student.fakes else content_of(run.pool, "generate")
    draft = Artefact(run.root, "distill", recipe)
    suffix = "+fake" if student.view else ""
    name = f"{student.network}-{student.method}{suffix}-seed{student.seed}-{draft.digest[:8]}"
    return Artefact(run.student(name), "distill", recipe)


def training(student: Student, preset: Preset) -> Recipe:
    """How a student, or the head of a teacher, is trained."""
    settings = preset.distill
    if student.method != HEAD:
        return settings
    assert settings.sskd, "the preset has been checked for distill.sskd"
    return settings.sskd.head


def num_real(student: Student, preset: Preset, run: Run) -> int:
    """How many real images a student learns from; the data are read where the preset alone does not tell."""
    data, numbers = preset.data, preset.data.numbers
    if not numbers or data.min_per_label:
        known = sources.record(data, preset.seed, run)
        return int(known["held_out"] if student.held_out else known["rows"]["train"]["num"])
    return numbers[0] + (numbers[1] if data.protocol == "paper" and not student.held_out else 0)


def num_steps(student: Student, preset: Preset, num_images: int) -> int:
    """How many steps a student that sees `num_images` images is trained for: the budget's steps or epochs."""
    recipe, epochs = training(student, preset), preset.distill.epochs
    if epochs is None or student.method == HEAD:
        return recipe.steps
    return epochs * -(-num_images // recipe.batch)


def _weights(student: Student, settings: Distill) -> list[Any]:
    match student.method:
        case "sskd":
            assert settings.sskd, "the preset has been checked for distill.sskd"
            return [settings.sskd.model_dump(exclude={"head"})]
        case "blkd+uda":
            return [settings.uda.model_dump(), settings.temperature]
        case _ if student.method == HEAD:
            return []
    return [settings.label_weight, settings.match_weight, settings.temperature]


def rho_students(preset: Preset) -> list[Student]:
    """The students of the search: each rho and no fakes, each network, each seed; none sees the rows that choose."""
    paper = preset.data.protocol == "paper"
    networks = dict.fromkeys(pair[2] for pair in preset.distill.pairs)
    views = [None, *(_view(preset, value) for value in preset.rho.grid)]
    return [Student(network, "nokd", seed, view=view, held_out=paper)
            for view, network, seed in product(views, networks, preset.rho.seeds)]  # fmt: skip


def methods(preset: Preset, call: Call) -> list[str]:
    """The methods of a call, by default those of the preset; UserError where one does not apply."""
    if not call.method:
        return list(preset.distill.methods)
    try:
        check_applies(call.method, preset)
    except ValueError as error:
        raise UserError(f"--method {call.method}: {error}", USAGE) from None
    return [call.method]


def method_students(method: str, preset: Preset, run: Run, call: Call) -> list[Student]:
    """The students of all rows of a method."""
    return [student for students in method_rows(method, preset, run, call).values() for student in students]


def method_rows(method: str, preset: Preset, run: Run, call: Call) -> dict[str, list[Student]]:
    """The students of a method, each pair and each seed: one row, or with fakes one for each of distill.nfake."""
    base = method.removesuffix("+fake")
    views: list[View | None] = [None] if method == base else distill_views(preset, run, call)
    pairs = [pair for pair in preset.distill.pairs if call.student in ("", pair[2])]
    if not pairs:
        known = ", ".join(dict.fromkeys(pair[2] for pair in preset.distill.pairs))
        raise UserError(f"--student {call.student}: not in distill.pairs (students: {known})", USAGE)
    chains = dict.fromkeys(_chain(base, *pair) for pair in pairs)
    names = [method] if len(views) == 1 else [f"{method} ({view.num if view else 0})" for view in views]
    return {name: [Student(network, base, seed, teacher, assistant, view, call.fake if view else "")
                   for (teacher, assistant, network), seed in product(chains, preset.distill.seeds)]
            for name, view in zip(names, views, strict=True)}  # fmt: skip


def ablation_students(preset: Preset, run: Run, call: Call) -> dict[str, list[Student]]:
    """The students of each row of the ablation."""
    if (call.rho or preset.distill.rho) == "none":
        raise UserError("the ablation adds fakes step by step, but rho is none", USAGE, "name a rho, e.g. --rho 0.7")
    if call.fake:
        raise UserError("the ablation needs the pool of the run, not a file of fakes", USAGE, "leave out --fake")
    full = _view(preset, distill_rho(preset, run, call))

    hard = full.relabel if full.relabel != "keep" else "hard"

    def view(row: View | None) -> View | None:
        return row and replace(row, rho=full.rho if row.rho == 0 else 1.0, num=full.num, bins=full.bins,
                               relabel=hard if row.relabel == "hard" else row.relabel)  # fmt: skip

    network = call.student or preset.distill.pairs[0][2]
    return {name: [Student(network, "nokd", seed, view=view(row)) for seed in preset.distill.seeds]
            for name, row in ABLATION.items()}  # fmt: skip


def distill_views(preset: Preset, run: Run, call: Call) -> list[View | None]:
    """The fakes that +fake methods use, one view for each number of fakes; None is without fakes."""
    nums = preset.distill.nfake if isinstance(preset.distill.nfake, list) else [preset.distill.nfake]
    if call.fake:  # a file of fakes is used as it is
        return [View(subsample=False, relabel="keep", num=num) if num != 0 else None for num in nums]
    if (call.rho or preset.distill.rho) == "none":
        return [None]
    view = _view(preset, distill_rho(preset, run, call))
    return [replace(view, num=num) if num != 0 else None for num in nums]


def distill_rho(preset: Preset, run: Run, call: Call) -> float:
    """The rho of the call, of the preset, or the selected one."""
    asked = call.rho or preset.distill.rho
    if asked == "selected":
        return float(finished(run.rho, "select-rho")["best_rho"])
    try:
        value = float(asked)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise UserError(f"--rho {asked}: expected a number in (0, 1] or none", USAGE)
    return value


def _view(preset: Preset, rho: float) -> View:
    """The view that one number of fakes gives; of several the largest."""
    num, settings = preset.distill.nfake, preset.distill
    return View(rho=rho, relabel=settings.relabel, num=max(num) if isinstance(num, list) else num,
                bins=settings.filter_bins)  # fmt: skip


def _chain(base: str, teacher: str, assistant: str, student: str) -> tuple[str, str, str]:
    """Of a pair only what the method uses, so that equal students are one."""
    return (teacher if base != "nokd" else "", assistant if base == "takd" else "", student)


def _values(table: Any, include: set[str] | None = None, exclude: set[str] | None = None) -> dict[str, Any]:
    return table.model_dump(include=include, exclude=exclude, exclude_none=True)


def _data(preset: Preset, run: Run) -> dict[str, Any]:
    return {"seed": preset.seed, "data": sources.identify(preset.data, preset.seed, run)}
