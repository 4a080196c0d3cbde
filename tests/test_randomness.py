"""Seeds of named draws."""

import torch

from cgankd.randomness import generator, seed_everything, seed_of


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
