"""The two kinds of step that training takes: `Supervised` and `Adversarial`."""

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgankd.data import images
from cgankd.data.gan_batches import DiscriminatorBatch, GanBatch
from cgankd.losses import ADVERSARIAL, too_alike
from cgankd.preset import Training
from cgankd.training.machine import Machine

State = dict[str, Tensor]


class Update(Protocol):
    """One change of weights from one batch.

    `begin` does for a step what the host alone can do; steps of one `kind` then are the same work
    on a device, and None says that the host takes part in the step itself.
    """

    def begin(self, step: int) -> None: ...
    def kind(self, step: int) -> Hashable: ...
    def __call__(self, batch: Any, step: int) -> dict[str, Tensor]: ...
    def state(self) -> State: ...
    def load(self, state: State) -> None: ...
    def align(self) -> None: ...


class Supervised:
    """A step on the summed terms of an objective: a module (images, labels, ...) -> {name: weighted
    loss}.
    """

    def __init__(self, machine: Machine, objective: nn.Module, training: Training) -> None:
        self.machine, self.training = machine, training
        self.objective = machine.place(objective).train()
        self.parameters = [
            parameter for parameter in objective.parameters() if parameter.requires_grad
        ]
        self.optimizer = make_optimizer(self.parameters, training, machine.device)
        machine.compile(self.objective)
        self.module = machine.shared(self.objective)
        self.on_host = any(
            getattr(part, "draws_on_host", False) for part in self.objective.modules()
        )

    def begin(self, step: int) -> None:
        rate = self.training.learning_rate * learning_rate_factor(self.training, step)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def kind(self, step: int) -> Hashable:
        return None if self.on_host else "step"

    def __call__(self, batch: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        with self.machine.autocast():
            losses = self.module(*batch)
        values = torch.stack(list(losses.values()))
        values.sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return dict(zip(losses, values.detach(), strict=True))

    def state(self) -> State:
        return {
            **_prefixed("objective", self.objective.state_dict()),
            **_optimizer_state("optimizer", self.optimizer),
        }

    def load(self, state: State) -> None:
        self.objective.load_state_dict(_part(state, "objective"))
        _load_optimizer(self.optimizer, _part(state, "optimizer"))

    def align(self) -> None:
        self.machine.align(self.objective)


class Adversarial:
    """The discriminator's steps, then one of the generator, with the `loss` named; keeps the
    generator's average.

    The discriminator sees real and fake images in one batch, so its spectral norms move once per
    step. `condition` turns labels into what both networks take. `diversity` weighs a term of the
    generator that keeps its images of one label from varying less than `variance`; `auxiliary` one
    that keeps the label (N, 1) that `read`, if there is one, finds in its images near that asked
    for: at every `auxiliary_every`-th step, as many times as heavy (lazy regularisation, Karras et
    al. 2020, section 3.1).
    With `reuse_fakes` the generator learns from the fakes of the last discriminator step, which has
    moved the discriminator meanwhile, and not from new ones.
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
        discriminator_learning_rate: float,
        betas: tuple[float, float],
        diffaugment: Sequence[str],
        flip: bool,
        ema_decay: float,
        ema_start: int,
        diversity: float = 0.0,
        variance: float = 1.0,
        auxiliary: float = 0.0,
        auxiliary_every: int = 1,
        read: Callable[[Tensor], Tensor] | None = None,
        reuse_fakes: bool = False,
    ) -> None:
        self.machine = machine
        self.generator: Any = machine.place(generator)
        self.discriminator = machine.place(discriminator)
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        self.condition = machine.place(condition).eval().requires_grad_(False)
        # Listed once: a walk through the modules of a small network takes as long as some layers.
        self.moving, self.kept = _tensors(self.generator), _tensors(self.average)
        self.discriminator_weights, _ = _tensors(self.discriminator)
        options: dict[str, Any] = {"fused": True, "capturable": machine.device.type == "cuda"}
        self.generator_optimizer = torch.optim.Adam(self.moving[0], learning_rate, betas, **options)
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator_weights, discriminator_learning_rate, betas, **options
        )
        self.shared_generator = machine.shared(generator)
        self.shared_discriminator = machine.shared(discriminator)
        self.discriminator_loss, self.generator_loss = ADVERSARIAL[loss]
        self.diffaugment, self.flip = diffaugment, flip
        self.ema_decay, self.ema_start = ema_decay, ema_start
        self.diversity, self.variance = diversity, variance
        self.auxiliary, self.auxiliary_every, self.read = auxiliary, auxiliary_every, read
        self.reuse_fakes = reuse_fakes

    def begin(self, step: int) -> None:
        pass

    def kind(self, step: int) -> Hashable:
        return self._reads(step), self._averages(step)

    def _reads(self, step: int) -> bool:
        """Whether the labels of fakes count in this step."""
        return self.read is not None and (step + 1) % self.auxiliary_every == 0

    def _averages(self, step: int) -> bool:
        """Whether the average goes its own way from this step on."""
        return step >= self.ema_start

    def __call__(self, batch: GanBatch, step: int) -> dict[str, Tensor]:
        *earlier, last = batch.discriminator_batches
        for part in earlier:
            self._discriminator_step(part)
        if self.reuse_fakes:
            last = _in_pairs_of_fakes(last) if self.diversity else last
            discriminator_loss, fake, condition = self._discriminator_step(last, keep_graph=True)
            labels = last.fake_labels
        else:
            discriminator_loss, _, _ = self._discriminator_step(last)
            labels = _in_pairs(batch.labels) if self.diversity else batch.labels
            fake, condition = self._draw(self.shared_generator, labels)
        read = self.read if self._reads(step) else None
        losses = self._generator_step(fake, condition, labels, read)
        losses = {"discriminator": discriminator_loss, **losses}
        self._move_average(step)
        return {name: loss.detach() for name, loss in losses.items()}

    def _discriminator_step(
        self, part: DiscriminatorBatch, keep_graph: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss; the fakes that were judged, which the generator can learn from where their
        graph is kept; and their condition.
        """
        real = images.flip(part.images) if self.flip else part.images
        # The plain generator where nothing is learnt, not the shared one: processes wait for each
        # other's gradients only where there are any.
        with torch.set_grad_enabled(keep_graph):
            generator = self.shared_generator if keep_graph else self.generator
            fake, condition = self._draw(generator, part.fake_labels)
        judged = self.condition(torch.cat([part.labels, part.judged_labels]))
        # One batch of both: spectral norms move once, and DDP sees one forward per backward.
        seen = torch.cat([real, fake.detach().to(real.dtype)])
        with self.machine.autocast():
            seen = images.diffaugment(seen, self.diffaugment)
            scores = self.shared_discriminator(seen, judged).float()
        real_scores, fake_scores = scores.split(len(real))
        loss = self.discriminator_loss(real_scores, fake_scores, part.weights, part.fake_weights)
        loss.backward()
        self.discriminator_optimizer.step()
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        return loss, fake, condition

    def _generator_step(
        self,
        fake: Tensor,
        condition: Tensor,
        labels: Tensor,
        read: Callable[[Tensor], Tensor] | None,
    ) -> dict[str, Tensor]:
        """The losses; the generator learns from a discriminator that stands still."""
        for weight in self.discriminator_weights:
            weight.requires_grad_(False)
        with self.machine.autocast():
            seen = images.diffaugment(fake, self.diffaugment)
            scores = self.discriminator(seen, condition)
        losses = {"generator": self.generator_loss(scores.float())}
        if self.diversity:
            losses["alike"] = self.diversity * too_alike(fake.float(), self.variance)
        if read:
            error = F.mse_loss(read(fake.float()).squeeze(1), labels)
            losses["label"] = self.auxiliary * self.auxiliary_every * error
        torch.stack(list(losses.values())).sum().backward()
        self.generator_optimizer.step()
        self.generator_optimizer.zero_grad(set_to_none=True)
        for weight in self.discriminator_weights:
            weight.requires_grad_(True)
        return losses

    def _draw(self, generator: nn.Module, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, S, S) for labels (B,), and the condition that they were drawn by."""
        condition = self.condition(labels)
        z = torch.randn(len(labels), self.generator.latent, device=labels.device)
        with self.machine.autocast():
            return generator(z, condition), condition

    @torch.no_grad()
    def _move_average(self, step: int) -> None:
        # Buffers are copied: averaged batch-norm statistics and singular vectors fit no weights.
        weight = 1 - self.ema_decay if self._averages(step) else 1.0
        (kept_weights, kept_buffers), (weights, buffers) = self.kept, self.moving
        torch._foreach_lerp_(kept_weights, weights, weight)
        torch._foreach_copy_(kept_buffers, buffers)

    def state(self) -> State:
        return {
            **_prefixed("generator", self.generator.state_dict()),
            **_prefixed("discriminator", self.discriminator.state_dict()),
            **_prefixed("average", self.average.state_dict()),
            **_optimizer_state("generator_optimizer", self.generator_optimizer),
            **_optimizer_state("discriminator_optimizer", self.discriminator_optimizer),
        }

    def load(self, state: State) -> None:
        self.generator.load_state_dict(_part(state, "generator"))
        self.discriminator.load_state_dict(_part(state, "discriminator"))
        self.average.load_state_dict(_part(state, "average"))
        _load_optimizer(self.generator_optimizer, _part(state, "generator_optimizer"))
        _load_optimizer(self.discriminator_optimizer, _part(state, "discriminator_optimizer"))

    def align(self) -> None:
        for module in (self.generator, self.discriminator, self.average):
            self.machine.align(module)


def _tensors(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The weights and the buffers of a network."""
    return list(network.parameters()), list(network.buffers())


def _in_pairs(labels: Tensor) -> Tensor:
    """The first half of labels (N,), twice: as many, or one more."""
    return labels[: (len(labels) + 1) // 2].repeat(2)


def _in_pairs_of_fakes(part: DiscriminatorBatch) -> DiscriminatorBatch:
    """The same with `_in_pairs` of the labels of its fakes."""
    return replace(
        part,
        fake_labels=_in_pairs(part.fake_labels),
        judged_labels=_in_pairs(part.judged_labels),
    )


def make_optimizer(
    parameters: list[nn.Parameter], training: Training, device: torch.device
) -> torch.optim.Optimizer:
    """The optimiser that the settings name. On a GPU its learning rate is a tensor there: a step
    that is recorded keeps plain numbers as they were.
    """
    on_gpu = device.type == "cuda"
    rate, decay = training.learning_rate, training.weight_decay
    optimizer: torch.optim.Optimizer
    if training.optimizer == "sgd":
        fused = {"fused": True} if on_gpu else {}  # on a CPU no faster
        optimizer = torch.optim.SGD(
            parameters, rate, training.momentum, weight_decay=decay, **fused
        )
    else:
        betas = training.betas[0], training.betas[1]
        optimizer = torch.optim.Adam(
            parameters, rate, betas, weight_decay=decay, fused=True, capturable=on_gpu
        )
    for group in optimizer.param_groups if on_gpu else []:
        group["lr"] = torch.tensor(rate, dtype=torch.float32, device=device)
    return optimizer


def learning_rate_factor(training: Training, step: int) -> float:
    """The share of the first learning rate that `step` uses."""
    done = step / training.steps
    if training.schedule == "cosine":
        return 0.5 * (1 + float(torch.cos(torch.tensor(done * torch.pi))))
    if training.schedule == "steps":
        return float(0.1 ** sum(done >= milestone for milestone in training.milestones))
    return 1.0


def _prefixed(prefix: str, state: dict[str, Any]) -> State:
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def _part(state: State, prefix: str) -> State:
    return {
        name.removeprefix(prefix + "."): value
        for name, value in state.items()
        if name.startswith(prefix + ".")
    }


def _optimizer_state(prefix: str, optimizer: torch.optim.Optimizer) -> State:
    """The optimiser's tensors as PREFIX.PARAMETER.KEY; settings come from the preset, not from
    here.
    """
    states = optimizer.state_dict()["state"]
    return {
        f"{prefix}.{index}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, values in states.items()
        for key, value in values.items()
        if value is not None
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, state: State) -> None:
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        index, key = name.split(".")
        states.setdefault(int(index), {})[key] = value
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for number, own in states.items():
        weight = parameters[number]
        # A fused step walks the memory of a weight and of its state side by side, and does not look
        # whether both have their channels in the same place.
        alike = {key: value for key, value in own.items() if value.shape == weight.shape}
        own.update({key: torch.empty_like(weight).copy_(value) for key, value in alike.items()})
    optimizer.load_state_dict(
        {"state": states, "param_groups": optimizer.state_dict()["param_groups"]}
    )
