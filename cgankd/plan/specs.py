"""Which students a call asks for, by what each of them is (`StudentSpec`)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from cgankd.errors import USAGE, UserError
from cgankd.fakes import FakeSelection
from cgankd.job import Job
from cgankd.plan.selections import BatchShare, full_selection, rho_of, selections_of, share_of
from cgankd.preset import METHODS, Preset, base_of, check_applies, check_method, uses_fakes

MAX_STEPS = 10**8  # as of any training
HEAD = "sskd-head"  # not a network of its own, but trained, kept and shared like one

# Each row adds one step of the method, whose whole is `full`.
ABLATION: dict[str, Callable[[FakeSelection], FakeSelection | None]] = {
    "nokd": lambda full: None,
    "raw fakes": lambda full: replace(full, subsample=False, rho=1.0, relabel="keep"),
    "+ subsampling": lambda full: replace(full, rho=1.0, relabel="keep"),
    "+ filter": lambda full: replace(full, relabel="keep"),
    "+ relabel": lambda full: full,
}


@dataclass(frozen=True)
class StudentSpec:
    """One network to train: on which labels and fakes, by which teachers, from which seed."""

    network: str
    method: str  # without +fake: fakes are data
    seed: int
    teacher: str = ""
    assistant: str = ""
    selection: FakeSelection | None = None
    share: BatchShare | None = None  # of fakes in a batch; None: distill.fake_share
    fakes_file: str = ""  # in the place of the pool
    held_out: bool = False  # without the validation rows where the protocol trains on them
    alone: bool = False  # from fakes without real images; for the steps of real images alone
    steps: int | None = None  # in the place of those of the budget

    @property
    def is_head(self) -> bool:
        """Whether it is a teacher's projection head and not a student."""
        return self.method == HEAD

    @property
    def spec_before(self) -> "StudentSpec | None":
        """What is trained before: an assistant, paired by seed; a head, which seeds share."""
        if self.is_head:
            return None
        if METHODS[self.method].assistant:
            return replace(self, network=self.assistant, method="blkd", assistant="", steps=None)
        if METHODS[self.method].head:
            return replace(self, network=self.teacher, method=HEAD, seed=0, steps=None)
        return None


def search_rows(preset: Preset) -> dict[str, list[StudentSpec]]:
    """The students of each candidate: no fakes and each rho with each share, each network, each
    seed; none sees the rows that choose.
    """
    paper = preset.data.protocol == "paper"
    networks = dict.fromkeys(pair[2] for pair in preset.distill.pairs)
    shares: list[Any] = preset.search.shares or [preset.distill.fake_share]
    candidates: dict[str, dict[str, Any]] = {"none": {}}
    for rho, share in product(preset.search.grid, shares):
        fakes = {"selection": full_selection(preset, rho), "share": share}
        candidates[f"{rho:g}, {share}"] = fakes
    return {
        name: [
            StudentSpec(network, "nokd", seed, held_out=paper, **fakes)
            for network, seed in product(networks, preset.search.seeds)
        ]
        for name, fakes in candidates.items()
    }


def methods(job: Job) -> list[str]:
    """The methods of a call, by default those of the preset; UserError where one does not apply."""
    found: list[str] = []
    for asked in job.overrides.methods:
        try:
            found.append(check_method(asked))
            check_applies(found[-1], job.preset)
        except ValueError as error:
            raise UserError(f"--method {asked}: {error}", USAGE) from None
    return list(dict.fromkeys(found)) or list(job.preset.distill.methods)


def method_rows(method: str, job: Job) -> dict[str, list[StudentSpec]]:
    """The students of a method, each pair and each seed: one row, or with fakes one for each of
    distill.nfake.
    """
    base, distill = base_of(method), job.preset.distill
    selections: list[FakeSelection | None] = selections_of(job) if uses_fakes(method) else [None]
    numbers = [selection.num if selection else 0 for selection in selections]
    names = [f"{method} ({num})" for num in numbers] if len(numbers) > 1 else [method]
    chains = dict.fromkeys(_chain(base, *pair) for pair in _pairs(job))
    share = share_of(job) if any(selections) else None
    return {
        name: [
            StudentSpec(
                network,
                base,
                seed,
                teacher,
                assistant,
                selection,
                share if selection else None,
                job.overrides.fakes or "" if selection else "",
            )
            for (teacher, assistant, network), seed in product(chains, distill.seeds)
        ]
        for name, selection in zip(names, selections, strict=True)
    }


def ablation_rows(job: Job) -> dict[str, list[StudentSpec]]:
    """The students of each row of the ablation."""
    preset, overrides = job.preset, job.overrides
    if (overrides.rho or preset.distill.rho) == "none":
        raise UserError(
            "the ablation adds fakes step by step, but rho is none",
            USAGE,
            "name a rho, e.g. --rho 0.7",
        )
    if overrides.fakes:
        raise UserError(
            "the ablation needs the pool of the run, not a file of fakes",
            USAGE,
            "leave out --fake",
        )
    full = full_selection(preset, rho_of(job))
    if full.relabel == "keep":
        full = replace(full, relabel="hard")
    network, share = overrides.student or preset.distill.pairs[0][2], share_of(job)
    return {
        name: [
            StudentSpec(network, "nokd", seed, selection=part_of(full), share=share)
            for seed in preset.distill.seeds
        ]
        for name, part_of in ABLATION.items()
    }


def curve_rows(job: Job) -> dict[str, list[StudentSpec]]:
    """The students of each method at each number of steps; none sees the rows that compare."""
    steps, paper = curve_steps(job), job.preset.data.protocol == "paper"
    return {
        name: [replace(spec, steps=num, held_out=paper) for num in steps for spec in specs]
        for method in methods(job)
        for name, specs in method_rows(method, job).items()
    }


def curve_steps(job: Job) -> list[int]:
    """The numbers of steps that a call asks for, increasing; UserError where they are none."""
    asked = job.overrides.curve or ""
    key, _, values = asked.partition("=")
    numbers = [int(text) for text in values.split(",") if text.strip().isdecimal()]
    distinct = sorted(set(numbers))
    if key != "steps" or len(numbers) != len(values.split(",")) or not 1 < len(distinct):
        raise UserError(
            f"--curve {asked}: expected several numbers of steps", USAGE, "e.g. steps=200,800,2400"
        )
    if not 1 <= distinct[0] <= distinct[-1] <= MAX_STEPS:
        raise UserError(f"--curve {asked}: expected numbers from 1 to {MAX_STEPS:,}", USAGE)
    if job.preset.distill.epochs is not None:
        raise UserError(
            f"--curve {asked}: the budget of preset {job.preset.name} is epochs, not steps",
            USAGE,
            "leave it out, or add --set distill.budget=steps --set distill.epochs=none",
        )
    if job.overrides.ablation:
        raise UserError("--curve and --ablation are two calls", USAGE, "leave one of them out")
    return distinct


def wanted(job: Job) -> list[StudentSpec]:
    """The students of the methods, or of the ablation, or of the curve, of a call."""
    if job.overrides.curve:
        tables = [curve_rows(job)]
    elif job.overrides.ablation:
        tables = [ablation_rows(job)]
    else:
        tables = [method_rows(method, job) for method in methods(job)]
    return [spec for rows in tables for row in rows.values() for spec in row]


def _pairs(job: Job) -> list[list[str]]:
    """The pairs of the preset, or those of the one student asked for."""
    every, student = job.preset.distill.pairs, job.overrides.student
    pairs = [pair for pair in every if student in (None, pair[2])]
    if not pairs:
        known = ", ".join(dict.fromkeys(pair[2] for pair in every))
        raise UserError(f"--student {student}: not in distill.pairs (students: {known})", USAGE)
    return pairs


def _chain(base: str, teacher: str, assistant: str, student: str) -> tuple[str, str, str]:
    """Of a pair only what the method uses, so that equal students are one."""
    facts = METHODS[base]
    return (teacher if facts.teacher else "", assistant if facts.assistant else "", student)
