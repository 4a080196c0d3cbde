"""Drawing the fake pool: draw, accept by the density ratio, score by the teacher.

Sample p of label l depends on (seed, l, p) alone. Sampling goes in rounds: which samples a round
holds follows from the acceptances of the rounds before, and a round is cut into fixed shards and
these into fixed blocks, so the pool does not depend on processes or interruptions; a shard that
stands is not made again.
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgankd import console, runs, signals
from cgankd.data.batches import to_device
from cgankd.data.images import to_float, to_uint8
from cgankd.errors import DIVERGED, STOPPED, UserError
from cgankd.fakes.pool import rank_within, read_shard, write_shard
from cgankd.fakes.ratio import bounds, effective_share
from cgankd.preset import Generate, Random, Spread
from cgankd.randomness import generator, uniform_and_normals
from cgankd.task import Task
from cgankd.training.machine import Machine

SHARD_BYTES = 8 << 20  # of images


@dataclass(frozen=True)
class Sampler:
    """The networks that make and judge fakes."""

    task: Task
    generator: Any
    condition: nn.Module
    features: nn.Module
    ratio: nn.Module
    teacher: nn.Module
    labels: Tensor  # (L,): all labels to generate
    seed: int
    device: torch.device

    @torch.no_grad()
    def draw(
        self, stream: str, label: np.ndarray, number: np.ndarray, block: int, *, judged: bool = True
    ) -> dict[str, Tensor]:
        """Samples `number` of labels `label` (indices), at most `block`: pixels, density ratios,
        acceptance draws, and where they are to be `judged` the teacher's outputs.

        Always computes a whole block, since floating-point sums depend on the shape.
        """
        num = len(label)
        padded = np.arange(block).clip(max=num - 1)  # a short block repeats its last row
        numbers = self._numbers(stream, label[padded], number[padded])
        labels = to_device(self.labels[torch.from_numpy(label[padded])], self.device)
        condition = self.condition(labels)
        # The ratio judges the images that it was fitted to, as they leave the generator; the
        # teacher, like every student, sees what is stored.
        images = self.generator(numbers[:, 1:], condition)
        columns = {
            "pixels": to_uint8(images),
            "ratios": self.ratio(self.features(images), condition).float(),
            "uniform": numbers[:, 0],
            "labels": labels,
        }
        if judged:
            columns["outputs"] = self.teacher(to_float(columns["pixels"])).float()
        return {name: column[:num] for name, column in columns.items()}

    def _numbers(self, stream: str, label: np.ndarray, number: np.ndarray) -> Tensor:
        # A function of each sample by itself: the same in whatever round, block or process.
        latent = self.generator.latent
        drawn = uniform_and_normals(latent, label, number, self.seed, stream)
        return to_device(torch.from_numpy(drawn), self.device)


def labels_of(task: Task, settings: Generate, seed: int) -> Tensor:
    """The labels (L,) to generate, increasing and distinct, as networks take them."""
    match settings.labels:
        case Random(random=num):
            return _uniform(num, generator(seed, "labels to generate"))
        case Spread(values=values):
            return task.grid(values)
        case asked:
            return task.grid(asked)


def _uniform(num: int, draws: torch.Generator) -> Tensor:
    """The first `num` distinct numbers of a stream in [0, 1), sorted: float32 has few enough to
    meet one twice.
    """
    drawn = torch.rand(num + 64 + num**2 // 2**22, generator=draws).numpy()
    first = np.sort(np.unique(drawn, return_index=True)[1])[:num]
    return torch.from_numpy(np.sort(drawn[first]))


def fit_bounds(
    sampler: Sampler, settings: Generate, file: Path, digest: str, machine: Machine
) -> np.ndarray:
    """The bound of each label (L,), from a burn-in of its class or its range of labels; kept in
    `file` for the pool of a digest.
    """
    num_labels = len(sampler.labels)
    num_groups = min(settings.bound_bins, num_labels) if settings.labels else num_labels
    group_of = np.arange(num_labels) * num_groups // num_labels
    if not machine.decide(lambda: runs.part_stands(file, digest)):
        parts = [file.with_name(f"bound-{group:05d}.json") for group in range(num_groups)]
        with console.progress("burn-in", num_groups) as show:
            for group, part in enumerate(parts):
                is_mine = group % machine.num_processes == machine.rank
                if is_mine and not runs.part_stands(part, digest):
                    bound = _burn_in(sampler, settings, np.flatnonzero(group_of == group))
                    runs.write_json(part, {"bound": bound})
                    runs.keep_part(part, digest)
                show(group + 1, "")
        machine.barrier()

        def gather() -> None:
            runs.write_json(file, {"bounds": [runs.read_json(part)["bound"] for part in parts]})
            runs.keep_part(file, digest)
            for part in parts:
                runs.remove(part)

        machine.once(gather)
    return np.asarray(runs.read_json(file)["bounds"])[group_of]


def _burn_in(sampler: Sampler, settings: Generate, members: np.ndarray) -> float:
    numbers = np.arange(settings.burn_in)
    label = members[numbers % len(members)]
    parts = [
        sampler.draw(
            "burn-in",
            label[start : start + settings.block],
            numbers[start : start + settings.block],
            settings.block,
            judged=False,
        )["ratios"]
        for start in range(0, len(numbers), settings.block)
    ]
    # A high quantile and not the maximum, which one odd ratio would make so large that nothing else
    # is accepted.
    bound = bounds(torch.cat(parts)[None], settings.bound_quantile).item()
    if not (bound > 0 and math.isfinite(bound)):
        names = sampler.task.name(sampler.labels[members[0]].item())
        raise UserError(
            f"the density ratio is {bound} for the fakes of label {names}: none could be accepted",
            DIVERGED,
            "raise dre.penalty, or train the GAN for longer",
        )
    return bound


def draw_pool(
    sampler: Sampler, settings: Generate, folder: Path, digest: str, machine: Machine
) -> tuple[list[Path], np.ndarray]:
    """Draws until every label has its accepted images; the shards and the bounds (L,). What an
    interrupted run has left in `folder` for the pool of this digest is not drawn again.

    UserError(STOPPED) at a signal, with all whole shards kept; UserError(DIVERGED) naming a label
    that would need more than `max_proposals` proposals per image.
    """
    bound = fit_bounds(sampler, settings, folder / "bounds.json", digest, machine)
    num_labels, wanted = len(sampler.labels), settings.per_label
    shard_rows = _shard_rows(sampler, settings)
    proposed, accepted = np.zeros(num_labels, int), np.zeros(num_labels, int)
    shards: list[Path] = []
    with (
        signals.deferred(),
        console.progress("fakes accepted", num_labels * wanted) as show,
        _Writer(digest) as writer,
    ):
        # What a round holds follows from what was accepted before it, read back from its shards:
        # so it is the same whoever drew them, and whenever.
        while (accepted < wanted).any():
            label, number = next_round(proposed, accepted, settings, sampler)
            starts = range(0, len(label), shard_rows)
            paths = [folder / f"pool-{len(shards) + index:05d}.h5" for index in range(len(starts))]
            for index, (start, path) in enumerate(zip(starts, paths, strict=True)):
                is_mine = index % machine.num_processes == machine.rank
                if is_mine and not runs.part_stands(path, digest):
                    rows = slice(start, start + shard_rows)
                    if drawn := _draw_shard(sampler, settings, bound, label[rows], number[rows]):
                        writer.write(path, drawn)
                if signals.stop_requested():
                    break
            writer.wait()
            if machine.agree(signals.stop_requested())[0]:
                kept = "whole shards are kept; the same command continues"
                raise UserError("generate stopped", STOPPED, kept)
            np.add.at(proposed, label, 1)
            accepted += _accepted_in(paths, sampler)
            shards += paths
            share = f"{accepted.sum() / proposed.sum():.0%} of proposals"
            show(int(accepted.clip(max=wanted).sum()), share)
    return shards, bound


class _Writer:
    """Writes shards of the pool of a digest while the next one is drawn, one at a time."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self.thread = ThreadPoolExecutor(1)
        self.pending: Future[None] | None = None

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *raised: object) -> None:
        self.thread.shutdown()

    def write(self, path: Path, drawn: dict[str, np.ndarray]) -> None:
        """Begins to write a shard, once the one before is whole."""
        self.wait()
        self.pending = self.thread.submit(self._write, path, drawn)

    def wait(self) -> None:
        """Until all shards are whole; the error of one that is not."""
        pending, self.pending = self.pending, None
        if pending:
            pending.result()

    def _write(self, path: Path, drawn: dict[str, np.ndarray]) -> None:
        write_shard(path, drawn)
        runs.keep_part(path, self.digest)


def _shard_rows(sampler: Sampler, settings: Generate) -> int:
    """Rows of a shard: whole blocks, of about SHARD_BYTES of images."""
    one = np.zeros(1, int)
    side = int(sampler.draw("burn-in", one, one, settings.block)["pixels"].shape[-1])
    return max(1, SHARD_BYTES // (3 * side * side) // settings.block) * settings.block


def _accepted_in(shards: list[Path], sampler: Sampler) -> np.ndarray:
    """How many images of each label (L,) shards hold that were accepted."""
    num = np.zeros(len(sampler.labels), int)
    for path in shards:
        written = read_shard(path, ("labels", "accepted"))
        taken = written["labels"][written["accepted"]]
        num += np.bincount(_index(sampler, taken), minlength=len(num))
    return num


def _index(sampler: Sampler, labels: np.ndarray) -> np.ndarray:
    """Labels as written in shards -> their places in `sampler.labels`, which increase."""
    return np.searchsorted(sampler.labels.numpy(), labels)


def next_round(
    proposed: np.ndarray, accepted: np.ndarray, settings: Generate, sampler: Sampler
) -> tuple[np.ndarray, np.ndarray]:
    """The labels (indices) and proposal numbers of the next round, after so many proposals of each
    label (L,) of which so many were accepted.
    """
    _check_hopeful(proposed, accepted, settings, sampler)
    count = _num_proposals(proposed, accepted, settings)
    label = np.repeat(np.arange(len(count)), count)
    place = rank_within(label)
    order = np.lexsort((label, place))  # labels interleaved, so that no block holds one only
    return label[order], (place + proposed[label])[order]


def _check_hopeful(
    proposed: np.ndarray, accepted: np.ndarray, settings: Generate, sampler: Sampler
) -> None:
    """UserError(DIVERGED) naming a label that still lacks images at its last proposal."""
    limit = settings.max_proposals * settings.per_label
    failed = np.flatnonzero((accepted < settings.per_label) & (proposed >= limit))
    if failed.size:
        name = sampler.task.name(sampler.labels[int(failed[0])].item())
        raise UserError(
            f"label {name}: only {accepted[failed[0]]} of {settings.per_label} images accepted in "
            f"{limit} proposals",
            DIVERGED,
            "raise dre.penalty or generate.max_proposals, or train the GAN for longer",
        )


def _num_proposals(proposed: np.ndarray, accepted: np.ndarray, settings: Generate) -> np.ndarray:
    """How many proposals of each label (L,) a round makes: first as many as there are images to
    accept, then what is missing by the rate so far.
    """
    missing = (settings.per_label - accepted).clip(min=0)
    limit = settings.max_proposals * settings.per_label
    rate = accepted / proposed.clip(min=1)
    # A tenth more than the rate says, and eight, since few proposals tell a rate badly: too many
    # cost a few draws, too few a whole round with its reading and waiting.
    guess = np.ceil(1.1 * missing / rate.clip(min=1 / settings.max_proposals)) + 8 * (missing > 0)
    count = np.where(proposed, guess, missing).astype(int)
    return np.minimum(count, limit - proposed)


def _draw_shard(
    sampler: Sampler,
    settings: Generate,
    bound: np.ndarray,
    label: np.ndarray,
    number: np.ndarray,
) -> dict[str, np.ndarray]:
    """The rows of a shard that a pool keeps, computed block by block; nothing at a signal."""
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, len(label), settings.block):
        if signals.stop_requested():
            return {}
        part = slice(start, start + settings.block)
        drawn = sampler.draw("fake", label[part], number[part], settings.block)
        ratios = drawn["ratios"].cpu().numpy().astype(np.float32)
        # Rejection sampling: accepted with probability ratio / bound (larger ratios always).
        accepted = drawn["uniform"].cpu().numpy() * bound[label[part]] < ratios
        # The first proposals stay, accepted or not: they are the raw fakes of the ablation.
        keep = accepted | (number[part] < settings.per_label)
        rows = {
            "images": drawn["pixels"].cpu().numpy(),
            "proposals": number[part].astype(np.int64),
            "accepted": accepted,
            "ratios": ratios,
            **judged(sampler.task, drawn["outputs"], drawn["labels"]),
        }
        parts.append({name: column[keep] for name, column in rows.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def judged(task: Task, outputs: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
    """What a shard says of a teacher's outputs (N, K) for images that were asked for by labels
    (N,).
    """
    return {
        "labels": labels.cpu().numpy(),
        "outputs": outputs.cpu().numpy(),
        "errors": _numbers(task.errors(outputs, labels)),
        "clipped_errors": _numbers(task.clipped_errors(outputs, labels)),
        "relabels": task.relabel(outputs).cpu().numpy(),
    }


def _numbers(errors: Tensor) -> np.ndarray:
    return errors.cpu().numpy().astype(np.float32)


def health(
    task: Task,
    labels: Tensor,
    columns: dict[str, np.ndarray],
    per_label: int,
    bound: np.ndarray,
) -> list[dict[str, float]]:
    """Per label of increasing labels (L,), over its first n proposals: acceptance, clipped share,
    effective sample share, bound.
    """
    place = np.searchsorted(labels.numpy(), columns["labels"])
    raw = columns["proposals"] < per_label
    rows = []
    for index, label in enumerate(labels.tolist()):
        mine = raw & (place == index)
        ratios = columns["ratios"][mine]
        rows.append(
            {
                "label": label,
                "name": task.name(label),
                "acceptance": float(columns["accepted"][mine].mean()),
                "clipped": float((ratios > bound[index]).mean()),
                "effective": effective_share(torch.from_numpy(ratios)),
                "bound": float(bound[index]),
            }
        )
    return rows
