"""Random programs: in lock step as one by one, and optimised as written."""

from __future__ import annotations

import random

import numpy as np
import pytest
from ir_tracing import for_, if_, tensor, trace, while_

import portkernel.lang as pk
from portkernel.backends.numpy import execute
from portkernel.dtypes import float32, int32
from portkernel.lang.values import TileValue
from portkernel.passes import optimize

PROGRAMS, SIDE = 6, 4


class Author:
    """Writes a well-typed program. ``values`` are what is in scope, by kind: int32 scalars and float32 tiles."""

    def __init__(self, seed: int, x, out) -> None:
        self.random = random.Random(seed)
        self.out = out
        i = pk.program_id(0)
        self.scalars = [i, pk.num_programs(0), pk.full((), 0, int32), pk.full((), 3, int32)]
        self.tiles = [pk.reshape(pk.load(x, (i, 0), (1, SIDE)), (SIDE,)), pk.zeros((SIDE,), float32)]
        self.slot = 0

    def scalar(self) -> TileValue:
        return self.random.choice(self.scalars)

    def tile(self) -> TileValue:
        return self.random.choice(self.tiles)

    def block(self, depth: int) -> None:
        for _ in range(self.random.randint(1, 4)):
            self.statement(depth)

    def nested(self, depth: int, scalars=(), tiles=()) -> tuple[TileValue, TileValue]:
        """A block of its own; one scalar and one tile leave it."""
        kept = self.scalars, self.tiles
        self.scalars, self.tiles = [*self.scalars, *scalars], [*self.tiles, *tiles]
        self.block(depth - 1)
        result = self.scalar(), self.tile()
        self.scalars, self.tiles = kept
        return result

    def statement(self, depth: int) -> None:
        kinds = ["scalar", "tile", "store"] + (["if", "for", "while"] if depth else [])
        kind = self.random.choice(kinds)
        getattr(self, f"do_{kind}")(depth)

    def do_scalar(self, depth: int) -> None:
        fn = self.random.choice(
            [
                lambda a, b: a + b,
                lambda a, b: a * b,
                lambda a, b: a - 1,
                lambda a, b: a // b,
                lambda a, b: a % 5,
                lambda a, b: pk.where(a > b, a, b * 1),
                lambda a, b: a + 0,
                lambda a, b: pk.full((), self.random.randint(-3, 3), int32) + a * 0,
            ]
        )
        self.scalars.append(fn(self.scalar(), self.scalar()))

    def do_tile(self, depth: int) -> None:
        fn = self.random.choice(
            [
                lambda a, b, s: a + b,
                lambda a, b, s: a * s,
                lambda a, b, s: pk.cumsum(a),
                lambda a, b, s: a * 1.0 - 0.0,
                lambda a, b, s: pk.maximum(a, pk.sum(b)),
                lambda a, b, s: pk.where(pk.arange(SIDE) < s, a, b),
                lambda a, b, s: pk.reshape(pk.reshape(a, (2, 2)).T, (SIDE,)),
                lambda a, b, s: pk.full((SIDE,), pk.reduce(a, 0, lambda p, q: p * 0.5 + q * s)),
            ]
        )
        self.tiles.append(fn(self.tile(), self.tile(), self.scalar() % 7))

    def do_store(self, depth: int) -> None:
        self.slot = (self.slot + 1) % 8
        row = pk.program_id(0)
        if self.random.random() < 0.5:
            pk.store(self.out, (row, self.slot), pk.reshape(self.tile(), (1, SIDE)))
        else:
            at = self.scalar() % (8 * SIDE)
            self.scalars.append(pk.atomic_add(self.out, (row, at), self.scalar().astype(float32)).astype(int32))

    def do_if(self, depth: int) -> None:
        cond = self.scalar() > self.scalar()
        scalar, tile = if_(cond, lambda: self.nested(depth), lambda: self.nested(depth))
        self.scalars.append(scalar)
        self.tiles.append(tile)

    def do_for(self, depth: int) -> None:
        start, stop = self.scalar() % 3, self.scalar() % 5
        step = self.random.choice([1, 1, 2, -1])

        def body(i, s, t):
            return self.nested(depth, (i.astype(int32), s), (t,))

        scalar, tile = for_(start, stop, step, (self.scalar(), self.tile()), body)
        self.scalars.append(scalar)
        self.tiles.append(tile)

    def do_while(self, depth: int) -> None:
        limit = self.scalar() % 4

        def body(n, s, t):
            return (n + 1, *self.nested(depth, (n, s), (t,)))

        inits = (pk.full((), 0, int32), self.scalar(), self.tile())
        _, scalar, tile = while_(inits, lambda n, s, t: n < limit, body)
        self.scalars.append(scalar)
        self.tiles.append(tile)


def program(seed: int):
    def kernel(x, out):
        author = Author(seed, x, out)
        for _ in range(4):
            author.block(3)
        author.do_store(0)

    return trace(kernel, {"x": tensor("float32", 2), "out": tensor("float32", 2)})


@pytest.mark.parametrize("seed", range(60))
def test_lock_step_and_optimised_agree(seed):
    func = program(seed)
    x = np.random.default_rng(seed).integers(-4, 5, (PROGRAMS, SIDE)).astype(np.float32)
    outcomes = []
    for f, chunk in ((func, 1 << 30), (func, 1), (optimize(func, verify=True), 1 << 30)):
        out = np.full((PROGRAMS, 8 * SIDE), -7, np.float32)
        execute(f, (PROGRAMS, 1, 1), {"x": x, "out": out}, chunk)
        outcomes.append(out.view(np.uint32))
    np.testing.assert_array_equal(outcomes[0], outcomes[1])
    np.testing.assert_array_equal(outcomes[0], outcomes[2])
