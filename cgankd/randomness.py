"""A seed for every draw, so that no generator state has to be kept to resume.

A draw is named by its stream and its counters (step, sample, rank); the seed of a draw is a hash of
the run's seed and that name. Stopping and continuing at any step therefore repeats every draw
exactly.
"""

import hashlib

import numpy as np
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


# Philox 4x32 with ten rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"):
# the multipliers of its two halves, and by how much the two words of its key grow.
MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
INCREMENTS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
CHUNK = 256  # rows whose words stay in a core's cache
WORD, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


def philox(key: int, counters: np.ndarray) -> np.ndarray:
    """Four random words for each counter: words (4, ...) of 32 bits, as uint64, by a key of 64
    bits. Each is a function of its own counter alone.
    """
    first, second, third, fourth = counters
    low, high = key & 0xFFFFFFFF, key >> 32
    for _ in range(ROUNDS):
        left, right = first * MULTIPLIERS[0], third * MULTIPLIERS[1]
        first = (right >> WORD) ^ second ^ np.uint64(low)
        third = (left >> WORD) ^ fourth ^ np.uint64(high)
        second, fourth = right & LOW, left & LOW
        low, high = (
            (old + by) & 0xFFFFFFFF for old, by in zip((low, high), INCREMENTS, strict=True)
        )
    return np.stack([first, second, third, fourth])


def uniform_and_normals(
    num: int, labels: np.ndarray, samples: np.ndarray, seed: int, *name: str | int
) -> np.ndarray:
    """A uniform number in [0, 1) and `num` standard normal ones for each row: float32 (N, 1 + num).

    A row is a function of the draw `name`, its label and its sample (N,) alone, whatever others are
    drawn beside it; normals are by Box and Muller, and below 5.8.
    """
    key = seed_of(seed, *name)
    parts = [slice(start, start + CHUNK) for start in range(0, len(labels), CHUNK)]
    return np.concatenate([_drawn(num, labels[part], samples[part], key) for part in parts])


def _drawn(num: int, labels: np.ndarray, samples: np.ndarray, key: int) -> np.ndarray:
    blocks = 1 + -(-num // 4)
    counters = np.empty((4, len(labels), blocks), np.uint64)
    counters[0], counters[1] = np.arange(blocks), labels[:, None]
    counters[2], counters[3] = samples[:, None] & 0xFFFFFFFF, samples[:, None] >> 32
    words = philox(key, counters) >> np.uint64(8)  # as many bits as float32 keeps
    shares = words.astype(np.float32) * np.float32(2**-24)
    radius = np.sqrt(-2 * np.log(shares[:2, :, 1:] + np.float32(2**-24)))
    angle = np.float32(2 * np.pi) * shares[2:, :, 1:]
    normals = np.stack([radius * np.cos(angle), radius * np.sin(angle)])  # (2, 2, N, blocks - 1)
    drawn = np.empty((len(labels), 1 + num), np.float32)
    drawn[:, 0] = shares[0, :, 0]
    drawn[:, 1:] = normals.transpose(2, 3, 0, 1).reshape(len(labels), -1)[:, :num]
    return drawn
