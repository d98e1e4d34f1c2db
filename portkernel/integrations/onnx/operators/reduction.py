"""Folds along axes: reductions, arg-reductions, running sums, the largest k, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from portkernel import ops

from ..registry import operator
from .arrays import Array, along, integers, reshaped


def _axes(x: Array, axes: Any, noop: int) -> tuple[int, ...] | None:
    """The axes to reduce: all of them where none are named, unless the operator says to reduce none."""
    named = [] if axes is None else integers(axes)
    if named:
        return tuple(named)
    return () if noop else None


def _reduction(fold: Callable[..., Array]) -> Callable[..., Array]:
    def run(
        x: Array, axes_input: Array | None = None, axes: Any = None, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Array:
        where = _axes(x, axes if axes_input is None else axes_input, noop_with_empty_axes)
        return fold(x, where, bool(keepdims))

    return run


def _sum(x: Array, axis: Any, keepdims: bool) -> Array:
    return ops.sum(x, axis, dtype=x.dtype, keepdims=keepdims)


def _mean(x: Array, axis: Any, keepdims: bool) -> Array:
    found = ops.mean(x, axis, keepdims=keepdims)
    return found if found.dtype == x.dtype else ops.astype(found, x.dtype)


def _extreme(name: str, neutral: float) -> Callable[..., Array]:
    def fold(x: Array, axis: Any, keepdims: bool) -> Array:
        start = None
        if x.size == 0:
            kind = x.dtype.kind
            low = bool(neutral < 0)
            start = (not low) if kind == "b" else neutral
            if kind in "iu":
                start = int(np.iinfo(x.dtype).min if low else np.iinfo(x.dtype).max)
        return ops.find(name)(x, axis, keepdims=keepdims, initial=start)

    return fold


def _norm(order: int) -> Callable[..., Array]:
    def fold(x: Array, axis: Any, keepdims: bool) -> Array:
        if x.dtype.kind not in "iu":
            return ops.norm(x, order, axis, keepdims)
        if order == 1:
            return _sum(ops.absolute(x), axis, keepdims)
        return ops.astype(ops.norm(ops.astype(x, np.float64), order, axis, keepdims), x.dtype)

    return fold


def _log_sum(x: Array, axis: Any, keepdims: bool) -> Array:
    return ops.astype(ops.log(_sum(x, axis, keepdims)), x.dtype)


def _log_sum_exp(x: Array, axis: Any, keepdims: bool) -> Array:
    return ops.logsumexp(x, axis, keepdims)


def _sum_square(x: Array, axis: Any, keepdims: bool) -> Array:
    return _sum(ops.square(x), axis, keepdims)


_FOLDS: dict[str, Callable[..., Array]] = {
    "ReduceSum": _sum,
    "ReduceMean": _mean,
    "ReduceMax": _extreme("max", -math.inf),
    "ReduceMin": _extreme("min", math.inf),
    "ReduceProd": lambda x, axis, keepdims: ops.prod(x, axis, dtype=x.dtype, keepdims=keepdims),
    "ReduceL1": _norm(1),
    "ReduceL2": _norm(2),
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceSumSquare": _sum_square,
}
for _name, _fold in _FOLDS.items():
    operator(_name)(_reduction(_fold))


def _arg(name: str) -> Callable[..., Array]:
    def run(x: Array, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
        if not select_last_index:
            return ops.find(name)(x, axis, keepdims=bool(keepdims))
        found = ops.find(name)(np.flip(x, axis), axis, keepdims=bool(keepdims))
        return ops.subtract(np.full((1,) * found.ndim, x.shape[axis] - 1, np.int64), found)

    return run


operator("ArgMax")(_arg("argmax"))
operator("ArgMin")(_arg("argmin"))


def _running(name: str, first: int) -> Callable[..., Array]:
    def run(x: Array, axis: Array, exclusive: int = 0, reverse: int = 0) -> Array:
        at = int(np.asarray(axis).reshape(())) % x.ndim
        seen = np.flip(x, at) if reverse else x
        found = ops.find(name)(seen, at, dtype=x.dtype)
        if exclusive:
            cut = found[(slice(None),) * at + (slice(0, -1),)]
            found = ops.pad(cut, [(1, 0) if i == at else (0, 0) for i in range(x.ndim)], constant_values=first)
        return np.flip(found, at) if reverse else found

    return run


operator("CumSum")(_running("cumsum", 0))
operator("CumProd")(_running("cumprod", 1))


@operator("TopK", since=10)
def topk(x: Array, k: Array, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Array, Array]:
    values, places = ops.topk(x, integers(k)[0], axis, bool(largest))
    return values, places


@operator("TopK", until=1)
def topk_attribute(x: Array, k: int, axis: int = -1) -> tuple[Array, Array]:
    values, places = ops.topk(x, k, axis)
    return values, places


def _rows(x: Array, axis: int) -> Array:
    """As a matrix, as softmax saw it before opset 13."""
    lead = math.prod(x.shape[: axis % x.ndim])
    return reshaped(x, (lead, math.prod(x.shape) // lead if lead else 0))


@operator("Softmax", since=13)
def softmax(x: Array, axis: int = -1) -> Array:
    return ops.softmax(x, axis=axis)


@operator("Softmax", until=11)
def softmax_rows(x: Array, axis: int = 1) -> Array:
    return ops.softmax(_rows(x, axis), axis=-1).reshape(x.shape)


@operator("LogSoftmax", since=13)
def log_softmax(x: Array, axis: int = -1) -> Array:
    return ops.log_softmax(x, axis=axis)


@operator("LogSoftmax", until=11)
def log_softmax_rows(x: Array, axis: int = 1) -> Array:
    return ops.log_softmax(_rows(x, axis), axis=-1).reshape(x.shape)


@operator("Hardmax", since=13)
def hardmax(x: Array, axis: int = -1) -> Array:
    first = ops.argmax(x, axis, keepdims=True)
    places = along(np.arange(x.shape[axis]), axis % x.ndim, x.ndim)
    return ops.astype(ops.equal(places, first), x.dtype)


@operator("Hardmax", until=11)
def hardmax_rows(x: Array, axis: int = 1) -> Array:
    return hardmax(_rows(x, axis)).reshape(x.shape)
