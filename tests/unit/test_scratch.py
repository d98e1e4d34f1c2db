"""Scratch memory: pieces in use at the same time never share bytes, others do."""

from __future__ import annotations

import random

import pytest

from portkernel.runtime.scratch import ALIGNMENT, Lifetime, pack


@pytest.mark.parametrize("seed", range(20))
def test_pieces_alive_together_are_apart(seed: int) -> None:
    rng = random.Random(seed)
    pieces = []
    for _ in range(rng.randrange(1, 40)):
        first = rng.randrange(20)
        pieces.append(Lifetime(first, first + rng.randrange(6), rng.randrange(0, 500)))
    offsets, total = pack(pieces)
    assert all(o % ALIGNMENT == 0 for o in offsets) and total % ALIGNMENT == 0
    for i, a in enumerate(pieces):
        assert offsets[i] + a.size <= total
        for j in range(i):
            b = pieces[j]
            if a.first <= b.last and b.first <= a.last:
                assert offsets[i] + a.size <= offsets[j] or offsets[j] + b.size <= offsets[i]


def test_a_chain_needs_two_buffers() -> None:
    assert pack([Lifetime(i, i + 1, 640) for i in range(50)])[1] == 1280


def test_nothing() -> None:
    assert pack([]) == ([], 0)
