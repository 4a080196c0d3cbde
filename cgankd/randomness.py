"""A seed for every draw, so that no generator state has to be kept to resume.

A draw is named by its stream and its counters (step, sample, rank); the seed of a draw is a hash of
the run's seed and that name. Stopping and continuing at any step therefore repeats every draw
exactly.
"""

import hashlib

import torch


def seed_of(seed: int, *name: str | int) -> int:
    """A seed in [0, 2^63) for the draw `name` of the run `seed`."""
    digest = hashlib.blake2b(repr((seed, *name)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, *name: str | int) -> torch.Generator:
    """A CPU generator for the draw `name`: the same numbers whatever the device of the run."""
    return torch.Generator().manual_seed(seed_of(seed, *name))


def seed_everything(seed: int, *name: str | int) -> None:
    """Seeds torch's global generators of all devices for the draw `name`."""
    value = seed_of(seed, *name)
    # Torch.manual_seed would look for every kind of device each time.
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(value)
