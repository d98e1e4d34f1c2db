"""Changing the shape of tiles, and reading their bits as another dtype."""

from __future__ import annotations

import numpy as np

import portkernel as pk

from ..catalog import Array
from ..dtypes import ALL, DType
from .case import NUMBERS, SOME, Launch, Table, every, like, values

table = Table()


@pk.kernel
def reshape_kernel(x, out):
    pk.store(out, (0, 0), pk.load(x, (0, 0, 0), (3, 5, 4)).reshape(12, 5))


@table(*SOME)
def reshape_across_odd_sides(dtype: DType, rng: np.random.Generator) -> Launch:
    x = values(rng, (3, 5, 4), dtype)
    want = x.reshape(12, 5)
    return Launch(reshape_kernel, {"x": x, "out": like(want)}, {"out": want.copy()})


@pk.kernel
def flatten_kernel(x, out):
    tile = pk.load(x, (0, 0), (17, 6))
    pk.store(out, (0,), pk.reshape(tile, (-1,)))


@table(*SOME)
def flatten(dtype: DType, rng: np.random.Generator) -> Launch:
    x = values(rng, (17, 6), dtype)
    return Launch(flatten_kernel, {"x": x, "out": like(x.reshape(-1))}, {"out": x.reshape(-1).copy()})


@pk.kernel
def transpose_kernel(x, out):
    pk.store(out, (0, 0), pk.load(x, (0, 0), (7, 10)).T)


@table(*SOME)
def transpose_2d(dtype: DType, rng: np.random.Generator) -> Launch:
    x = values(rng, (7, 10), dtype)
    want = np.ascontiguousarray(x.T)
    return Launch(transpose_kernel, {"x": x, "out": like(want)}, {"out": want})


def _transpose3(axes: tuple[int, int, int]) -> None:
    @pk.kernel
    def kernel(x, out):
        pk.store(out, (0, 0, 0), pk.transpose(pk.load(x, (0, 0, 0), (3, 4, 5)), axes))

    @table(*SOME, name=f"transpose {axes}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x = values(rng, (3, 4, 5), dtype)
        want = np.ascontiguousarray(x.transpose(axes))
        return Launch(kernel, {"x": x, "out": like(want)}, {"out": want})


for _axes in ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
    _transpose3(_axes)


@pk.kernel
def outer_kernel(x, y, out):
    a, b = pk.load(x, (0,), (9,)), pk.load(y, (0,), (11,))
    pk.store(out, (0, 0), a[:, None] - b[None, :])


@table(*SOME)
def broadcasting(dtype: DType, rng: np.random.Generator) -> Launch:
    x, y = (rng.integers(-9, 9, (n,)).astype(dtype.np) for n in (9, 11))
    want = x[:, None] - y[None, :]
    return Launch(outer_kernel, {"x": x, "y": y, "out": like(want)}, {"out": want})


@pk.kernel
def broadcast_to_kernel(x, out):
    column = pk.load(x, (0, 0), (6, 1))
    pk.store(out, (0, 0, 0), pk.broadcast_to(column, (4, 6, 5)) + pk.expand_dims(pk.squeeze(column), (0, 2)))


@table(*SOME)
def broadcast_to_squeeze_expand(dtype: DType, rng: np.random.Generator) -> Launch:
    x = rng.integers(-9, 9, (6, 1)).astype(dtype.np)
    want = np.ascontiguousarray(np.broadcast_to(x, (4, 6, 5)) * dtype.np.type(2))
    return Launch(broadcast_to_kernel, {"x": x, "out": like(want)}, {"out": want})


@pk.kernel
def concatenate_kernel(x, y, rows, columns):
    a, b = pk.load(x, (0, 0), (3, 5)), pk.load(y, (0, 0), (3, 5))
    pk.store(rows, (0, 0), pk.concatenate((a, b, a)))
    pk.store(columns, (0, 0), pk.concatenate((b, pk.load(x, (0, 0), (3, 2))), axis=1))


@table(*SOME)
def concatenate(dtype: DType, rng: np.random.Generator) -> Launch:
    x, y = values(rng, (3, 5), dtype), values(rng, (3, 5), dtype)
    rows, columns = np.concatenate((x, y, x)), np.concatenate((y, x[:, :2]), axis=1)
    args = {"x": x, "y": y, "rows": like(rows), "columns": like(columns)}
    return Launch(concatenate_kernel, args, {"rows": rows, "columns": columns})


@pk.kernel
def extract_kernel(x, out, last):
    tile = pk.load(x, (0, 0), (6, 8))
    pk.store(out, (0, 0), pk.extract(tile, (2, 1), (2, 4)))
    pk.store(last, (0, 0), pk.extract(tile, (0, 7), (6, 1)))


@table(*SOME)
def extract(dtype: DType, rng: np.random.Generator) -> Launch:
    x = values(rng, (6, 8), dtype)
    out, last = x[4:6, 4:8].copy(), x[:, 7:].copy()
    return Launch(extract_kernel, {"x": x, "out": like(out), "last": like(last)}, {"out": out, "last": last})


@pk.kernel
def make_kernel(a, b, c, d):
    pk.store(a, (0,), pk.arange(5, 18).astype(a.dtype))
    pk.store(b, (0, 0), pk.full((3, 7), 3).astype(b.dtype))
    pk.store(c, (0, 0), pk.ones((3, 7), c.dtype) + pk.zeros((3, 7), c.dtype))
    pk.store(d, (0, 0), pk.full_like(pk.load(c, (0, 0), (3, 7)), 2) + pk.zeros_like(pk.load(c, (0, 0), (3, 7))))


@table(*NUMBERS)
def making_tiles(dtype: DType, rng: np.random.Generator) -> Launch:
    want = {
        "a": np.arange(5, 18).astype(dtype.np),
        "b": np.full((3, 7), 3, dtype.np),
        "c": np.ones((3, 7), dtype.np),
        "d": np.full((3, 7), 2, dtype.np),
    }
    return Launch(make_kernel, {name: like(w) for name, w in want.items()}, want)


def _bitcasts(width: int) -> None:
    same = tuple(d for d in ALL if d.bits == width and not d.is_bool)

    @pk.kernel
    def kernel(x, out, B: pk.constexpr[int]):
        pk.store(out, (pk.program_id(0),), pk.bitcast(pk.load(x, (pk.program_id(0),), (B,)), out.dtype))

    def add(target: DType) -> None:
        @table(*(d for d in same if d != target), name=f"bitcast to {target}")
        def make(dtype: DType, rng: np.random.Generator) -> Launch:
            x: Array = every(dtype)
            keep = np.isnan(x.astype(np.float64)) | np.isnan(x.view(target.np).astype(np.float64))
            x = x[~keep]  # which NaN it is does not survive every load
            want = x.view(target.np)
            tiles = -(-len(x) // 1000)
            return Launch(
                kernel, {"x": x, "out": like(want)}, {"out": want}, (tiles,), constants={"B": 1000}, bits=True
            )

    for target in same:
        add(target)


for _width in (8, 16, 32, 64):
    _bitcasts(_width)
