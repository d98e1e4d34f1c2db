"""Loads, stores, gathers and scatters: odd sides, any strides, outside, empty, every rank."""

from __future__ import annotations

import numpy as np

import portkernel as pk

from ..catalog import Array, poison
from ..dtypes import ALL, DType
from .case import SOME, Launch, Table, like, values

table = Table()


def fill(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
    """Random bit patterns that are ordinary numbers in every dtype."""
    return np.asarray(rng.integers(0, 8, shape)).astype(dtype.np)


@pk.kernel
def copy_kernel(x, out, B: pk.constexpr[int]):
    pk.store(out, (pk.program_id(0),), pk.load(x, (pk.program_id(0),), (B,)))


def _copy(side: int, n: int) -> None:
    @table(*(ALL if side == 17 else SOME), name=f"copy {n} in tiles of {side}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x = fill(rng, (n,), dtype)
        return Launch(copy_kernel, {"x": x, "out": like(x)}, {"out": x}, grid=(-(-n // side),), constants={"B": side})


for _side, _n in ((1, 5), (3, 10), (17, 100), (48, 49), (100, 333), (256, 1)):
    _copy(_side, _n)


@pk.kernel
def scale_kernel(x, out, BM: pk.constexpr[int], BN: pk.constexpr[int]):
    i, j = pk.program_id(0), pk.program_id(1)
    pk.store(out, (i, j), pk.load(x, (i, j), (BM, BN)) * 2)


def _strided(label: str, view: tuple[slice, slice], transposed: bool = False, stretched: bool = False) -> None:
    @table(*SOME, name=f"input {label}")
    def source(dtype: DType, rng: np.random.Generator) -> Launch:
        x = fill(rng, (44, 62), dtype)[view]
        x = x.T if transposed else x
        x = np.broadcast_to(x[:1], x.shape) if stretched else x
        return _launch(x, poison(x.shape, dtype), x * dtype.np.type(2))

    if stretched:
        return

    @table(*SOME, name=f"output {label}")
    def target(dtype: DType, rng: np.random.Generator) -> Launch:
        out = poison((44, 62), dtype)[view]
        out = out.T if transposed else out
        x = fill(rng, out.shape, dtype)
        return _launch(x, out, x * dtype.np.type(2))


def _launch(x: Array, out: Array, want: Array) -> Launch:
    grid = (-(-x.shape[0] // 17), -(-x.shape[1] // 20))
    return Launch(scale_kernel, {"x": x, "out": out}, {"out": want}, grid=grid, constants={"BM": 17, "BN": 20})


_strided("contiguous", (slice(None), slice(None)))
_strided("with gaps", (slice(None, None, 2), slice(1, None, 3)))
_strided("reversed", (slice(None, None, -1), slice(None, None, -2)))
_strided("transposed", (slice(3, None), slice(None, 50)), transposed=True)
_strided("with a stride of 0", (slice(None), slice(None)), stretched=True)


@table(*SOME)
def gaps_of_a_strided_output_stay(dtype: DType, rng: np.random.Generator) -> Launch:
    x = fill(rng, (9,), dtype)
    base = np.full((30,), 7, dtype.np)
    want = base.copy()
    want[27:0:-3] = x
    return Launch(copy_into_kernel, {"x": x, "out": base, "first": 27, "step": -3}, {"out": want})


@pk.kernel
def copy_into_kernel(x, out, first, step):
    place = first + pk.arange(9) * step
    pk.scatter(out, (place,), pk.load(x, (0,), (9,)))


@pk.kernel
def rank0_kernel(x, out):
    pk.store(out, (), pk.load(x, (), ()) + 1)


@table(*SOME)
def rank_0(dtype: DType, rng: np.random.Generator) -> Launch:
    x = np.array(4, dtype.np)
    return Launch(rank0_kernel, {"x": x, "out": like(x)}, {"out": np.array(5, dtype.np)})


@pk.kernel
def rank3_kernel(x, out):
    i, j, k = pk.program_id(0), pk.program_id(1), pk.program_id(2)
    pk.store(out, (i, j, k), pk.load(x, (i, j, k), (2, 3, 5)))


@table(*SOME)
def rank_3(dtype: DType, rng: np.random.Generator) -> Launch:
    x = fill(rng, (7, 5, 11), dtype).transpose(2, 0, 1)
    return Launch(rank3_kernel, {"x": x, "out": like(x)}, {"out": x.copy()}, grid=(6, 3, 1))


@pk.kernel
def rank4_kernel(x, out):
    i = pk.program_id(0)
    pk.store(out, (i, 0, 0, 0), pk.load(x, (i, 0, 0, 0), (1, 3, 2, 7)))


@table(*SOME)
def rank_4(dtype: DType, rng: np.random.Generator) -> Launch:
    x = fill(rng, (4, 3, 2, 6), dtype)[:, ::-1]
    return Launch(rank4_kernel, {"x": x, "out": like(x)}, {"out": x.copy()}, grid=(4,))


@pk.kernel
def rank5_kernel(x, out):
    i = pk.program_id(0)
    tile = pk.load(x, (0, i, 0, 0, 0), (2, 1, 3, 1, 5))
    pk.store(out, (0, 0, 0, i, 0), pk.transpose(tile, 2, 3, 4, 1, 0))


@table(*SOME)
def rank_5(dtype: DType, rng: np.random.Generator) -> Launch:
    x = fill(rng, (2, 3, 3, 1, 5), dtype)
    want = np.ascontiguousarray(x.transpose(2, 3, 4, 1, 0))
    return Launch(rank5_kernel, {"x": x, "out": like(want)}, {"out": want}, grid=(3,))


@pk.kernel
def pad_kernel(x, out, index, PAD: pk.constexpr[float]):
    pk.store(out, (0, 0), pk.load(x, (index, index), (4, 6), pad=PAD))


def _pad(index: int, pad: float, label: str) -> None:
    @table(*(SOME if pad == pad and abs(pad) < 9 else (pk.float32, pk.float64, pk.float16)), name=f"load {label}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x = fill(rng, (7, 8), dtype)
        whole = np.full((40, 60), pad, dtype.np)
        whole[16 : 16 + 7, 24 : 24 + 8] = x
        want = whole[16 + index * 4 : 20 + index * 4, 24 + index * 6 : 30 + index * 6]
        return Launch(pad_kernel, {"x": x, "out": like(want), "index": index}, {"out": want}, constants={"PAD": pad})


_pad(0, 0.0, "inside")
_pad(1, 5.0, "across the end")
_pad(-1, 3.0, "before the start")
_pad(3, 2.0, "past the end")
_pad(1, float("nan"), "padded with NaN")
_pad(1, float("-inf"), "padded with -inf")


@table(*SOME)
def empty_input(dtype: DType, rng: np.random.Generator) -> Launch:
    x, want = np.zeros((0, 8), dtype.np), np.full((4, 6), 3, dtype.np)
    return Launch(pad_kernel, {"x": x, "out": like(want), "index": 0}, {"out": want}, constants={"PAD": 3.0})


@table(*SOME)
def empty_output(dtype: DType, rng: np.random.Generator) -> Launch:
    x, out = fill(rng, (5, 6), dtype), np.zeros((5, 0), dtype.np)
    return Launch(pad_kernel, {"x": x, "out": out, "index": 0}, {"out": out.copy()}, constants={"PAD": 3.0})


@table(*SOME)
def one_element(dtype: DType, rng: np.random.Generator) -> Launch:
    x = np.array([[6]], dtype.np)
    return Launch(pad_kernel, {"x": x, "out": like(x), "index": 0}, {"out": x}, constants={"PAD": 0.0})


@pk.kernel
def gather_kernel(x, rows, columns, keep, out):
    i = pk.load(rows, (0,), (13,))[:, None]
    j = pk.load(columns, (0,), (9,))[None, :]
    kept = pk.load(keep, (0, 0), (13, 9))
    pk.store(out, (0, 0), pk.gather(x, (i, j), mask=kept, pad=5))


def _places(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    rows, columns = rng.integers(-3, 10, (13,)).astype(np.int32), rng.integers(-2, 9, (9,)).astype(np.int64)
    return rows, columns, rng.integers(0, 4, (13, 9)) > 0


@table(*ALL)
def gather_with_mask_and_outside(dtype: DType, rng: np.random.Generator) -> Launch:
    x = fill(rng, (14, 7), dtype)[::-2]
    rows, columns, keep = _places(rng)
    i, j = np.broadcast_arrays(rows[:, None], columns[None, :])
    inside = keep & (i >= 0) & (i < 7) & (j >= 0) & (j < 7)
    want = np.full((13, 9), 5, dtype.np)
    want[inside] = x[i[inside], j[inside]]
    args = {"x": x, "rows": rows, "columns": columns, "keep": keep, "out": like(want)}
    return Launch(gather_kernel, args, {"out": want})


@pk.kernel
def gather_whole_kernel(x, order, out):
    pk.store(out, (0,), pk.gather(x, (pk.load(order, (0,), (50,)),)))


@table(*SOME)
def gather_without_mask(dtype: DType, rng: np.random.Generator) -> Launch:
    x, order = values(rng, (50,), dtype), rng.permutation(50).astype(np.int32)
    return Launch(gather_whole_kernel, {"x": x, "order": order, "out": like(x)}, {"out": x[order]})


@pk.kernel
def scatter_kernel(x, order, keep, out):
    i = pk.program_id(0)
    place = pk.load(order, (i,), (16,), pad=-1)
    pk.scatter(out, (place,), pk.load(x, (i,), (16,)), mask=pk.load(keep, (i,), (16,)))


@table(*ALL)
def scatter_with_mask_and_outside(dtype: DType, rng: np.random.Generator) -> Launch:
    n = 45
    x, order = fill(rng, (n,), dtype), (rng.permutation(n) - 5).astype(np.int64)
    keep = rng.integers(0, 3, (n,)) > 0
    out = np.full((36,), 1, dtype.np)
    want = out.copy()
    hit = keep & (order >= 0) & (order < 36)
    want[order[hit]] = x[hit]
    return Launch(scatter_kernel, {"x": x, "order": order, "keep": keep, "out": out}, {"out": want}, grid=(3,))


@pk.kernel
def reload_kernel(x, out):
    first = pk.load(x, (0,), (20,))
    pk.store(out, (0,), first + 1)
    pk.store(out, (0,), pk.load(x, (0,), (20,)) + first)


@table(*SOME)
def a_later_store_wins(dtype: DType, rng: np.random.Generator) -> Launch:
    x = fill(rng, (20,), dtype)
    return Launch(reload_kernel, {"x": x, "out": like(x)}, {"out": x + x})


@pk.kernel
def in_place_kernel(x):
    tile = pk.load(x, (pk.program_id(0),), (10,))
    pk.store(x, (pk.program_id(0),), tile + 1)
    again = pk.load(x, (pk.program_id(0),), (10,))
    pk.store(x, (pk.program_id(0),), again * 2)


@table(*SOME)
def a_load_sees_an_earlier_store(dtype: DType, rng: np.random.Generator) -> Launch:
    x = fill(rng, (25,), dtype)
    return Launch(in_place_kernel, {"x": x.copy()}, {"x": ((x + 1) * 2).astype(dtype.np)}, grid=(3,))


@pk.kernel
def strides_kernel(x, y, out):
    i = pk.program_id(0)
    pk.store(out, (i, 0, 0), pk.load(x, (i, 0, 0), (2, 4, 8)) + pk.load(y, (i, 0, 0), (2, 4, 8)))


def _random_strides(seed: int) -> None:
    @table(*SOME, name=f"random strides {seed}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        shape = (5, 4, 7)

        def view() -> Array:
            order = rng.permutation(3)
            steps = rng.integers(1, 4, 3) * rng.choice([-1, 1], 3)
            base = fill(rng, tuple(int(shape[a] * abs(steps[a])) for a in order), dtype)
            inner = base.transpose(np.argsort(order))
            return inner[tuple(slice(None, None, int(s)) for s in steps)]

        x, y, out = view(), view(), view()
        out[...] = poison(shape, dtype)
        return Launch(strides_kernel, {"x": x, "y": y, "out": out}, {"out": x + y}, grid=(3,))


for _seed in range(4):
    _random_strides(_seed)
