"""statistics."""

import math
import statistics


def spread(values: list[float]) -> tuple[float, float | None]:
    """Mean and sample deviation; a single value has none."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def standard_error(values: list[float]) -> float | None:
    """Of the mean; a single value has none."""
    _, deviation = spread(values)
    return None if deviation is None else deviation / math.sqrt(len(values))


def paired(scores: dict[int, float], others: dict[int, float]) -> tuple[float, float | None]:
    """The mean of the differences, score minus other, of the seeds that both have, one at least,
    and its standard error.
    """
    differences = [score - others[seed] for seed, score in scores.items() if seed in others]
    return statistics.fmean(differences), standard_error(differences)


def mean_of(spread: dict[str, float | None] | None) -> float | None:
    """The mean of a recorded spread, if there is one."""
    return spread["mean"] if spread else None
