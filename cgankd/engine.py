"""The training loop, and the two kinds of step it takes: `Supervised` and `Adversarial`.

All state is weights, optimisers, averages and the step: every random draw is seeded from (seed, name, step,
rank), so that training stopped anywhere continues with the same bits.
"""

import copy
import inspect
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as distributed
from accelerate import Accelerator
from torch import Tensor, nn

from cgankd import checkpoint, console, images, signals
from cgankd.data import Round, Share
from cgankd.errors import DIVERGED, STOPPED, UNAVAILABLE, UserError, storage_errors
from cgankd.losses import ADVERSARIAL
from cgankd.preset import Recipe
from cgankd.randomness import seed_everything

CHECKPOINT_SECONDS = float(os.environ.get("CGANKD_CHECKPOINT_SECONDS", "60"))
LOG_POINTS = 200  # rows of metrics.jsonl

State = dict[str, Tensor]


class Machine:
    """Where a run computes: device, precision, processes. Accelerate does placement, autocast and start-up."""

    def __init__(self, device: str = "cpu", precision: str = "fp32", deterministic: bool = False) -> None:
        asked, gpus = int(os.environ.get("WORLD_SIZE", "1")), torch.cuda.device_count()
        if device == "cuda" and not gpus:
            raise UserError("--device cuda: no CUDA device is available", UNAVAILABLE, "use --device cpu or auto")
        if device != "cpu" and gpus and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > gpus:
            raise UserError(f"more processes than the {gpus} CUDA devices here", UNAVAILABLE, "lower --num-processes")
        device = ("cuda" if gpus else "cpu") if device == "auto" else device
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        mixed = "bf16" if precision == "bf16" else "no"
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed)
        self.device = self.accelerator.device
        self.rank, self.num_processes = self.accelerator.process_index, self.accelerator.num_processes
        if self.num_processes != asked or self.device.type != device:
            raise UserError(
                f"asked for {asked} processes on {device}, got {self.num_processes} on {self.device.type}", UNAVAILABLE
            )
        self.precision = precision

    @property
    def facts(self) -> dict[str, Any]:
        """What results depend on beside preset and seed."""
        return {"device": self.device.type, "precision": self.precision, "processes": self.num_processes,
                "threads": torch.get_num_threads(), "torch": torch.__version__}  # fmt: skip

    @property
    def share(self) -> Share:
        return Share(self.rank, self.num_processes)

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def alone(self) -> "Machine":
        """The same machine for work that this process does by itself."""
        machine = copy.copy(self)
        machine.rank, machine.num_processes = 0, 1
        return machine

    def shared(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over processes; buffers are aligned at checkpoints instead."""
        if self.num_processes == 1 or not any(parameter.requires_grad for parameter in module.parameters()):
            return module
        options: dict[str, Any] = {_buffer_option(): False}
        if self.device.type == "cuda":
            options["device_ids"] = [self.device.index]
        return nn.parallel.DistributedDataParallel(module, **options)

    def align(self, module: nn.Module) -> None:
        """Gives all processes the buffers of the first."""
        if self.num_processes > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, 0)

    def agree(self, *flags: int) -> list[int]:
        """The largest value of each flag: true when any process says so."""
        if self.num_processes == 1:
            return list(flags)
        votes = torch.tensor(flags, dtype=torch.int32, device=self.device)
        distributed.all_reduce(votes, distributed.ReduceOp.MAX)
        return votes.tolist()

    def found(self, path: Path) -> bool:
        """Whether `path` stands; all processes have looked before any of them can go on and make it."""
        stands = path.exists()
        self.barrier()
        return stands

    def barrier(self) -> None:
        if self.num_processes > 1:
            self.accelerator.wait_for_everyone()


def _buffer_option() -> str:
    # torch 2.13 renamed it.
    names = inspect.signature(nn.parallel.DistributedDataParallel).parameters
    return "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"


class Update(Protocol):
    """One change of weights from one batch."""

    def __call__(self, batch: Any, step: int) -> dict[str, Tensor]: ...
    def state(self) -> State: ...
    def load(self, state: State) -> None: ...
    def align(self) -> None: ...


def fit(
    update: Update,
    batches: Callable[[int], Any],
    *,
    steps: int,
    folder: Path,
    name: str,
    seed: int,
    recipe: str,
    machine: Machine,
    watch: Callable[[int], None] | None = None,
) -> None:
    """Trains for `steps` steps, continuing from the newest checkpoint in `folder`.

    `recipe` is the digest of what is being made: checkpoints of anything else are refused. `watch` is called
    ten times in a run by the first process; it may not change what is trained, but a UserError of it stops all
    processes. A signal saves and raises UserError(STOPPED); a loss that is not finite raises UserError(DIVERGED).
    """
    checkpoints = folder / "checkpoints"
    start, state = checkpoint.newest(checkpoints, recipe, machine.facts)
    if state:
        update.load(state)
        console.say(f"{name}: continuing at step {start} of {steps}")
    finite = _Finite(name, checkpoints, machine.device)
    saved, every = time.monotonic(), max(1, steps // LOG_POINTS)

    with signals.deferred(), console.progress(name, steps, start) as show, _log(folder, start, machine) as log:
        for step in range(start, steps):
            seed_everything(seed, name, step, machine.rank)
            losses = update(batches(step), step)
            finite.watch(losses, step)
            done = step + 1
            if done % every == 0 or done == steps:
                finite.check()
                values = {key: value.item() for key, value in losses.items()}
                log({"step": done, **values})
                show(done, " ".join(f"{key} {value:.3g}" for key, value in values.items()))
            look = machine.is_main and done % max(1, steps // 10) == 0
            fault = _fault(finite, watch, done) if watch and look else None
            due = time.monotonic() - saved > CHECKPOINT_SECONDS
            stop, save, code = machine.agree(signals.stop_requested(), due, fault.code if fault else 0)
            if code:
                raise fault or UserError(f"{name} stopped at step {done}: the first process says why", code)
            if stop or (save and done < steps):
                finite.check()
                update.align()
                if machine.is_main:
                    checkpoint.write(checkpoints, done, update.state(), recipe, machine.facts)
                machine.barrier()
                saved = time.monotonic()
            if stop:
                raise UserError(f"{name} stopped at step {done} of {steps}", STOPPED, "the same command continues")
    update.align()


def fit_objective(
    objective: nn.Module,
    batches: Callable[[int], Any],
    settings: Recipe,
    *,
    folder: Path,
    name: str,
    seed: int,
    recipe: str,
    machine: Machine,
) -> None:
    """`fit` of an objective to batches of images, augmented as the settings say."""
    update = Supervised(machine, images.Augmented(objective, settings.augment), settings)
    fit(update, batches, steps=settings.steps, folder=folder, name=name, seed=seed, recipe=recipe, machine=machine)


def _fault(finite: "_Finite", watch: Callable[[int], None], step: int) -> UserError | None:
    """What `watch` has against going on, kept until all processes hear of it."""
    try:
        finite.check()
        watch(step)
    except UserError as error:
        return error
    return None


class _Finite:
    """Notices the first loss that is not finite without waiting for the device at every step."""

    def __init__(self, name: str, checkpoints: Path, device: torch.device) -> None:
        self.name, self.checkpoints = name, checkpoints
        self.first = torch.full((), -1, device=device)

    def watch(self, losses: dict[str, Tensor], step: int) -> None:
        bad = ~torch.stack([value.detach().float() for value in losses.values()]).sum().isfinite()
        self.first = torch.where(bad & (self.first < 0), step, self.first)

    def check(self) -> None:
        step = int(self.first.item())
        if step >= 0:
            good = max((path.name for path in self.checkpoints.glob("step-*")), default="none")
            raise UserError(
                f"{self.name}: the loss is not finite at step {step + 1} (last good checkpoint: {good})",
                DIVERGED,
                "lower the learning rate",
            )


@contextmanager
def _log(folder: Path, start: int, machine: Machine) -> Iterator[Callable[[dict[str, float]], None]]:
    """Appends rows to metrics.jsonl, having dropped those past the step that training continues from."""
    if not machine.is_main:
        yield lambda row: None
        return
    path = folder / "metrics.jsonl"
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in (path.read_text().splitlines() if path.exists() else []) if _step_of(line) <= start]
        path.write_text("".join(f"{line}\n" for line in kept))
        file = path.open("ab", buffering=0)

    def log(row: dict[str, float]) -> None:
        try:
            file.write((json.dumps(row) + "\n").encode())
        except OSError as error:  # a lost line of a log is no reason to lose the run
            console.warn(f"{path}: {error.strerror}")

    with file:
        yield log


def logged(folder: Path, name: str, after: int) -> list[float]:
    """The values of the loss `name` in metrics.jsonl, of steps past `after`."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)[name] for line in lines if after < _step_of(line) < float("inf")]


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


class Supervised:
    """A step on the summed terms of an objective: a module (images, labels, ...) -> {name: weighted loss}."""

    def __init__(self, machine: Machine, objective: nn.Module, recipe: Recipe) -> None:
        self.machine, self.recipe = machine, recipe
        self.objective = objective.to(machine.device).train()
        self.parameters = [parameter for parameter in objective.parameters() if parameter.requires_grad]
        self.optimizer = make_optimizer(self.parameters, recipe)
        self.module = machine.shared(self.objective)

    def __call__(self, batch: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * learning_rate_factor(self.recipe, step)
        with self.machine.accelerator.autocast():
            losses = self.module(*batch)
        self.machine.accelerator.backward(torch.stack(list(losses.values())).sum())
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {name: loss.detach() for name, loss in losses.items()}

    def state(self) -> State:
        return {**_prefixed("objective", self.objective.state_dict()), **_optimizer_state("optimizer", self.optimizer)}

    def load(self, state: State) -> None:
        self.objective.load_state_dict(_part(state, "objective"))
        _load_optimizer(self.optimizer, _part(state, "optimizer"))

    def align(self) -> None:
        self.machine.align(self.objective)


class Adversarial:
    """The discriminator's steps, then one of the generator, with the `loss` named; keeps the generator's average.

    The discriminator sees real and fake images in one batch, so its spectral norms move once per step.
    `condition` turns labels into what both networks take.
    """

    def __init__(
        self,
        machine: Machine,
        generator: Any,
        discriminator: nn.Module,
        condition: nn.Module,
        *,
        loss: str,
        learning_rate: float,
        critic_learning_rate: float,
        betas: tuple[float, float],
        diffaugment: Sequence[str],
        flip: bool,
        ema_decay: float,
        ema_start: int,
    ) -> None:
        self.machine = machine
        self.generator, self.discriminator = generator.to(machine.device), discriminator.to(machine.device)
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        self.condition = condition.to(machine.device).eval().requires_grad_(False)
        self.generator_optimizer = torch.optim.Adam(generator.parameters(), learning_rate, betas)
        self.critic_optimizer = torch.optim.Adam(discriminator.parameters(), critic_learning_rate, betas)
        self.shared_generator, self.shared_critic = machine.shared(generator), machine.shared(discriminator)
        self.critic_loss, self.generator_loss = ADVERSARIAL[loss]
        self.diffaugment, self.flip = diffaugment, flip
        self.ema_decay, self.ema_start = ema_decay, ema_start

    def __call__(self, batch: Round, step: int) -> dict[str, Tensor]:
        for critique in batch.critiques:
            real = images.flip(critique.images) if self.flip else critique.images
            with self.machine.accelerator.autocast():
                with torch.no_grad():
                    fake = self._draw(self.generator, critique.fake_labels)
                seen = images.diffaugment(torch.cat([real, fake.to(real.dtype)]), self.diffaugment)
                judged = self.condition(torch.cat([critique.labels, critique.judged_labels]))
                scores = self.shared_critic(seen, judged).float()
            real_scores, fake_scores = scores.split(len(real))
            critic_loss = self.critic_loss(real_scores, fake_scores, critique.weights, critique.fake_weights)
            self.machine.accelerator.backward(critic_loss)
            self.critic_optimizer.step()
            self.critic_optimizer.zero_grad(set_to_none=True)

        self.discriminator.requires_grad_(False)
        with self.machine.accelerator.autocast():
            fake = self._draw(self.shared_generator, batch.labels)
            scores = self.discriminator(images.diffaugment(fake, self.diffaugment), self.condition(batch.labels))
        generator_loss = self.generator_loss(scores.float())
        self.machine.accelerator.backward(generator_loss)
        self.generator_optimizer.step()
        self.generator_optimizer.zero_grad(set_to_none=True)
        self.discriminator.requires_grad_(True)
        self._move_average(step)
        return {"critic": critic_loss.detach(), "generator": generator_loss.detach()}

    def _draw(self, generator: nn.Module, labels: Tensor) -> Tensor:
        z = torch.randn(len(labels), self.generator.latent, device=labels.device)
        return generator(z, self.condition(labels))

    @torch.no_grad()
    def _move_average(self, step: int) -> None:
        # Buffers are copied: averaged batch-norm statistics and singular vectors fit no weights.
        weight = 1 - self.ema_decay if step >= self.ema_start else 1.0
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), weight)
        for kept, buffer in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            kept.copy_(buffer)

    def state(self) -> State:
        return {
            **_prefixed("generator", self.generator.state_dict()),
            **_prefixed("discriminator", self.discriminator.state_dict()),
            **_prefixed("average", self.average.state_dict()),
            **_optimizer_state("generator_optimizer", self.generator_optimizer),
            **_optimizer_state("critic_optimizer", self.critic_optimizer),
        }

    def load(self, state: State) -> None:
        self.generator.load_state_dict(_part(state, "generator"))
        self.discriminator.load_state_dict(_part(state, "discriminator"))
        self.average.load_state_dict(_part(state, "average"))
        _load_optimizer(self.generator_optimizer, _part(state, "generator_optimizer"))
        _load_optimizer(self.critic_optimizer, _part(state, "critic_optimizer"))

    def align(self) -> None:
        for module in (self.generator, self.discriminator, self.average):
            self.machine.align(module)


def make_optimizer(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The optimiser that a recipe names."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, recipe.momentum, weight_decay=decay)
    return torch.optim.Adam(parameters, rate, (recipe.betas[0], recipe.betas[1]), weight_decay=decay)


def learning_rate_factor(recipe: Recipe, step: int) -> float:
    """The share of the first learning rate that `step` uses."""
    done = step / recipe.steps
    if recipe.schedule == "cosine":
        return 0.5 * (1 + float(torch.cos(torch.tensor(done * torch.pi))))
    if recipe.schedule == "steps":
        return float(0.1 ** sum(done >= milestone for milestone in recipe.milestones))
    return 1.0


def _prefixed(prefix: str, state: dict[str, Any]) -> State:
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def _part(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix + "."): value for name, value in state.items() if name.startswith(prefix + ".")}


def _optimizer_state(prefix: str, optimizer: torch.optim.Optimizer) -> State:
    """The optimiser's tensors as PREFIX.PARAMETER.KEY; settings come from the recipe, not from here."""
    states = optimizer.state_dict()["state"]
    return {f"{prefix}.{index}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
            for index, values in states.items() for key, value in values.items() if value is not None}  # fmt: skip


def _load_optimizer(optimizer: torch.optim.Optimizer, state: State) -> None:
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        index, key = name.split(".")
        states.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
