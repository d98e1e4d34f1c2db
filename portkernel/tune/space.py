"""Which sizes are worth a measurement: those near the analytic choice, the nearest first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

from ..lang import Auto

VERSION = 2
"""Choices made from another space are not used."""
_RATIOS = (1.0, 2.0, 0.5, 1.5, 0.75, 4.0, 0.25)
_MOST = 400


def around(sizes: Mapping[str, int], bounds: Mapping[str, Auto]) -> list[dict[str, int]]:
    """Every combination of each size times ¼ … 4 within its bounds, by distance from ``sizes``, which comes first.

    >>> around({"B": 64}, {"B": Auto(32, 128)})
    [{'B': 64}, {'B': 48}, {'B': 96}, {'B': 32}, {'B': 128}]
    """
    options = {name: _sides(sizes[name], bound) for name, bound in bounds.items()}
    combined = [dict(zip(options, sides, strict=True)) for sides in product(*options.values())]
    return sorted(combined, key=lambda c: (distance(c, sizes), *c.values()))[:_MOST]


def _sides(size: int, bound: Auto) -> list[int]:
    scaled = {int(size * ratio) for ratio in _RATIOS}
    return sorted(s for s in scaled if max(1, bound.low) <= s <= bound.high)


def distance(sizes: Mapping[str, int], centre: Mapping[str, int]) -> float:
    """How far sizes are from ``centre``: the sum of the binary logarithms of their ratios."""
    return round(sum(abs(math.log2(sizes[name] / centre[name])) for name in sizes), 6)
