"""Every atomic: its effect, the values it returns, contention, masks and places outside."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import portkernel as pk

from ..catalog import Array
from ..dtypes import DType
from .case import Launch, Table, like, values

table = Table()
INTEGERS = (pk.int32, pk.int64, pk.uint32, pk.uint64)
FLOATS = (pk.float32, pk.float64)

_MEANING: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add, "max": np.maximum, "min": np.minimum, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "xchg": lambda old, new: new,
}  # fmt: skip


def _kernel(fn: Callable[..., object]) -> object:
    @pk.kernel
    def kernel(x, places, keep, cells, old):
        i = pk.program_id(0)
        place = pk.load(places, (i,), (10,), pad=-1)
        before = fn(cells, (place,), pk.load(x, (i,), (10,)), mask=pk.load(keep, (i,), (10,)))
        pk.store(old, (i,), before)

    return kernel


def _unique(name: str) -> None:
    kernel = _kernel(getattr(pk, f"atomic_{name}"))

    @table(*(INTEGERS if name in ("and", "or", "xor") else INTEGERS + FLOATS), name=f"atomic_{name}, each place once")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x, cells = values(rng, (25,), dtype), values(rng, (20,), dtype)
        places = (rng.permutation(25) - 3).astype(np.int32)
        keep = rng.integers(0, 4, (25,)) > 0
        hit = keep & (places >= 0) & (places < 20)
        want, old = cells.copy(), np.zeros((25,), dtype.np)
        old[hit] = cells[places[hit]]
        with np.errstate(over="ignore"):
            want[places[hit]] = _MEANING[name](old[hit], x[hit])
        args = {"x": x, "places": places, "keep": keep, "cells": cells, "old": like(old)}
        return Launch(kernel, args, {"cells": want, "old": old}, (3,))  # type: ignore[arg-type]


for _name in _MEANING:
    _unique(_name)


def _contended_kernel(fn: Callable[..., object]) -> object:
    @pk.kernel
    def kernel(x, cells):
        i = pk.program_id(0)
        tile = pk.load(x, (i, 0), (1, 32))
        fn(cells, (pk.broadcast_to((pk.arange(32) % 3)[None, :], (1, 32)),), tile)

    return kernel


def _contended(name: str) -> None:
    kernel = _contended_kernel(getattr(pk, f"atomic_{name}"))

    @table(*INTEGERS, name=f"atomic_{name}, contended")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x = values(rng, (9, 32), dtype)
        start = np.array([dtype.max if name in ("min", "and") else 0] * 3, dtype.np)
        want = start.copy()
        ufunc = _MEANING[name]
        assert isinstance(ufunc, np.ufunc)
        with np.errstate(over="ignore"):
            ufunc.at(want, np.broadcast_to(np.arange(32) % 3, (9, 32)), x)
        return Launch(kernel, {"x": x, "cells": start}, {"cells": want}, (9,))  # type: ignore[arg-type]


for _name in ("add", "max", "min", "and", "or", "xor"):
    _contended(_name)


@pk.kernel
def float_sum_kernel(x, cells):
    pk.atomic_add(cells, (0,), pk.load(x, (pk.program_id(0),), (16,)))


@table(*FLOATS)
def atomic_sum_of_small_floats(dtype: DType, rng: np.random.Generator) -> Launch:
    x = rng.integers(-50, 50, (64,)).astype(dtype.np)  # sums are exact in any order
    want = np.array([x.sum()], dtype.np)
    return Launch(float_sum_kernel, {"x": x, "cells": np.zeros(1, dtype.np)}, {"cells": want}, (4,))


@pk.kernel
def cas_kernel(cells, expected, new, old, keep):
    i = pk.program_id(0)
    place = i * 8 + pk.arange(8)
    kept = pk.load(keep, (i,), (8,))
    wanted, value = pk.load(expected, (i,), (8,)), pk.load(new, (i,), (8,))
    pk.store(old, (i,), pk.atomic_cas(cells, (place,), wanted, value, mask=kept))


@table(*INTEGERS)
def atomic_cas(dtype: DType, rng: np.random.Generator) -> Launch:
    cells, expected = (rng.integers(0, 2, (19,)).astype(dtype.np) for _ in range(2))
    new, keep = values(rng, (19,), dtype), rng.integers(0, 3, (19,)) > 0
    want = np.where(keep & (cells == expected), new, cells)
    old = np.where(keep, cells, dtype.np.type(0))
    args = {"cells": cells, "expected": expected, "new": new, "old": like(old), "keep": keep}
    return Launch(cas_kernel, args, {"cells": want, "old": old}, (3,))


@pk.kernel
def ticket_kernel(counter, out):
    mine = pk.atomic_add(counter, (0,), 1)
    pk.scatter(out, (mine,), pk.full((), 1, out.dtype))


@table(pk.int32, pk.int64)
def tickets_are_distinct(dtype: DType, rng: np.random.Generator) -> Launch:
    counter, out = np.zeros(1, dtype.np), np.zeros(40, np.int32)
    return Launch(
        ticket_kernel, {"counter": counter, "out": out},
        {"counter": np.array([40], dtype.np), "out": np.ones(40, np.int32)}, (40,),
    )  # fmt: skip
