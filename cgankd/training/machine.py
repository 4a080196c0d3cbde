"""Where a run computes: device, precision, processes."""

import copy
import inspect
import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as distributed
from accelerate import Accelerator
from torch import nn

from cgankd.data.batches import ProcessSlice
from cgankd.errors import UNAVAILABLE, UserError
from cgankd.models.saved import placed
from cgankd.precision import choose
from cgankd.training.track import Untracked


class Machine:
    """Where a run computes: device, precision, processes. Accelerate finds the device and starts
    processes.
    """

    def __init__(
        self,
        device: str = "cpu",
        precision: str = "auto",
        deterministic: bool = False,
        compile: bool = False,
        eager: bool = False,
    ) -> None:
        asked, gpus = int(os.environ.get("WORLD_SIZE", "1")), torch.cuda.device_count()
        if device == "cuda" and not gpus:
            raise UserError(
                "--device cuda: no CUDA device is available",
                UNAVAILABLE,
                "use --device cpu or auto",
            )
        if device != "cpu" and gpus and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > gpus:
            raise UserError(
                f"more processes than the {gpus} CUDA devices here",
                UNAVAILABLE,
                "lower --num-processes",
            )
        compiler = os.environ.get("CXX", "g++")
        if compile and not shutil.which(compiler):
            raise UserError(
                f"--compile: no C++ compiler, {compiler}, is installed here",
                UNAVAILABLE,
                "install one, name another in CXX, or leave --compile out",
            )
        device = ("cuda" if gpus else "cpu") if device == "auto" else device
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        # Kernels may differ from run to run where nobody asks for the same bits.
        torch.backends.cudnn.benchmark = not deterministic
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not deterministic
        self.accelerator = Accelerator(cpu=device == "cpu")
        self.device = self.accelerator.device
        self.rank = self.accelerator.process_index
        self.num_processes = self.accelerator.num_processes
        if self.num_processes != asked or self.device.type != device:
            raise UserError(
                f"asked for {asked} processes on {device}, got {self.num_processes} on "
                f"{self.device.type}",
                UNAVAILABLE,
            )
        self.compiles, self.eager = compile, eager
        self.asked_precision = precision
        self.precision = choose(precision, device, network="")
        self.tracker = Untracked()

    @property
    def facts(self) -> dict[str, Any]:
        """What results depend on beside preset and seed."""
        return {
            "device": self.device.type,
            "precision": self.precision,
            "compiled": self.compiles,
            "processes": self.num_processes,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }

    @property
    def process(self) -> ProcessSlice:
        """The part of every batch that this process takes."""
        return ProcessSlice(self.rank, self.num_processes)

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def alone(self) -> "Machine":
        """The same machine for work that this process does by itself."""
        machine = copy.copy(self)
        machine.rank, machine.num_processes = 0, 1
        return machine

    def training(self, network: str) -> "Machine":
        """The same machine, in the precision that a network of this name is trained in."""
        machine = copy.copy(self)
        machine.precision = choose(self.asked_precision, self.device.type, network)
        return machine

    @property
    def records(self) -> bool:
        """Whether steps are recorded and replayed: not where processes wait for each other."""
        return self.device.type == "cuda" and self.num_processes == 1 and not self.eager

    def autocast(self) -> torch.autocast:
        """The context in which losses are computed."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def place(self, module: nn.Module) -> nn.Module:
        """The module on the device, its weights channels last: the order of its images."""
        return placed(module, self.device)

    def compile(self, objective: nn.Module) -> None:
        """Has torch.compile make one program of an objective, where that is asked for. Its state
        keeps its names, and its random numbers are those of torch's generator, so that they follow
        from the step's seed as before.
        """
        if self.compiles:
            torch._dynamo.config.recompile_limit = 64  # networks and methods of a process
            objective.compile(options={"fallback_random": True})

    def shared(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over processes; buffers are aligned at checkpoints
        instead.
        """
        if self.num_processes == 1 or not any(
            parameter.requires_grad for parameter in module.parameters()
        ):
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

    def decide(self, question: Callable[[], bool]) -> bool:
        """What the first process answers, for all of them."""
        return bool(self.agree(int(self.is_main and question()))[0])

    def once(self, work: Callable[[], object]) -> None:
        """Has the first process do some work, which stands when any process goes on."""
        if self.is_main:
            work()
        self.barrier()

    def barrier(self) -> None:
        if self.num_processes > 1:
            self.accelerator.wait_for_everyone()


def _buffer_option() -> str:
    # torch 2.13 renamed it.
    names = inspect.signature(nn.parallel.DistributedDataParallel).parameters
    return "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
