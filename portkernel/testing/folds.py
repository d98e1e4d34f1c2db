"""Reductions, arg-reductions and scans along every axis, named and with a combine function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import portkernel as pk

from ..catalog import Array, gamma, rounding
from ..dtypes import DType, accumulator
from .case import FLOATS, INTEGERS, NUMBERS, SOME, Launch, Table, like, values

table = Table()
SHAPE = (5, 17, 3)


def _fold_kernel(fn: Callable[..., object], axis: int) -> object:
    @pk.kernel
    def kernel(x, out):
        pk.store(out, (0, 0), fn(pk.load(x, (0, 0, 0), SHAPE), axis=axis))

    return kernel


def _terms(rng: np.random.Generator, dtype: DType, product: bool = False) -> Array:
    """Elements whose sums and products do not overflow."""
    if product and dtype.is_float:
        return np.asarray(rng.uniform(0.8, 1.25, SHAPE)).astype(dtype.np)
    return values(rng, SHAPE, dtype)


def _sum_like(name: str, axis: int) -> None:
    kernel = _fold_kernel(getattr(pk, name), axis)

    @table(*(NUMBERS if axis == 1 else SOME), name=f"{name} along axis {axis}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x = _terms(rng, dtype, name == "prod")
        args: dict[str, object] = {"x": x}
        if not dtype.is_float and name != "mean":
            want = getattr(np, name)(x, axis=axis, dtype=accumulator(dtype).np)
            return Launch(kernel, args | {"out": like(want)}, {"out": want})  # type: ignore[arg-type]
        stored = dtype if dtype.is_float else pk.float32
        wide = x.astype(np.float64)
        exact = getattr(np, name)(wide, axis=axis)
        size = {"sum": np.abs(wide).sum(axis=axis), "mean": np.abs(wide).mean(axis=axis), "prod": np.abs(exact)}[name]
        bound = gamma(SHAPE[axis] + 2, accumulator(stored)) * size + rounding(exact, stored)
        args["out"] = like(np.empty(exact.shape, stored.np))
        return Launch(kernel, args, {"out": exact}, bound={"out": bound})  # type: ignore[arg-type]


def _extreme(name: str, axis: int) -> None:
    kernel = _fold_kernel(getattr(pk, name), axis)

    @table(*(NUMBERS if axis == 1 else SOME), name=f"{name} along axis {axis}, ties and NaN")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x = np.asarray(rng.integers(0, 4, SHAPE)).astype(dtype.np)
        if dtype.is_float:
            x[0, 3] = x[2, 9, 1] = x[2, 11, 1] = np.nan
            x[1, :, 2], x[3, 5] = np.inf, -np.inf
        with np.errstate(invalid="ignore"):
            want = getattr(np, name)(x, axis=axis)
        want = want.astype(np.int32 if name.startswith("arg") else dtype.np)
        return Launch(kernel, {"x": x, "out": like(want)}, {"out": want})  # type: ignore[arg-type]


def _bitwise(name: str, axis: int, meaning: np.ufunc, truth: bool) -> None:
    kernel = _fold_kernel(getattr(pk, name), axis)

    @table(*((*SOME, pk.bool_) if truth else INTEGERS), name=f"{name} along axis {axis}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x = values(rng, SHAPE, dtype)
        if truth:
            x = (rng.integers(0, 12, SHAPE) > (10 if name == "any" else 0)).astype(dtype.np)
        want = meaning.reduce(x != 0 if truth else x, axis=axis)
        return Launch(kernel, {"x": x, "out": like(want)}, {"out": want})  # type: ignore[arg-type]


for _axis in range(3):
    for _name in ("sum", "prod", "mean"):
        _sum_like(_name, _axis)
    for _name in ("max", "min", "argmax", "argmin"):
        _extreme(_name, _axis)
    _bitwise("any", _axis, np.logical_or, True)
    _bitwise("all", _axis, np.logical_and, True)
_bitwise("xor_sum", 1, np.bitwise_xor, False)


@pk.kernel
def whole_kernel(x, total, kept, place, pair):
    tile = pk.load(x, (0, 0), (9, 31))
    pk.store(total, (0,), pk.full((1,), tile.sum()))
    pk.store(kept, (0, 0), tile.max(axis=0, keepdims=True))
    pk.store(place, (0,), pk.full((1,), tile.argmin()))
    pk.store(pair, (0, 0), pk.sum(tile, axis=(0, 1), keepdims=True))


@table(pk.int32, pk.int64)
def whole_tiles_and_keepdims(dtype: DType, rng: np.random.Generator) -> Launch:
    x = rng.integers(-99, 99, (9, 31)).astype(dtype.np)
    want = {
        "total": np.array([x.sum(dtype=np.int64)]),
        "kept": x.max(axis=0, keepdims=True),
        "place": np.array([x.argmin()], np.int32),
        "pair": x.sum(dtype=np.int64).reshape(1, 1),
    }
    return Launch(whole_kernel, {"x": x} | {k: like(v) for k, v in want.items()}, want)


def _long(n: int) -> None:
    @pk.kernel
    def kernel(x, out):
        i = pk.program_id(0)
        pk.store(out, (i,), pk.load(x, (i, 0), (1, n)).astype(pk.float32).sum(axis=1).astype(out.dtype))

    @table(pk.float32, pk.float16, name=f"sum of {n}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x = values(rng, (4, n), dtype)
        exact = x.astype(np.float64).sum(axis=1)
        bound = gamma(n, pk.float32) * np.abs(x.astype(np.float64)).sum(axis=1) + rounding(exact, dtype)
        args = {"x": x, "out": like(np.empty(4, dtype.np))}
        return Launch(kernel, args, {"out": exact}, (4,), {"out": bound})


for _n in (1, 3, 48, 100, 1000):
    _long(_n)


# --- combine functions --------------------------------------------------------------------------------------


def welford(n, mean, m2, n_b, mean_b, m2_b):  # type: ignore[no-untyped-def]  # inlined into kernels
    """Chan, Golub and LeVeque's pairwise update of count, mean and sum of squares."""
    total = n + n_b
    delta = mean_b - mean
    share = n_b / pk.maximum(total, 1.0)
    return total, mean + delta * share, m2 + m2_b + delta * delta * n * share


@pk.kernel
def welford_kernel(x, mean, variance):
    tile = pk.load(x, (0, 0), (7, 37))
    n, m, m2 = pk.reduce((pk.full_like(tile, 1), tile, pk.zeros_like(tile)), 1, welford)
    pk.store(mean, (0,), m)
    pk.store(variance, (0,), m2 / n)


@table(pk.float32, pk.float64)
def welford_by_reduce(dtype: DType, rng: np.random.Generator) -> Launch:
    x = values(rng, (7, 37), dtype) + dtype.np.type(10)
    wide = x.astype(np.float64)
    want = {"mean": wide.mean(axis=1), "variance": wide.var(axis=1)}
    args = {"x": x, "mean": like(np.empty(7, dtype.np)), "variance": like(np.empty(7, dtype.np))}
    bound = {"mean": gamma(200, dtype) * 15, "variance": gamma(200, dtype) * 15}
    return Launch(welford_kernel, args, want, bound=bound)


def larger(v, i, v_b, i_b):  # type: ignore[no-untyped-def]
    take = v_b > v
    return pk.where(take, v_b, v), pk.where(take, i_b, i)


@pk.kernel
def argmax_kernel(x, value, index):
    tile = pk.load(x, (0, 0, 0), SHAPE)
    places = pk.broadcast_to(pk.arange(17)[None, :, None], SHAPE)
    v, i = pk.reduce((tile, places), 1, larger)
    pk.store(value, (0, 0), v)
    pk.store(index, (0, 0), i)


@table(pk.float32, pk.int32, pk.float16)
def argmax_by_reduce(dtype: DType, rng: np.random.Generator) -> Launch:
    x = rng.integers(-4, 5, SHAPE).astype(dtype.np)
    want = {"value": x.max(axis=1), "index": x.argmax(axis=1).astype(np.int32)}
    return Launch(argmax_kernel, {"x": x} | {k: like(v) for k, v in want.items()}, want)


def affine(a, b, a_next, b_next):  # type: ignore[no-untyped-def]
    """Composition of x → a·x + b: associative, not commutative."""
    return a * a_next, b * a_next + b_next


@pk.kernel
def recurrence_kernel(a, b, out, backward, folded):
    x, y = pk.load(a, (0, 0), (4, 13)), pk.load(b, (0, 0), (4, 13))
    _, states = pk.scan((x, y), 1, affine)
    _, reverse = pk.scan((x, y), 1, affine, reverse=True)
    _, last = pk.reduce((x, y), 1, affine)
    pk.store(out, (0, 0), states)
    pk.store(backward, (0, 0), reverse)
    pk.store(folded, (0,), last)


@table(pk.int32, pk.int64, pk.float64)
def linear_recurrence_by_scan(dtype: DType, rng: np.random.Generator) -> Launch:
    a, b = rng.integers(-2, 3, (4, 13)).astype(dtype.np), rng.integers(-3, 4, (4, 13)).astype(dtype.np)

    def states(a: Array, b: Array) -> Array:
        out, state = np.empty_like(b), np.zeros(4, dtype.np)
        for j in range(13):
            state = state * a[:, j] + b[:, j]
            out[:, j] = state
        return out

    forward = states(a, b)
    backward = states(a[:, ::-1], b[:, ::-1])[:, ::-1].copy()
    want = {"out": forward, "backward": backward, "folded": forward[:, -1].copy()}
    return Launch(recurrence_kernel, {"a": a, "b": b} | {k: like(v) for k, v in want.items()}, want)


# --- scans --------------------------------------------------------------------------------------------------


def _scan(name: str, axis: int, reverse: bool) -> None:
    fn = getattr(pk, name)

    @pk.kernel
    def kernel(x, out):
        pk.store(out, (0, 0, 0), fn(pk.load(x, (0, 0, 0), SHAPE), axis=axis, reverse=reverse))

    meaning: np.ufunc = {"cumsum": np.add, "cumprod": np.multiply, "cummax": np.maximum, "cummin": np.minimum}[name]
    label = f"{name} along axis {axis}" + (", reversed" if reverse else "")

    @table(*((*FLOATS, pk.int8, pk.int32, pk.uint64) if axis == 1 else SOME), name=label)
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x = _terms(rng, dtype, name == "cumprod")
        if dtype.is_float and name in ("cummax", "cummin"):
            x[1, 4, 1] = np.nan
        turned = np.flip(x, axis) if reverse else x
        sums = name in ("cumsum", "cumprod")
        if not sums or not dtype.is_float:
            kind = accumulator(dtype).np if sums else dtype.np
            want = meaning.accumulate(turned.astype(kind), axis=axis)
            want = np.ascontiguousarray(np.flip(want, axis) if reverse else want)
            return Launch(kernel, {"x": x, "out": like(want)}, {"out": want})
        exact = meaning.accumulate(turned.astype(np.float64), axis=axis)
        size = np.add.accumulate(np.abs(turned.astype(np.float64)), axis=axis) if name == "cumsum" else np.abs(exact)
        bound = gamma(SHAPE[axis] + 1, accumulator(dtype)) * size + rounding(exact, dtype)
        flip = (lambda t: np.flip(t, axis)) if reverse else (lambda t: t)
        return Launch(kernel, {"x": x, "out": like(x)}, {"out": flip(exact)}, bound={"out": flip(bound)})


for _axis in range(3):
    _scan("cumsum", _axis, False)
_scan("cumsum", 1, True)
_scan("cumprod", 1, False)
_scan("cummax", 1, False)
_scan("cummin", 1, True)
