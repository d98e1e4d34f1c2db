"""Sums, products, extremes, counts, truth values and norms over any set of axes, in one pass over the input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, gamma, poison, rounding, sample
from portkernel.errors import ArgumentTypeError

from .arrays import dtype_of, named_dtype, normal_axes
from .axes import broadcast
from .fold import DTYPES, INF, Array, Axis, floating, fold, reduce_axes, terms

# --- what NumPy calls them ----------------------------------------------------------------------------------


def _wide(dtype: pk.DType) -> pk.DType:
    """NumPy's type of a sum: integers widen, floats stay."""
    return dtype if dtype.is_float else pk.dtypes.accumulator(dtype)


def sum(
    x: Array, axis: Axis = None, dtype: Any = None, out: Array | None = None, keepdims: bool = False,
    initial: float | None = None, where: Array | None = None, *, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.sum``: any shape, every dtype but 8-bit floats; integers and bools add up in (u)int64, wrapping.

    Accumulates in float32 (float64 for float64), or in ``dtype``; of nothing, 0. Error: γ(min(n, 8256))·Σ|x|, then one
    rounding. Partial sums are blockwise (Higham 2002, section 4.2); the order is fixed.
    """
    stored = named_dtype("sum(): dtype", dtype) if dtype is not None else _wide(dtype_of("sum(): x", x, DTYPES))
    dtype_of("sum(): x", x, DTYPES)
    acc = pk.dtypes.accumulator(stored) if stored.is_float else stored
    return reduce_axes(
        "sum", x, axis, out, keepdims, where, op="sum", acc=acc, stored=stored, initial=initial,
        backend=backend, device=device,
    )  # fmt: skip


def prod(
    x: Array, axis: Axis = None, dtype: Any = None, out: Array | None = None, keepdims: bool = False,
    initial: float | None = None, where: Array | None = None, *, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.prod``: as ``sum``; of nothing, 1. Relative error: γ(n), then one rounding; exact in integers, which wrap."""
    stored = named_dtype("prod(): dtype", dtype) if dtype is not None else _wide(dtype_of("prod(): x", x, DTYPES))
    dtype_of("prod(): x", x, DTYPES)
    acc = pk.dtypes.accumulator(stored) if stored.is_float else stored
    return reduce_axes(
        "prod", x, axis, out, keepdims, where, op="prod", acc=acc, stored=stored, initial=initial,
        backend=backend, device=device,
    )  # fmt: skip


def mean(
    x: Array, axis: Axis = None, dtype: Any = None, out: Array | None = None, keepdims: bool = False,
    *, where: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.mean``: floats keep their dtype, integers give float32 unless ``dtype`` says; of nothing, NaN.

    Sums as ``sum`` does: integers of up to 32 bits exactly, of 64 bits in float64. Error: γ(min(n, 8256) + 2)·mean|x|, then
    one rounding.
    """
    own = dtype_of("mean(): x", x, DTYPES)
    stored = named_dtype("mean(): dtype", dtype) if dtype is not None else floating(own)
    acc = pk.dtypes.accumulator(own if own.is_integer or own.is_bool else stored)
    if own.is_integer and own.bits == 64:
        acc = pk.float64
    if where is None:
        axes = normal_axes("mean()", axis, len(x.shape))
        count = math.prod(int(x.shape[a]) for a in axes)
        return reduce_axes(
            "mean", x, axis, out, keepdims, None, op="sum", acc=acc, stored=stored, finish="mean", scale=count,
            backend=backend, device=device,
        )  # fmt: skip
    route = {"backend": backend, "device": device}
    wide = acc if acc.is_float else pk.dtypes.accumulator(stored)
    total = sum(x, axis, wide, None, keepdims, where=where, **route)
    count = sum(broadcast(where, x.shape, "mean(): where"), axis, wide, None, keepdims, **route)
    from .elementwise import elementwise

    return elementwise(lambda a, b: a / b, total, count, out=out, dtype=stored, **route)


def _extreme(name: str, op: str, x: Array, axis: Axis, out, keepdims, initial, where, route: dict[str, Any]) -> Array:
    dtype = dtype_of(f"{name}(): x", x, DTYPES)
    flag = dtype.is_bool
    return reduce_axes(
        name, x, axis, out, keepdims, where, op=op, acc=pk.int8 if flag else dtype, stored=dtype,
        mapping="nonzero" if flag else "none", initial=initial, nonempty=True, **route,
    )  # fmt: skip


def max(
    x: Array, axis: Axis = None, out: Array | None = None, keepdims: bool = False, initial: float | None = None,
    where: Array | None = None, *, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.max``: exact, NaN if there is one. Of nothing, ArgumentShapeError unless ``initial`` is given."""
    return _extreme("max", "max", x, axis, out, keepdims, initial, where, {"backend": backend, "device": device})


def min(
    x: Array, axis: Axis = None, out: Array | None = None, keepdims: bool = False, initial: float | None = None,
    where: Array | None = None, *, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.min``: exact, NaN if there is one. Of nothing, ArgumentShapeError unless ``initial`` is given."""
    return _extreme("min", "min", x, axis, out, keepdims, initial, where, {"backend": backend, "device": device})


def any(
    x: Array, axis: Axis = None, out: Array | None = None, keepdims: bool = False, *, where: Array | None = None,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.any``: bool; NaN is true; of nothing, False."""
    dtype_of("any(): x", x, DTYPES)
    return reduce_axes(
        "any", x, axis, out, keepdims, where, op="max", acc=pk.int8, stored=pk.bool_, mapping="nonzero",
        backend=backend, device=device,
    )  # fmt: skip


def all(
    x: Array, axis: Axis = None, out: Array | None = None, keepdims: bool = False, *, where: Array | None = None,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.all``: bool; NaN is true; of nothing, True."""
    dtype_of("all(): x", x, DTYPES)
    return reduce_axes(
        "all", x, axis, out, keepdims, where, op="min", acc=pk.int8, stored=pk.bool_, mapping="nonzero",
        backend=backend, device=device,
    )  # fmt: skip


def count_nonzero(
    x: Array, axis: Axis = None, *, keepdims: bool = False, out: Array | None = None, where: Array | None = None,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.count_nonzero``: int64, exact; of the elements where ``where`` is true."""
    dtype_of("count_nonzero(): x", x, DTYPES)
    return reduce_axes(
        "count_nonzero", x, axis, out, keepdims, where, op="sum", acc=pk.int64, stored=pk.int64, mapping="nonzero",
        backend=backend, device=device,
    )  # fmt: skip


def norm(
    x: Array, ord: float | None = None, axis: Axis = None, keepdims: bool = False, *, out: Array | None = None,
    where: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The vector p-norm ``(Σ|x|^p)^(1/p)`` over any axes; p is 2 by default, any positive number, inf, -inf or 0.

    ``where`` picks the elements that count; for inf, where none does, the norm is 0, for -inf it is inf.

    Integers are computed in float32. Relative error: γ(min(n, 8256) + 2) for p = 1 and 2, 16 ulp and 16/p ulp more
    for another p (two powers), exact for inf and -inf. Squares overflow and underflow as NumPy's do.
    """
    stored = floating(dtype_of("norm(): x", x, DTYPES))
    acc = pk.dtypes.accumulator(stored)
    p = 2.0 if ord is None else float(ord) if isinstance(ord, (int, float, np.number)) else math.nan
    if p != p or (p < 0 and p != -INF):
        raise ArgumentTypeError(f"norm(): ord: expected a number of at least 0, inf or -inf, got {ord!r}")
    op = "max" if p == INF else "min" if p == -INF else "sum"
    mapping = {0.0: "nonzero", 1.0: "abs", 2.0: "square"}.get(p, "abs" if op != "sum" else "power")
    finish = {"square": "sqrt", "power": "root"}.get(mapping, "none")
    return reduce_axes(
        "norm", x, axis, out, keepdims, where, op=op, acc=acc, stored=stored, mapping=mapping, finish=finish,
        scale=p if mapping == "power" else 1, nonempty=op != "sum" and where is None, backend=backend, device=device,
    )  # fmt: skip


# --- the catalogue ------------------------------------------------------------------------------------------


def _array(rng: np.random.Generator, m: int, n: int, dtype: pk.DType, layout: str) -> np.ndarray:
    match layout:
        case "first axis":
            return sample(rng, (n, m), dtype)[None, :, :, None]
        case "strided":
            return sample(rng, (2 * m, 2 * n), dtype)[None, None, ::-2, ::2]
        case "outer and inner":
            return sample(rng, (3, n, m, 5), dtype)
        case "special":
            x = sample(rng, (m, n), dtype)
            if dtype.is_float:
                x[::3, n // 2 :: 5] = np.nan
                x[1::3] = -np.inf
                x[2::3, n // 3] = np.inf
            return x[None, None]
        case _:
            return sample(rng, (m, n), dtype)[None, None]


def _case(which: str, m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = _array(rng, m, n, dtype, layout)
        acc = pk.dtypes.accumulator(dtype) if which == "sum" else dtype
        lines = 4 if layout == "several blocks" else 1
        out = dtype if dtype.is_float else acc
        k0, _, k1, _ = x.shape

        def reference():
            with np.errstate(invalid="ignore"):
                if which == "max":
                    return {"out": exact(x).max(axis=(1, 3))[..., None]}
                return {"out": exact(x).sum(axis=(1, 3), dtype=None if dtype.is_float else np.int64)[..., None]}

        def bound():
            if which != "sum" or dtype.is_integer:
                return {"out": np.zeros((k0, k1, 1))}
            size = np.abs(np.where(np.isfinite(exact(x)), exact(x), 0)).sum(axis=(1, 3))[..., None]
            return {"out": gamma(terms(x.shape[1] * x.shape[3]), acc) * size + rounding(reference()["out"], out)}

        return Problem(
            args={
                "x": x,
                "mask": np.ones((1, 1, 1, 1), np.bool_),
                "out": poison((k0, k1, 1), out),
                "initial": 0,
                "scale": 1,
            },
            grid=lambda meta: (pk.cdiv(k1, meta["BM"] * lines) * k0,),
            constants={"OP": which, "ACC": acc.name, "LINES": lines},
            reference=reference,
            bound=bound,
        )

    return make


def _entry(which: str) -> Entry:
    sizes = (
        (400, 1500, ""),
        (1, 1, ""),
        (3, 5001, ""),
        (70, 33, "first axis"),
        (31, 100, "strided"),
        (9, 7, "outer and inner"),
        (9, 130, "special"),
        (1030, 120, "several blocks"),
    )
    cases = tuple(
        Case(f"{m}×{n}" + (f", {layout}" if layout else ""), _case(which, m, n, layout)) for m, n, layout in sizes
    )
    return Entry(f"reduce_{which}", fold, (pk.float32, pk.float64, pk.float16, pk.bfloat16, pk.int8, pk.int32), cases)


ENTRIES = (_entry("sum"), _entry("max"))
