"""What a preset asks for: the artefacts of every stage with their inputs, and the list of
students.

Nothing here imports torch, so that whatever is missing, refused or already done is known at once.
"""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from cgankd import fakes, sources
from cgankd.errors import DATA, USAGE, UserError
from cgankd.fakes import FakeSelection
from cgankd.plan.imports import gan_parts, imported
from cgankd.plan.students import (
    HEAD,
    Overrides,
    Student,
    _weights,
    ablation_students,
    method_students,
    methods,
    previous,
    rho_students,
    training,
    wanted,
)
from cgankd.preset import Preset, Training
from cgankd.runs import Artefact, Run, content_of


def artefacts(
    stage: str, preset: Preset, run: Run, call: Overrides = Overrides()
) -> list[Artefact]:
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


def gan(preset: Preset, run: Run, call: Overrides = Overrides()) -> Artefact:
    origin = imported(run.gan, call, *gan_parts(preset))
    settings = _gan_settings(preset, origin.get("from", {}))
    return Artefact(run.gan, "train-gan", {"gan": settings, **_data(preset, run), **origin})


def _gan_settings(preset: Preset, imported: Collection[str]) -> dict[str, Any]:
    """What the GAN depends on: of imported parts only their form."""
    form = {"network", "width", "latent", "shared", "attention", "embedding"}
    settings = _values(preset.gan, include=form if "generator" in imported else None)
    if preset.gan.embedding and {"condition", "embedding"} & set(imported):
        trained = {"labels", "noise"} if "condition" not in imported else set()
        network = {"network"} if "embedding" in imported else set()
        settings["embedding"] = _values(preset.gan.embedding, include={"size"} | network | trained)
    return settings


def teacher(network: str, preset: Preset, run: Run, call: Overrides = Overrides()) -> Artefact:
    origin = imported(run.teacher(network), call, network)
    settings = {} if origin else {"teacher": _values(preset.teacher, exclude={"networks"})}
    inputs = {"network": network, **settings, **_data(preset, run), **origin}
    return Artefact(run.teacher(network), "train-teacher", inputs)


def dre(preset: Preset, run: Run, call: Overrides = Overrides()) -> Artefact:
    origin = imported(run.dre, call, "features", "ratio")
    settings = _values(
        preset.dre,
        include={"network", "width", "output"} if "ratio" in origin.get("from", {}) else None,
    )
    settings["features"] = _values(
        preset.dre.features, include={"network", "width", "size"} if origin else None
    )
    inputs = {
        "dre": settings,
        **_data(preset, run),
        "train-gan": content_of(run.gan, "train-gan"),
        **origin,
    }
    return Artefact(run.dre, "fit-dre", inputs)


def pool(preset: Preset, run: Run) -> Artefact:
    upstream = {
        "train-gan": run.gan,
        "train-teacher": run.teacher(preset.generate.teacher),
        "fit-dre": run.dre,
    }
    missing = [command for command, record in upstream.items() if not record.exists()]
    if len(missing) > 1:
        raise UserError(
            f"{run.root}: the networks that draw and judge fakes are not there",
            DATA,
            f"run {', '.join(f'`cgankd {command}`' for command in missing)} first",
        )
    inputs = {
        "generate": _values(preset.generate),
        "seed": preset.seed,
        **{command: content_of(record, command) for command, record in upstream.items()},
    }
    return Artefact(run.pool, "generate", inputs)


def evaluation(preset: Preset, run: Run) -> Artefact:
    if preset.evaluate is None:
        raise UserError(
            f"preset {preset.name} has no table [evaluate], so there is nothing to evaluate",
            USAGE,
            "add it with its radius and centers"
            if preset.data.continuous
            else "it is for a continuous label; metrics within classes are not there",
        )
    inputs = {
        "evaluate": _values(preset.evaluate),
        "views": {row: asdict(view) for row, view in evaluated(preset).items()},
        **_data(preset, run),
        "fit-dre": content_of(run.dre, "fit-dre"),
        "train-teacher": content_of(run.teacher(preset.generate.teacher), "train-teacher"),
        "generate": content_of(run.pool, "generate"),
    }
    return Artefact(run.evaluation, "evaluate", inputs)


def evaluated(preset: Preset) -> dict[str, FakeSelection]:
    """The views of the pool that are evaluated: step by step, with the ends of the grid, since rho
    is chosen later.
    """
    ends = dict.fromkeys([max(preset.rho.grid), min(preset.rho.grid)])
    return {
        "raw fakes": FakeSelection(subsample=False, relabel="keep"),
        "+ subsampling": FakeSelection(relabel="keep"),
        **{f"+ filter, relabel (rho = {rho:g})": FakeSelection(rho=rho) for rho in ends},
    }


def rho(preset: Preset, run: Run) -> Artefact:
    students = [student_artefact(student, preset, run).digest for student in rho_students(preset)]
    inputs = {
        "rho": _values(preset.rho),
        "students": students,
        "generate": content_of(run.pool, "generate"),
    }
    return Artefact(run.rho, "select-rho", inputs)


def distilled(method: str, preset: Preset, run: Run, call: Overrides) -> Artefact:
    members = method_students(method, preset, run, call)
    inputs = {
        "method": method,
        **_data(preset, run),
        "students": [student_artefact(member, preset, run).digest for member in members],
    }
    return Artefact(run.distill(method), "distill", inputs, owns_folder=False)


def ablation(preset: Preset, run: Run, call: Overrides) -> Artefact:
    rows = ablation_students(preset, run, call)
    inputs = {
        "ablation": {
            row: [student_artefact(student, preset, run).digest for student in students]
            for row, students in rows.items()
        },
        **_data(preset, run),
    }
    return Artefact(run.distill("ablation"), "distill", inputs, owns_folder=False)


def student_artefacts(stage: str, preset: Preset, run: Run, call: Overrides) -> list[Artefact]:
    """All students that `select-rho` or `distill` trains, assistants included."""
    students = rho_students(preset) if stage == "select-rho" else wanted(preset, run, call)
    return [
        student_artefact(student, preset, run)
        for student in dict.fromkeys([*previous(students), *students])
    ]


def student_artefact(student: Student, preset: Preset, run: Run) -> Artefact:
    """A student's place, named after all that it depends on and shared by every stage that asks for
    it.
    """
    settings = preset.distill
    inputs: dict[str, Any] = {
        "network": student.network,
        "method": student.method,
        "student seed": student.seed,
        "training": training(student, preset).model_dump(include=set(Training.model_fields)),
        **_data(preset, run),
    }
    if student.held_out:
        inputs["rows"] = "without validation"
        inputs |= _values(
            preset.data, include={"min_per_label"}
        )  # the data's digest knows it of all training rows
    if settings.head and student.method != HEAD:
        inputs["head"] = settings.head
    if settings.epochs is not None:
        inputs["epochs"] = settings.epochs
    if student.method != "nokd":
        inputs["weights"] = _weights(student, settings)
        inputs["train-teacher"] = content_of(run.teacher(student.teacher), "train-teacher")
    if student.previous:
        inputs["assistant"] = student_artefact(student.previous, preset, run).digest
    if student.view:
        inputs["view"] = asdict(student.view)
        inputs["fake_share"] = settings.fake_share
        inputs["generate"] = (
            fakes.identify(student.fakes) if student.fakes else content_of(run.pool, "generate")
        )
    draft = Artefact(run.root, "distill", inputs)
    suffix = "+fake" if student.view else ""
    name = f"{student.network}-{student.method}{suffix}-seed{student.seed}-{draft.digest[:8]}"
    return Artefact(run.student(name), "distill", inputs)


def _values(
    table: Any, include: set[str] | None = None, exclude: set[str] | None = None
) -> dict[str, Any]:
    return table.model_dump(include=include, exclude=exclude, exclude_none=True)


def _data(preset: Preset, run: Run) -> dict[str, Any]:
    return {"seed": preset.seed, "data": sources.identify(preset.data, preset.seed, run)}
