"""Samples of reductions, scans, softmax and sorting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ...catalog import exact, gamma, rounding, sample
from ...dtypes import DType
from ..library import module
from .elementwise import stored, working
from .sample import Array, Maker, Sample, sample_of

TERMS = 8256
"""No sum is a chain of more additions: see ``portkernel.kernels.fold``."""


def inputs(dtype: DType, rng: np.random.Generator) -> Iterator[tuple[str, Array, dict[str, Any], str]]:
    """An array and the axes to reduce, in several memories."""
    yield "all", sample(rng, (7, 65), dtype), {}, ""
    yield "last axis", sample(rng, (5, 130), dtype), {"axis": 1}, "axis"
    yield "first axis", sample(rng, (130, 5), dtype), {"axis": 0, "keepdims": True}, "axis keepdims"
    yield "two axes", sample(rng, (3, 4, 5, 6), dtype), {"axis": (0, 2)}, "axis"
    yield "transposed", sample(rng, (33, 9), dtype).T, {"axis": 0}, "transposed axis"
    yield "strided", sample(rng, (10, 34), dtype)[::-2, ::3], {"axis": -1}, "strided axis"
    yield "scalar", sample(rng, (), dtype), {}, "scalar"


def _count(x: Array, options: dict[str, Any]) -> int:
    axis = options.get("axis")
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return int(np.prod([x.shape[a] for a in axes]))


def _integers(x: Array) -> Array:
    """Integers and bools in 64 bits, floats in float64."""
    return exact(x) if x.dtype.kind not in "iub" else x.astype(np.uint64 if x.dtype.kind == "u" else np.int64)


def _sum(name: str, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    function: Any = {"sum": np.sum, "mean": np.mean}[name]
    cases = [*inputs(dtype, rng)]
    if name == "sum":
        cases.append(("empty", sample(rng, (0, 3), dtype), {"axis": 0}, "empty"))
    for label, x, options, features in cases:
        scale = 1 if name == "sum" else max(1, _count(x, options))
        kind = stored(dtype) if name == "mean" else dtype

        def bound(want: Array, x: Array = x, options: dict[str, Any] = options, scale: int = scale, kind: DType = kind) -> Array:  # fmt: skip
            if not kind.is_float:
                return np.zeros(want.shape)
            size = np.abs(exact(x).astype(np.float64)).sum(**options) / scale
            return gamma(min(_count(x, options), TERMS) + 2, working(kind)) * size + rounding(want, kind)

        yield sample_of(
            label, (x,), options, lambda x=x, options=options: np.asarray(function(_integers(x), **options)), bound, features
        )  # fmt: skip


def _prod(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, options, features in inputs(dtype, rng):
        near = np.where(np.abs(exact(x)) > 1, 1, -1).astype(dtype.np) if dtype.is_integer else x
        scaled = np.asarray(1 + exact(x).astype(np.float64) / 64).astype(dtype.np) if dtype.is_float else near

        def bound(want: Array, x: Array = scaled, options: dict[str, Any] = options) -> Array:
            if not dtype.is_float:
                return np.zeros(want.shape)
            return gamma(_count(x, options), working(dtype)) * np.abs(want) + rounding(want, dtype)

        yield sample_of(
            label, (scaled,), options,
            lambda x=scaled, options=options: np.asarray(np.prod(_integers(x), **options)), bound, features,
        )  # fmt: skip


_EXACT: dict[str, Callable[..., Any]] = {
    "max": np.max, "min": np.min, "any": np.any, "all": np.all, "count_nonzero": np.count_nonzero,
}  # fmt: skip


def _exact(name: str, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, options, features in inputs(dtype, rng):
        yield sample_of(
            label, (x,), options, lambda x=x, o=options: np.asarray(_EXACT[name](exact(x), **o)), None, features
        )


def _arg(name: str, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    function: Any = {"argmax": np.argmax, "argmin": np.argmin}[name]
    for label, x, options, features in inputs(dtype, rng):
        if isinstance(options.get("axis"), tuple):
            continue
        yield sample_of(
            label, (x,), options, lambda x=x, o=options: np.asarray(function(exact(x), **o)), None, features
        )


def _norm(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, options, features in inputs(dtype, rng):
        kind = stored(dtype)
        yield sample_of(
            label, (x,), options,
            lambda x=x, o=options: np.sqrt(np.sum(np.square(exact(x).astype(np.float64)), **o)),
            lambda want, x=x, o=options, kind=kind: gamma(_count(x, o) + 2, working(kind)) * want + rounding(want, kind),
            features,
        )  # fmt: skip


def _variance(name: str, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    kind = stored(dtype)
    for label, x, options, features in inputs(dtype, rng):
        if label == "scalar":
            continue

        def reference(x: Array = x, o: dict[str, Any] = options) -> Any:
            wide = exact(x).astype(np.float64)
            var, mean = wide.var(**o), wide.mean(**o)
            return {"var": var, "std": np.sqrt(var), "var_mean": (var, mean)}[name]

        def bound(*want: Array, x: Array = x, o: dict[str, Any] = options) -> Any:
            wide = exact(x).astype(np.float64)
            var, mean = wide.var(**o), wide.mean(**o)
            error = gamma(_count(x, o) + 8, working(kind)) * (np.sqrt(var * (var + mean * mean)) + var)
            of_mean = gamma(_count(x, o) + 4, working(kind)) * np.abs(wide).mean(**o)
            if name == "std":
                return error / np.sqrt(np.maximum(var, 1e-300)) + rounding(want[0], kind)
            of_var = error + rounding(want[0], kind)
            return (of_var, of_mean + rounding(want[1], working(kind))) if name == "var_mean" else of_var

        yield sample_of(label, (x,), options, reference, bound, features)


def _log_sum_exp(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, options, features in inputs(dtype, rng):
        wide = exact(x).astype(np.float64)

        def reference(wide: Array = wide, o: dict[str, Any] = options) -> Array:
            return np.log(np.exp(wide).sum(**o))

        def bound(want: Array, wide: Array = wide, o: dict[str, Any] = options) -> Array:
            spread = float(np.ptp(wide)) if wide.size else 0.0
            u = working(dtype).eps / 2
            return u * (_count(wide, o) + 2 * spread + 20 + 6 * np.abs(want)) + rounding(want, stored(dtype))

        yield sample_of(label, (x,), options, reference, bound, features)


# --- along an axis ------------------------------------------------------------------------------------------


def lines(dtype: DType, rng: np.random.Generator) -> Iterator[tuple[str, Array, int, str]]:
    """An array and the axis that an operator runs along."""
    yield "last axis", sample(rng, (5, 130), dtype), -1, ""
    yield "first axis", sample(rng, (65, 7), dtype), 0, "axis"
    yield "middle axis", sample(rng, (3, 33, 5), dtype), 1, "axis"
    yield "transposed", sample(rng, (33, 9), dtype).T, -1, "transposed"
    yield "strided", sample(rng, (10, 34), dtype)[::-2, ::3], -1, "strided"
    yield "empty", sample(rng, (0, 3), dtype), -1, "empty"


def _softmax(log: bool, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    soft = module("softmax")
    for label, x, axis, features in lines(dtype, rng):
        wide = exact(x).astype(np.float64)

        def bound(want: Array, wide: Array = wide, axis: int = axis) -> Array:
            return soft.softmax_bound(wide, axis, want, dtype, log) if wide.size else np.zeros(want.shape)

        yield sample_of(
            label, (x, axis), {}, lambda wide=wide, axis=axis: soft.reference_softmax(wide, axis, log) if wide.size else wide,
            bound, features,
        )  # fmt: skip


def _softmax_gradient(log: bool, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    soft = module("softmax")
    for label, x, axis, features in lines(dtype, rng):
        if not x.size:
            continue
        y = soft.reference_softmax(exact(x).astype(np.float64), axis, log).astype(dtype.np)
        grad = sample(rng, x.shape, dtype)
        g, wide = exact(grad).astype(np.float64), exact(y).astype(np.float64)
        with np.errstate(over="ignore"):  # of a dtype that holds no logarithms, and that the operator refuses
            p = np.exp(wide) if log else wide

        def reference(g: Array = g, p: Array = p, axis: int = axis) -> Array:
            total = g.sum(axis, keepdims=True) if log else (g * p).sum(axis, keepdims=True)
            return g - p * total if log else p * (g - total)

        def bound(want: Array, g: Array = g, p: Array = p, axis: int = axis) -> Array:
            size = np.abs(g) if log else np.abs(g * p)
            total = gamma(g.shape[axis] + 20, working(dtype)) * p * size.sum(axis, keepdims=True)
            return total + 8 * working(dtype).eps * size + rounding(want, dtype)

        yield sample_of(label, (grad, y, axis), {}, reference, bound, features)


_SCANS: dict[str, Any] = {"cumsum": np.cumsum, "cumprod": np.cumprod, "cummax": np.maximum.accumulate}


def _scan(name: str, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, axis, features in lines(dtype, rng):
        if name == "cumprod":
            x = (
                (1 + exact(x).astype(np.float64) / 64).astype(dtype.np)
                if dtype.is_float
                else exact(x)
                if dtype.is_bool
                else np.sign(x)
            )
        wide = exact(x) if name == "cummax" else _integers(x)

        def bound(want: Array, x: Array = x, axis: int = axis) -> Array:
            if not dtype.is_float or name == "cummax":
                return np.zeros(want.shape)
            size = np.cumsum(np.abs(exact(x)), axis) if name == "cumsum" else np.abs(want)
            return gamma(x.shape[axis], working(dtype)) * size + rounding(want, dtype)

        yield sample_of(
            label, (x, axis), {}, lambda wide=wide, axis=axis: np.asarray(_SCANS[name](wide, axis=axis)), bound, features
        )  # fmt: skip


def _sorted(name: str, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, axis, features in lines(dtype, rng):
        if not x.size:
            continue
        wide = exact(x)

        def reference(wide: Array = wide, axis: int = axis) -> Any:
            order = np.argsort(wide, axis, kind="stable")
            values = np.take_along_axis(wide, order, axis)
            return {"sort": (values, order), "argsort": order}[name]

        yield sample_of(label, (x, axis), {}, reference, None, features)


def _topk(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, axis, features in lines(dtype, rng):
        if not x.size:
            continue
        wide = exact(x).astype(np.float64)

        def reference(wide: Array = wide, axis: int = axis) -> Any:
            order = np.take(np.argsort(-wide, axis, kind="stable"), range(3), axis)
            return np.take_along_axis(wide, order, axis), order

        yield sample_of(label, (x, 3, axis), {}, reference, None, features)


MAKERS: dict[str, Maker] = {
    "sum": partial(_sum, "sum"),
    "mean": partial(_sum, "mean"),
    "prod": _prod,
    **{name: partial(_exact, name) for name in _EXACT},
    "argmax": partial(_arg, "argmax"),
    "argmin": partial(_arg, "argmin"),
    "norm": _norm,
    **{name: partial(_variance, name) for name in ("var", "std", "var_mean")},
    "logsumexp": _log_sum_exp,
    "softmax": partial(_softmax, False),
    "log_softmax": partial(_softmax, True),
    "softmax_gradient": partial(_softmax_gradient, False),
    "log_softmax_gradient": partial(_softmax_gradient, True),
    **{name: partial(_scan, name) for name in _SCANS},
    "sort": partial(_sorted, "sort"),
    "argsort": partial(_sorted, "argsort"),
    "topk": _topk,
}
