"""Toy presets and child processes, shared by the tests of whole stages.

Children come from a fork server that has torch loaded, so that a process that may be killed starts
in milliseconds and shares no thread with the tests.
"""

import io
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cgankd import pipeline, plan, preset
from cgankd.errors import UserError
from cgankd.job import Job
from cgankd.runs import Artefact, RunFolder, hdf5

TOY = [
    "data.num_train=40", "data.num_validation=200", "gan.width=1", "gan.latent=6", "gan.steps=24",
    "gan.batch=8", "gan.ema_start=4", "teacher.networks=['resnet8_x0_25']", "teacher.steps=150",
    "teacher.batch=16", "dre.width=32", "dre.steps=20", "dre.batch=8", "dre.penalty=10.0",
    "dre.output='softplus'", "dre.features.size=32", "dre.features.steps=12",
    "dre.features.batch=8", "generate.teacher='resnet8_x0_25'", "generate.per_label=12",
    "generate.block=16", "generate.burn_in=16", "rho.grid=[0.5, 1.0]", "rho.seeds=[0]",
    "distill.methods=['nokd', 'nokd+fake']", "distill.seeds=[0, 1]", "distill.steps=16",
    "distill.batch=16", "distill.pairs=[['resnet8_x0_25', 'resnet8_x0_125', 'resnet8_x0_0625']]",
]  # fmt: skip
ANGLE = [
    "gan.embedding.network='resnet8_x0_125'", "gan.embedding.size=16", "generate.labels=6",
    "gan.embedding.images.steps=12", "gan.embedding.labels.steps=8", "dre.features.width=4",
    "generate.bound_bins=2", "teacher.head=16", "distill.head=8", "evaluate.radius=20.0",
    "evaluate.centers=2", "evaluate.types.network='resnet8_x0_25'", "evaluate.types.steps=8",
    "dre.vicinity={gaps=2.0}",
]  # fmt: skip
KINDS = {
    "digits": [
        "dre.features.network='resnet8_x0_25'", "distill.sskd.head.steps=8",
        "distill.sskd.head.batch=16",
    ],
    "digits-angle": ANGLE,
    "rc49-r25": [*ANGLE, "data.size=16", "distill.epochs=1", "distill.nfake=20"],
}  # fmt: skip
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "cgankd.cli.commands",
        "cgankd.pipeline",
        *(stage.module for stage in plan.STAGES.values()),
        # What these would import when they first need it, each child anew.
        *("filelock", "PIL.PngImagePlugin", "scipy.ndimage", "sklearn.datasets", "torch._dynamo"),
    ]
)


def settings(kind: str, *changes: str) -> preset.Preset:
    """A preset small enough for tests."""
    return preset.load(kind, [*TOY, *KINDS[kind], *changes])


def job(kind: str, root: Path, *changes: str, **options: Any) -> Job:
    """A job on a toy preset, with `options` of Job; its overrides are added by `asking`."""
    return Job(settings(kind, *changes), RunFolder(root), **{"device": "cpu", **options})


def planned(stage: str, job: Job) -> Sequence[Artefact]:
    """What a stage makes of a job."""
    return plan.STAGES[stage].plan(job)


def states(stage: str, job: Job) -> list[str]:
    """The state of each artefact of a stage."""
    return [artefact.state() for artefact in planned(stage, job)]


def start(stage: str, job: Job, *, seconds: float = 0.0, **circumstances: Any) -> BaseProcess:
    """Starts a stage in a child, which saves a checkpoint every so many `seconds`: after each step.

    Circumstances: `sabotage` is called first; `unseeded` steps are drawn at random; `report` is the
    file for the peak of its memory.
    """
    process = _context.Process(target=_child, args=(stage, job, seconds), kwargs=circumstances)
    process.start()
    return process


def build(stage: str, job: Job, *, seconds: float = 60.0, **circumstances: Any) -> int:
    """Runs a stage in a child to its end, by default without checkpoints; its exit code, or minus
    the signal. What a UserError says is left in the run's error.txt.
    """
    process = start(stage, job, seconds=seconds, **circumstances)
    process.join(240)
    assert process.exitcode is not None, f"{stage} did not end"
    return process.exitcode


def error(job: Job) -> str:
    """What the last child of a run had to say, with its hint."""
    return (job.run.root / "error.txt").read_text()


def build_all(job: Job, upto: str = "distill") -> None:
    """Runs the stages of the chain, in their order, up to one of them."""
    for stage in plan.STAGES.values():
        assert build(stage.name, job) == 0, stage.name
        if stage.name == upto:
            return


def command(folder: Path, *arguments: object) -> BaseProcess:
    """Starts the command itself in a child, which saves a checkpoint after every step and says
    nothing.
    """
    process = _context.Process(
        target=_command, args=(folder, [str(argument) for argument in arguments])
    )
    process.start()
    return process


def _command(folder: Path, arguments: list[str]) -> None:
    from cgankd.cli import commands

    _set_up(seconds=0.0)
    os.chdir(folder)
    sys.argv = ["cgankd", *arguments]
    sys.stdout = sys.stderr = io.StringIO()
    commands.main()


def _child(
    stage: str,
    job: Job,
    seconds: float,
    *,
    sabotage: Callable[[], None] | None = None,
    unseeded: bool = False,
    report: Path | None = None,
) -> None:
    import torch

    from cgankd import signals
    from cgankd.training import loop

    _set_up(seconds)
    sys.stderr = io.StringIO()
    if unseeded:
        loop.seed_everything = lambda *name: torch.seed()  # type: ignore[assignment]
    if sabotage:
        sabotage()
    signals.install()
    code = 0
    try:
        pipeline.build_stage(stage, job)
        if report:
            import resource

            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            report.write_text(json.dumps({"peak": peak}))
    except UserError as error:
        (job.run.root / "error.txt").write_text(f"{error}\n{error.hint}")
        code = error.code
    os._exit(code)


def _set_up(seconds: float) -> None:
    """One thread, a checkpoint every so many seconds, and no waiting for the disk: a kill loses
    nothing written.
    """
    import torch

    from cgankd.training import loop

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.fsync = lambda handle: None
    loop.CHECKPOINT_SECONDS = seconds


def ended_by_kill(process: BaseProcess) -> bool:
    return process.exitcode == -signal.SIGKILL


def small_disk() -> None:
    """From now on no file of this process may grow past 20,000 bytes: what a full disk does, for
    anyone.
    """
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def signal_in_the_sixth_step() -> None:
    """The process is asked to stop while a GAN takes that step."""
    from cgankd.training import updates

    step_of = updates.Adversarial.__call__

    def asked(self: Any, batch: Any, step: int) -> Any:
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return step_of(self, batch, step)

    updates.Adversarial.__call__ = asked  # type: ignore[method-assign]


def signal_in_the_third_block() -> None:
    """The process is asked to stop while that block of fakes is drawn."""
    from cgankd.fakes import sampling

    draw, drawn = sampling.Sampler.draw, []

    def asked(self: Any, stream: str, *given: Any, **named: Any) -> Any:
        drawn.extend(["fake"] if stream == "fake" else [])
        if len(drawn) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(self, stream, *given, **named)

    sampling.Sampler.draw = asked  # type: ignore[method-assign]


def poisoned_loss() -> None:
    """The sixth step of a GAN has a loss that is not a number."""
    from cgankd.training import updates

    healthy = updates.Adversarial.__call__

    def poisoned(self: Any, batch: Any, step: int) -> Any:
        losses = healthy(self, batch, step)
        return (
            {name: value * float("nan") for name, value in losses.items()} if step == 5 else losses
        )

    updates.Adversarial.__call__ = poisoned  # type: ignore[method-assign]


def rc49(path: Path, chairs: tuple[int, ...] = (0, 5, 7, 30, 49), side: int = 16) -> None:
    """The layout of the public RC-49 file: each angle of each chair, brighter the further it is
    turned.
    """
    tenths = np.tile(np.arange(1, 921), len(chairs))
    noise = np.random.default_rng(0).integers(0, 20, (len(tenths), 3, side, side), dtype=np.uint8)
    hdf5.write(
        path,
        {
            "images": noise + (tenths // 4).astype(np.uint8)[:, None, None, None],
            "labels": (tenths / 10).astype(np.float32),
            "types": np.repeat(chairs, 920),
            "indx_train": np.flatnonzero(tenths % 2),
        },
        {},
    )


def rc49_split(path: Path, side: int = 16) -> None:
    """The layout of a published R-1 file: two chairs, of which one at each odd angle is to train on
    or validate.
    """
    draws = np.random.default_rng(0)
    angles = {
        "odd": np.repeat(np.arange(1, 900, 2), 2) / 10,
        "even": np.repeat(np.arange(2, 900, 2), 2) / 10,
    }
    train = 2 * np.arange(450)
    hdf5.write(
        path,
        {
            **{
                f"images_{part}": draws.integers(
                    0, 256, (len(values), 3, side, side), dtype=np.uint8
                )
                for part, values in angles.items()
            },
            **{f"labels_{part}": values for part, values in angles.items()},
            **{f"types_{part}": np.arange(len(values)) % 2 for part, values in angles.items()},
            "indx_odd_train": train,
            "indx_odd_subtrain": train[:360],
            "indx_odd_subvalid": train[360:],
            "indx_odd_rest": train + 1,
        },
        {},
    )


def faces(folder: Path, ages: dict[int, int], side: int = 20) -> None:
    """Pictures named as those of UTKFace: how many of which age, brighter the older."""
    folder.mkdir(parents=True)
    for age, num in ages.items():
        for number in range(num):
            noise = np.random.default_rng([age, number]).integers(0, 20, (side, side, 3)) + 3 * age
            name = f"{age}_{number % 2}_{number % 5}_2017011617452512{number}.jpg.chip.jpg"
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / name)
