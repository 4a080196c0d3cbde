"""Seeds of named draws."""

import numpy as np
import pytest
import torch

from cgankd.randomness import (
    generator,
    philox,
    seed_everything,
    seed_of,
    uniform_and_normals,
)


def test_seeds_stay_the_same_from_version_to_version():
    # A change here changes every result: raise runs.FORMAT with it.
    assert seed_of(0, "gan", "weights") == 500083993840707387
    assert seed_of(7, "fake", 3, 11) == 3398559913257167169


def test_seeds_fit_a_generator_and_no_two_draws_share_one():
    seeds = {
        seed_of(seed, "fake", label, number)
        for seed in range(5)
        for label in range(20)
        for number in range(100)
    }
    assert len(seeds) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_number_and_its_text_are_different_names():
    assert seed_of(0, "a", 1) != seed_of(0, "a", "1") != seed_of(0, "a1")
    assert seed_of(0, "a", "b") != seed_of(0, "ab")


def test_a_draw_does_not_depend_on_what_was_drawn_before():
    first = torch.randn(3, generator=generator(1, "x"))
    torch.randn(100)
    other = generator(1, "y")
    torch.randn(5, generator=other)
    assert torch.equal(first, torch.randn(3, generator=generator(1, "x")))
    assert not torch.equal(first, torch.randn(3, generator=generator(1, "y")))


def test_seeding_everything_is_the_named_draw_of_the_global_generator():
    torch.randn(9)
    seed_everything(4, "step", 2)
    assert torch.equal(torch.rand(4), torch.rand(4, generator=generator(4, "step", 2)))


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [  # known answers of the authors' Random123, for four words and ten rounds
        (0, [0] * 4, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (2**64 - 1, [2**32 - 1] * 4, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            0x299F31D0A4093822,
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_known_answers(key, counter, expected):
    counters = np.array(counter, np.uint64)[:, None]
    assert philox(key, counters)[:, 0].tolist() == expected


def test_a_row_depends_on_its_own_label_and_sample_alone():
    labels, samples = np.array([3, 3, 0, 7] * 200), np.arange(800) + 2**32 - 400
    drawn = uniform_and_normals(10, labels, samples, 1, "fake")
    assert drawn.shape == (800, 11)
    some = np.array([799, 5, 300, 5])
    again = uniform_and_normals(10, labels[some], samples[some], 1, "fake")
    assert np.array_equal(again, drawn[some])
    assert len(np.unique(drawn[:, 1])) == 800, "samples beyond 32 bits too"
    assert np.array_equal(uniform_and_normals(6, labels, samples, 1, "fake"), drawn[:, :7])
    for other in (
        uniform_and_normals(10, labels, samples, 2, "fake"),
        uniform_and_normals(10, labels, samples, 1, "burn-in"),
        uniform_and_normals(10, labels + 1, samples, 1, "fake"),
        uniform_and_normals(10, labels, samples + 1, 1, "fake"),
    ):
        assert np.abs(other - drawn).min(1).max() > 0
        assert not (other == drawn).all(1).any()


def test_the_numbers_are_uniform_and_normal_and_independent():
    drawn = uniform_and_normals(9, np.arange(40_000) % 10, np.arange(40_000), 0, "x")
    uniform, normals = drawn[:, 0], drawn[:, 1:]
    assert 0 <= uniform.min() < uniform.max() < 1
    share, _ = np.histogram(uniform, 10, (0, 1))
    assert np.abs(share / 4000 - 1).max() < 0.06
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        assert (normals.astype(float) ** power).mean() == pytest.approx(moment, abs=0.05)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(10)).max() < 0.025
    assert np.abs(np.corrcoef(normals[:-1].ravel(), normals[1:].ravel())[0, 1]) < 0.01
