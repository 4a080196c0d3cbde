"""Draws of rows that have the distribution of labels which all rows have, at any size.

G groups are the labels in their order, D draws share out all rows among them. What a draw gets of a
group is its quota, the size of the group times the part of all rows that the draw takes, rounded
down or up. Rounding by largest remainders would settle equal remainders by the order of the labels,
so that small labels were trained on and large ones tested. Here each rounding is drawn, and on
average it is the quota: dependent rounding (Gandhi et al. 2006, "Dependent rounding and its
applications to approximation algorithms").

A group settles its fractions with the nearest ones before it, so that not only each group but also
each stretch of the range has its part, to within a few rows: pivotal sampling in order (Deville and
Tille 1998, "Unequal probability sampling without replacement through a splitting method").
"""

import numpy as np

STRETCHES = 10_000  # of a range: a draw is spread over so many; more would only take longer
Cell = tuple[list[int], int]  # the fractions of a group, and the draw


def draw(
    labels: np.ndarray, rows: np.ndarray, numbers: list[int], rng: np.random.Generator
) -> list[np.ndarray]:
    """Disjoint draws of `numbers` of the rows, each in increasing order; labels (N,) are classes or
    numbers.
    """
    order = rng.permutation(len(rows))
    distinct, group = np.unique(labels[rows], return_inverse=True)
    continuous = labels.dtype.kind == "f"
    if continuous and len(distinct) > STRETCHES:
        group = group * STRETCHES // len(distinct)
    order = order[np.argsort(group[order], kind="stable")]  # label by label, shuffled within
    parts = [*numbers, len(rows) - sum(numbers)]
    counts = shares(np.bincount(group), parts, rng)
    if not continuous:
        _represent(counts, rng)
    owner = np.repeat(np.tile(np.arange(len(parts)), len(counts)), counts.ravel())
    return [np.sort(rows[order[owner == part]]) for part in range(len(numbers))]


def shares(sizes: np.ndarray, numbers: list[int], rng: np.random.Generator) -> np.ndarray:
    """How many of each group go to each of at most three draws: (G, D), with the sums `sizes` and
    `numbers`.
    """
    total = int(sizes.sum())  # in units of 1 / total all fractions are integers, and exact
    whole, fractions = np.divmod(np.outer(sizes, np.array(numbers, np.int64)), total)
    groups = fractions.tolist()
    open_groups: list[list[int]] = []
    for group in groups:
        for other in open_groups:
            _settle(group, other, total, rng)
        open_groups = [one for one in (*open_groups, group) if _fractional(one, total)]
    if open_groups:
        _settle_circle(*open_groups, total=total, rng=rng)
    return whole + np.array(groups, np.int64).reshape(whole.shape) // total


def _fractional(group: list[int], total: int) -> list[int]:
    """The draws whose fraction of a group is neither nothing nor a whole row."""
    return [draw for draw, fraction in enumerate(group) if 0 < fraction < total]


def _settle(one: list[int], other: list[int], total: int, rng: np.random.Generator) -> None:
    """Moves fractions between two groups until they share at most one draw that has any of both."""
    while True:
        shared = [draw for draw in _fractional(one, total) if 0 < other[draw] < total]
        if len(shared) < 2:
            return
        first, second = shared[:2]
        _move([(one, first), (other, second)], [(one, second), (other, first)], total, rng)


def _settle_circle(
    one: list[int], two: list[int], three: list[int], *, total: int, rng: np.random.Generator
) -> None:
    """Settles three groups that are each between another two of three draws: nothing else can
    remain, since the fractions of a draw have a whole sum.
    """
    first, second = _fractional(one, total)
    if second not in _fractional(two, total):
        two, three = three, two
    (third,) = set(_fractional(two, total)) - {second}
    more = [(one, first), (two, second), (three, third)]
    less = [(one, second), (two, third), (three, first)]
    _move(more, less, total, rng)


def _move(more: list[Cell], less: list[Cell], total: int, rng: np.random.Generator) -> None:
    """Moves as much as goes from the cells `less` to as many cells `more`, or back, so that one of
    them becomes whole; which way is drawn such that on average nothing moves.
    """
    up = min(*(total - group[draw] for group, draw in more), *(group[draw] for group, draw in less))
    down = min(
        *(group[draw] for group, draw in more), *(total - group[draw] for group, draw in less)
    )
    change = up if rng.random() * (up + down) < down else -down
    for group, draw in more:
        group[draw] += change
    for group, draw in less:
        group[draw] -= change


def _represent(counts: np.ndarray, rng: np.random.Generator) -> None:
    """Gives every class a row to train on, and one of three rows or more a row of each draw: in
    exchange with the nearest class of those that can spare most of that draw.
    """
    sizes = counts.sum(1)
    for draw in range(counts.shape[1]):
        due = sizes >= (3 if draw else 1)
        for group in rng.permutation(np.flatnonzero(due & (counts[:, draw] == 0))):
            spare = counts[:, draw] - due
            if spare.max() < 1:
                break
            richest = np.flatnonzero(spare == spare.max())
            partner = richest[np.abs(richest - group).argmin()]
            given = counts[group].argmax()
            counts[group, draw] += 1
            counts[partner, draw] -= 1
            counts[group, given] -= 1
            counts[partner, given] += 1
