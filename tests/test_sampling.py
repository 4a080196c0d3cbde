"""Drawing the pool with made-up networks whose density ratios are known."""

import math
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from cgankd import runs
from cgankd.errors import UserError
from cgankd.fakes import COLUMNS, SMALL, first_accepted, read_shard, sampling
from cgankd.fakes.ratio import effective_share
from cgankd.fakes.sampling import Sampler, draw_pool, fit_bounds, health, labels_of, next_round
from cgankd.preset import Generate
from cgankd.task import Classification, Regression

CPU = torch.device("cpu")


class Grey(nn.Module):
    """Images of one shade, which tells the latent number; a condition adds nothing."""

    latent = 1

    def forward(self, z, condition):
        return z.clamp(-1, 1).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)


class Steps(nn.Module):
    """Ratio 1 above mid-grey (half of the images), `low[condition]` below."""

    def __init__(self, *low: float) -> None:
        super().__init__()
        self.low = torch.tensor(low)

    def forward(self, features, condition):
        low = self.low[
            (condition * len(self.low)).long() if condition.is_floating_point() else condition
        ]
        return torch.where(features > 0, 1.0, low)


class Table(nn.Module):
    """A teacher that sees the shade."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, images):
        return images.mean((1, 2, 3))[:, None] * torch.arange(1.0, self.outputs + 1)


def num_kept(rows: dict) -> int:
    return len(first_accepted(rows["labels"], rows["proposals"], rows["accepted"], 40))


def sampler(*low: float, seed: int = 0, continuous: int = 0) -> Sampler:
    task = (
        Regression(0.0, 90.0, "degrees")
        if continuous
        else Classification([f"class {i}" for i in range(len(low))])
    )
    return Sampler(
        task=task,
        generator=Grey(),
        condition=nn.Identity(),
        ratio=Steps(*low),
        teacher=Table(task.outputs),
        features=lambda images: images.mean((1, 2, 3)),
        labels=task.grid(continuous),
        seed=seed,
        device=CPU,
    )


def settings(**changes) -> Generate:
    return Generate(
        **{"teacher": "resnet8", "per_label": 40, "block": 16, "burn_in": 64, **changes}
    )


class Crew:
    """Stands for several processes: threads of which one runs at a time, and that meet where
    processes would.
    """

    def __init__(self, num: int = 1) -> None:
        self.num, self.meeting, self.votes, self.turn = (
            num,
            threading.Barrier(num),
            [False] * num,
            threading.Lock(),
        )

    def machine(self, rank: int) -> SimpleNamespace:
        def barrier() -> None:
            if self.num > 1:
                self.turn.release()
                try:
                    self.meeting.wait(60)
                finally:
                    self.turn.acquire()

        def agree(flag: bool) -> list[bool]:
            self.votes[rank] = flag
            barrier()
            result = any(self.votes)
            barrier()
            return [result]

        def once(work) -> None:
            if rank == 0:
                work()
            barrier()

        return SimpleNamespace(
            rank=rank,
            num_processes=self.num,
            is_main=rank == 0,
            agree=agree,
            barrier=barrier,
            decide=lambda question: agree(rank == 0 and question())[0],
            once=once,
        )

    def _work(self, rank: int, *given):
        with self.turn:
            try:
                return draw_pool(*given, "digest", self.machine(rank))
            except BaseException:
                self.meeting.abort()
                raise

    def draw(self, sampler: Sampler, settings: Generate, folder) -> dict[str, np.ndarray]:
        """The rows of the pool that they draw together."""
        with ThreadPoolExecutor(self.num) as threads:
            jobs = [
                threads.submit(self._work, rank, sampler, settings, folder)
                for rank in range(self.num)
            ]
            results = [job.result() for job in jobs]
        assert all(shards == results[0][0] for shards, _ in results)
        return rows_of(results[0][0])


def rows_of(shards) -> dict[str, np.ndarray]:
    parts = [read_shard(path, tuple(COLUMNS)) for path in shards]
    return {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(sampling, "SHARD_BYTES", 32 * 3 * 8 * 8)  # two blocks each


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name])
        for name in COLUMNS
    )


# What is drawn


def test_a_sample_depends_on_its_label_and_number_and_not_on_its_company():
    made = sampler(0.5, 0.5, 0.5)
    label, number = np.array([0, 1, 2, 0, 1]), np.array([0, 0, 0, 1, 7])
    together = made.draw("fake", label, number, 8)
    for row in range(5):
        alone = made.draw("fake", label[row : row + 1], number[row : row + 1], 8)
        assert all(torch.equal(alone[name][0], together[name][row]) for name in together)
    shuffled = made.draw("fake", label[::-1].copy(), number[::-1].copy(), 8)
    assert all(torch.equal(shuffled[name].flip(0), together[name]) for name in together)
    assert len(together["uniform"].unique()) == 5, "the label is part of the seed"
    assert not torch.equal(made.draw("burn-in", label, number, 8)["uniform"], together["uniform"])
    assert not torch.equal(
        sampler(0.5, seed=1).draw("fake", label * 0, number, 8)["uniform"], together["uniform"]
    )


def test_ratio_and_teacher_see_the_stored_pixels():
    made = sampler(0.25)
    drawn = made.draw("fake", np.zeros(64, int), np.arange(64), 64)
    shade = drawn["pixels"][:, 0, 0, 0].double() / 127.5 - 1
    torch.testing.assert_close(drawn["outputs"][:, 0].double(), shade, atol=1e-6, rtol=0)
    assert torch.equal(drawn["ratios"], torch.where(shade > 0, 1.0, 0.25).float())


def test_a_pool_holds_the_first_proposals_of_each_label_and_further_ones_only_if_accepted(
    tmp_path, small_shards
):
    rows = Crew().draw(sampler(0.2, 0.9, 1.0), settings(), tmp_path)
    for label in range(3):
        mine = rows["labels"] == label
        numbers = rows["proposals"][mine]
        assert len(set(numbers)) == len(numbers)
        assert set(range(40)) <= set(numbers)
        assert rows["accepted"][mine & (rows["proposals"] >= 40)].all()
        assert rows["accepted"][mine].sum() >= 40
    assert (rows["proposals"][rows["labels"] == 2] < 40).all(), (
        "all accepted at once: no second round"
    )
    assert num_kept(rows) == 120


def test_rows_hold_the_teachers_errors_and_labels(tmp_path):
    made = sampler(0.5, 0.5)
    rows = Crew().draw(made, settings(), tmp_path)
    outputs, labels = torch.from_numpy(rows["outputs"]), torch.from_numpy(rows["labels"])
    np.testing.assert_array_equal(rows["errors"], made.task.errors(outputs, labels).numpy())
    np.testing.assert_array_equal(rows["relabels"], outputs.argmax(1).numpy())
    shade = rows["images"][:, 0, 0, 0] / 127.5 - 1
    np.testing.assert_allclose(rows["outputs"], shade[:, None] * [1, 2], atol=1e-6)
    np.testing.assert_array_equal(rows["ratios"], np.where(shade > 0, 1, 0.5))


def test_images_are_accepted_at_the_rate_of_their_ratio(tmp_path):
    rows = Crew().draw(sampler(0.25), settings(per_label=2000, block=256, burn_in=512), tmp_path)
    first = rows["proposals"] < 2000
    high = first & (rows["ratios"] == 1)
    low = first & (rows["ratios"] < 1)
    assert abs(high.sum() - 1000) < 4 * math.sqrt(2000 / 4)
    assert rows["accepted"][high].all()
    rate = rows["accepted"][low].mean()
    assert abs(rate - 0.25) < 4 * math.sqrt(0.25 * 0.75 / low.sum())
    # of what is accepted, half / (half + half / 4) = 4/5 is bright: the distribution is that of the
    # ratio
    kept = first_accepted(rows["labels"], rows["proposals"], rows["accepted"], 2000)
    assert len(kept) == 2000
    assert abs((rows["ratios"][kept] == 1).mean() - 0.8) < 4 * math.sqrt(0.8 * 0.2 / 2000)


def test_each_label_is_measured_by_its_own_bound(tmp_path):
    class Scaled(nn.Module):
        def forward(self, features, condition):
            return Steps(0.25, 0.25)(features, condition) * (1 + 9 * condition)

    made = Sampler(**{**vars(sampler(0.25, 0.25)), "ratio": Scaled()})
    rows = Crew().draw(made, settings(per_label=500, block=256, burn_in=512), tmp_path)
    for label in range(2):
        rate = rows["accepted"][(rows["labels"] == label) & (rows["proposals"] < 500)].mean()
        assert abs(rate - 0.625) < 4 * math.sqrt(0.625 * 0.375 / 500)


# Whoever draws it


@pytest.mark.parametrize("num", [2, 3])
@pytest.mark.parametrize("continuous", [0, 5])
def test_the_pool_is_the_same_for_any_number_of_processes(tmp_path, small_shards, num, continuous):
    asked = settings(labels=continuous or None, bound_bins=2)
    made = sampler(0.1, 0.4, 0.9, continuous=continuous)
    alone = Crew().draw(made, asked, tmp_path / "1")
    together = Crew(num).draw(made, asked, tmp_path / "2")
    assert len(list((tmp_path / "1").glob("pool-*.h5"))) >= 7
    assert same(alone, together)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes(), path.name


def test_shards_that_are_gone_are_made_again_and_the_rest_is_left_alone(tmp_path, small_shards):
    made = sampler(0.1, 0.9)
    whole = Crew().draw(made, settings(), tmp_path)
    paths = sorted(tmp_path.glob("pool-*.h5"))
    for path in (paths[0], paths[3], paths[-1], tmp_path / "bounds.json"):
        path.unlink()
    stands = [path for path in tmp_path.iterdir() if path.name[0] != "."]
    kept = {path: path.stat().st_mtime_ns for path in stands}
    assert same(Crew(2).draw(made, settings(), tmp_path), whole)
    assert sorted(tmp_path.glob("pool-*.h5")) == paths
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_a_signal_stops_at_a_whole_shard_and_the_same_call_goes_on(
    tmp_path, small_shards, monkeypatch, heard_signals
):
    made = sampler(0.1, 0.9)
    whole = Crew().draw(made, settings(), tmp_path / "whole")
    real, written = sampling.write_shard, []

    def write(path, rows):
        real(path, rows)
        written.append(path)
        if len(written) == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(sampling, "write_shard", write)
    with pytest.raises(UserError, match="stopped") as caught:  # here, where signals arrive
        draw_pool(made, settings(), tmp_path / "cut", "digest", Crew().machine(0))
    assert caught.value.code == 75
    assert sorted((tmp_path / "cut").glob("pool-*")) == written[:3]
    assert not list((tmp_path / "cut").glob(".tmp-*"))
    assert same(Crew(2).draw(made, settings(), tmp_path / "cut"), whole)


# Rounds


def test_the_first_round_asks_for_what_is_wanted_with_labels_interleaved():
    made = sampler(0.5, 0.5, 0.5)
    label, number = next_round(np.zeros(3, int), np.zeros(3, int), settings(per_label=4), made)
    assert label.tolist() == [0, 1, 2] * 4
    assert number.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_a_later_round_asks_for_what_is_missing_at_the_rate_seen_so_far():
    made = sampler(0.5, 0.5, 0.5)
    proposed, accepted = np.array([100, 100, 100]), np.array([50, 100, 120])
    asked = settings(per_label=100)
    label, number = next_round(proposed, accepted, asked, made)
    # 50 are missing at a rate of one half: 100 proposals, a tenth more and eight
    assert label.tolist() == [0] * (110 + 1 + 8), (
        "1.1 * 50 / 0.5 is a little more than 110 in binary"
    )
    assert number.tolist() == list(range(100, 219))
    label, number = next_round(proposed, np.array([99, 50, 99]), asked, made)
    assert label[:6].tolist() == [0, 1, 2, 0, 1, 2]
    assert np.bincount(label).tolist() == [2 + 8, 119, 2 + 8]


def test_a_round_never_goes_past_the_limit_of_proposals():
    made = sampler(0.5)
    asked = settings(per_label=100, max_proposals=2)
    _, number = next_round(np.array([190]), np.array([10]), asked, made)
    assert number.tolist() == list(range(190, 200))
    with pytest.raises(
        UserError, match="label class 0: only 10 of 100 images accepted in 200 proposals"
    ) as caught:
        next_round(np.array([200]), np.array([10]), asked, made)
    assert caught.value.code == 70


def test_a_label_that_is_hardly_ever_accepted_ends_with_its_name(tmp_path):
    class Rare(nn.Module):
        def forward(self, features, condition):
            return torch.where(
                (condition == 0) | (features > 0.98), 1.0, 0.0
            )  # z > 0.98: one in six

    made = sampler(0.5, 0.5)
    made = Sampler(**{**vars(made), "ratio": Rare()})
    with pytest.raises(
        UserError, match=r"label class 1: only .* of 40 images accepted in 120 proposals"
    ) as caught:
        Crew().draw(made, settings(max_proposals=3), tmp_path)
    assert caught.value.code == 70
    assert "max_proposals" in caught.value.hint
    assert num_kept(Crew().draw(made, settings(max_proposals=30), tmp_path / "more")) == 80


# Bounds


def test_bounds_are_quantiles_of_the_burn_in_of_each_class_and_are_kept(tmp_path):
    class Shade(nn.Module):
        def forward(self, features, condition):
            return (features + 2) * (condition + 1)

    made = Sampler(**{**vars(sampler(0.5, 0.5)), "ratio": Shade()})
    asked = settings(bound_quantile=0.75, burn_in=50)
    found = fit_bounds(made, asked, tmp_path / "bounds.json", "digest", Crew().machine(0))
    for label in range(2):
        drawn = made.draw("burn-in", np.full(50, label), np.arange(50), 50)
        ratios = drawn["ratios"].double().numpy()
        shade = drawn["pixels"][:, 0, 0, 0].double() / 127.5 - 1
        np.testing.assert_allclose(ratios, (shade + 2) * (label + 1), atol=0.01)  # of rounding
        assert found[label] == pytest.approx(np.quantile(ratios, 0.75), rel=1e-6)
    other = Sampler(**{**vars(made), "ratio": Steps(0.5, 0.5)})
    np.testing.assert_array_equal(
        fit_bounds(other, asked, tmp_path / "bounds.json", "digest", Crew().machine(0)), found
    )


def test_ranges_of_a_continuous_label_share_a_bound(tmp_path):
    class Label(nn.Module):
        def forward(self, features, condition):
            return condition.clone()

    made = Sampler(**{**vars(sampler(0.5, continuous=10)), "ratio": Label()})
    asked = settings(labels=10, bound_bins=3, bound_quantile=1.0)
    found = fit_bounds(made, asked, tmp_path / "bounds.json", "digest", Crew().machine(0))
    np.testing.assert_allclose(found, [0.35] * 4 + [0.65] * 3 + [0.95] * 3, rtol=1e-6)
    assert len(runs.read_json(tmp_path / "bounds.json")["bounds"]) == 3


def test_labels_to_generate_are_increasing_and_distinct_however_they_are_asked_for():
    task = Regression(0.0, 90.0, "degrees")
    for asked, expected in (
        (4, [11.25, 33.75, 56.25, 78.75]),
        ([90, 0, 45], [0, 45, 90]),
        ({"first": 1, "last": 2, "step": 0.25}, [1, 1.25, 1.5, 1.75, 2]),
    ):
        np.testing.assert_allclose(
            90 * labels_of(task, settings(labels=asked), 0), expected, rtol=1e-6
        )
    many = labels_of(
        task, settings(labels={"random": 20_000}), 0
    )  # some numbers of float32 come twice
    assert (len(many), many.dtype) == (20_000, torch.float32)
    assert (many.diff() > 0).all()
    counts = torch.histc(many, 10, 0, 1)
    assert (counts - 2000).abs().max() < 5 * math.sqrt(2000 * 0.9)
    few = [labels_of(task, settings(labels={"random": 50}), seed) for seed in (0, 0, 1)]
    assert torch.equal(few[0], few[1])
    assert not torch.equal(few[0], few[2])
    assert labels_of(Classification(["a", "b"]), settings(), 0).tolist() == [0, 1]


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_ratio_that_can_bound_nothing_ends_with_the_label(tmp_path, value):
    class Constant(nn.Module):
        def forward(self, features, condition):
            return torch.where(condition == 1, value, 1.0)

    made = Sampler(**{**vars(sampler(0.5, 0.5)), "ratio": Constant()})
    with pytest.raises(UserError, match="fakes of label class 1") as caught:
        fit_bounds(made, settings(), tmp_path / "bounds.json", "digest", Crew().machine(0))
    assert caught.value.code == 70
    assert "dre.penalty" in caught.value.hint
    assert not (tmp_path / "bounds.json").exists()


# Health


def test_health_is_counted_over_the_first_proposals_of_each_label():
    made = sampler(0.5, 0.5)
    columns = {
        "labels": np.array([0, 0, 0, 1, 1, 1]),
        "proposals": np.array([0, 1, 2, 1, 0, 5]),
        "accepted": np.array([True, False, True, True, True, True]),
        "ratios": np.float32([0.5, 0.25, 9, 2, 4, 9]),
    }
    zero, one = health(made.task, made.labels, columns, 2, np.array([0.4, 3.0]))
    assert zero == {
        "label": 0,
        "name": "class 0",
        "acceptance": 0.5,
        "clipped": 0.5,
        "bound": 0.4,
        "effective": pytest.approx(effective_share(torch.tensor([0.5, 0.25]))),
    }
    assert (one["acceptance"], one["clipped"]) == (1.0, 0.5)
    assert set(columns) < set(SMALL) | {"labels"}
