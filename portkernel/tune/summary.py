"""How far the analytic choice is from the best one that was found, over many choices."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from .store import Choice

NEAR = 1.15
"""An analytic choice that takes at most so many times as long as the best one is near it."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of analytic / best over ``count`` choices, of which ``tried`` candidates in all tell."""

    name: str
    count: int
    tried: int
    median: float
    worst: float
    near: int


def spread(name: str, choices: Iterable[Choice]) -> Spread | None:
    """None where no choice was measured. One whose time ran out before there was a second candidate says nothing."""
    told = [choice for choice in choices if choice.finished or choice.tried > 1]
    measured = [(gain, choice) for choice in told if (gain := choice.gain) is not None]
    if not measured:
        return None
    gains = [gain for gain, _ in measured]
    return Spread(
        name,
        len(gains),
        sum(choice.tried for _, choice in measured),
        statistics.median(gains),
        max(gains),
        sum(gain <= NEAR for gain in gains),
    )


def spreads(choices: Iterable[Choice]) -> list[Spread]:
    """One for each kernel and dtype of its first argument, then one for all."""
    by_kernel: dict[str, list[Choice]] = {}
    for choice in choices:
        by_kernel.setdefault(_name(choice), []).append(choice)
    every = [choice for group in by_kernel.values() for choice in group]
    found = [spread(name, group) for name, group in sorted(by_kernel.items())]
    return [s for s in (*found, spread("all", every)) if s is not None]


def _name(choice: Choice) -> str:
    dtype = choice.facts["dtypes"].partition(",")[0].rpartition(" ")[2]
    return f"{choice.facts['kernel']} {dtype}".strip()
