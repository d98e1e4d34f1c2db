"""Where each piece of scratch memory of a recording lies: pieces that are not in use at the same time share bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Lifetime:
    """``size`` bytes that launches number ``first`` to ``last`` use."""

    first: int
    last: int
    size: int


def pack(pieces: Sequence[Lifetime]) -> tuple[list[int], int]:
    """An offset for each piece, aligned, and the bytes in all.

    The largest first, each into the lowest gap that the pieces living at the same time leave (the greedy rule by size
    of Pisarchyk and Lee 2020, section 5.2).

    >>> pack([Lifetime(0, 1, 100), Lifetime(1, 2, 60), Lifetime(2, 3, 100)])
    ([0, 128, 0], 192)
    """
    offsets = [0] * len(pieces)
    placed: list[int] = []
    for i in sorted(range(len(pieces)), key=lambda k: (-pieces[k].size, k)):
        mine = pieces[i]
        size = -(-mine.size // ALIGNMENT) * ALIGNMENT
        taken = sorted(
            (offsets[j], offsets[j] + pieces[j].size)
            for j in placed
            if pieces[j].first <= mine.last and mine.first <= pieces[j].last
        )
        at = 0
        for begin, end in taken:
            if at + size <= begin:
                break
            at = max(at, -(-end // ALIGNMENT) * ALIGNMENT)
        offsets[i] = at
        placed.append(i)
    total = max((offsets[i] + p.size for i, p in enumerate(pieces)), default=0)
    return offsets, -(-total // ALIGNMENT) * ALIGNMENT
