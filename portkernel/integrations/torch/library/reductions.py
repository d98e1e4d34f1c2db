"""Reductions."""

from __future__ import annotations

import math
from typing import Any

import torch

from portkernel.errors import GradientError

from .. import operators
from ..aten import TABLE
from .define import WIDE, Run, call, computes, gradient, operator

Tensor = torch.Tensor
aten: Any = torch.ops.aten
_AXES = "Tensor x, int[1]? axis=None, bool keepdims=False"
_AXIS = "Tensor x, int? axis=None, bool keepdims=False"


def _reduction(name: str, arguments: str, like: Run, run: Run | None = None, autocast: str = "") -> None:
    operator(f"{name}({arguments}) -> Tensor", like=like, autocast=autocast)(run or computes(name))


def _by_axes(function: Any) -> Run:
    return lambda x, axis, keepdims: function(x, axis or None, keepdim=keepdims)


def _given(axis: Any) -> Any:
    """The list of axes as our operators take it: none, or an empty list, means all of them."""
    return tuple(axis) if axis else None


def _keyword(name: str) -> Run:
    return lambda x, axis, keepdims: operators.call(name, x, _given(axis), keepdims=keepdims)


def _extreme(name: str) -> None:
    like = getattr(torch, f"a{name}")
    _reduction(name, _AXES, lambda x, axis, keepdims: like(x, axis or (), keepdims), _keyword(name))


def _position(name: str) -> None:
    _reduction(
        name, _AXIS, getattr(torch, name), lambda x, axis, keepdims: operators.call(name, x, axis, keepdims=keepdims)
    )


def _spread_of(name: str) -> None:
    like = getattr(torch, name)
    _reduction(
        name,
        "Tensor x, int[1]? axis=None, float ddof=0.0, bool keepdims=False",
        lambda x, axis, ddof, keepdims: like(x, axis or None, correction=ddof, keepdim=keepdims),
        lambda x, axis, ddof, keepdims: operators.call(name, x, _given(axis), ddof=ddof, keepdims=keepdims),
    )


_reduction("sum", _AXES, _by_axes(torch.sum), TABLE[aten.sum.dim_IntList].run, WIDE)
_reduction("mean", _AXES, _by_axes(torch.mean), _keyword("mean"))
for _name in ("max", "min"):
    _extreme(_name)
for _name in ("any", "all"):
    _reduction(_name, _AXES, _by_axes(getattr(torch, _name)), _keyword(_name))
_reduction("count_nonzero", _AXES, lambda x, axis, keepdims: torch.sum(x != 0, axis or None, keepdim=keepdims),
           _keyword("count_nonzero"))  # fmt: skip
for _name in ("argmax", "argmin"):
    _position(_name)
for _name in ("var", "std"):
    _spread_of(_name)
_reduction("logsumexp", _AXES, lambda x, axis, keepdims: torch.logsumexp(x, axis or list(range(x.ndim)), keepdims),
           lambda x, axis, keepdims: operators.call("logsumexp", x, _given(axis), keepdims), WIDE)  # fmt: skip
_reduction("prod", _AXIS, lambda x, axis, keepdims: torch.prod(x) if axis is None else torch.prod(x, axis, keepdims),
           TABLE[aten.prod.dim_int].run, WIDE)  # fmt: skip
_reduction("norm", "Tensor x, float ord=2.0, int[1]? axis=None, bool keepdims=False",
           lambda x, order, axis, keepdims: torch.linalg.vector_norm(x, order, axis or None, keepdims),
           lambda x, order, axis, keepdims: operators.call("norm", x, order, _given(axis), keepdims), WIDE)  # fmt: skip


# --- gradients ----------------------------------------------------------------------------------------------


def spread(value: Tensor, shape: Any, axis: Any, keepdims: bool) -> Tensor:
    """What was reduced from ``shape``, broadcast to it again: a view."""
    if not keepdims:
        for a in sorted(a % len(shape) for a in axis) if axis else range(len(shape)):
            value = value.unsqueeze(a)
    return value.expand(shape)


def _count(shape: Any, axis: Any) -> Any:
    """How many elements became one."""
    return math.prod(shape[a] for a in axis) if axis else math.prod(shape)


@gradient("sum", "x.shape axis keepdims")
def _sum_gradient(wanted: Any, grad: Tensor, shape: Any, axis: Any, keepdims: bool) -> Any:
    return spread(grad, shape, axis, keepdims)


@gradient("mean", "x.shape axis keepdims")
def _mean_gradient(wanted: Any, grad: Tensor, shape: Any, axis: Any, keepdims: bool) -> Any:
    return spread(call("divide.Scalar", grad, _count(shape, axis)), shape, axis, keepdims)


def _extreme_gradient(wanted: Any, grad: Tensor, x: Tensor, y: Tensor, axis: Any, keepdims: bool) -> Any:
    """Elements that are equally extreme share the gradient."""
    chosen = call("equal", x, spread(y, x.shape, axis, keepdims))
    share = call("divide", grad, call("sum", chosen, axis, keepdims))
    return call("where", chosen, spread(share, x.shape, axis, keepdims), torch.zeros_like(share).sum())


gradient("max", "x result axis keepdims")(_extreme_gradient)
gradient("min", "x result axis keepdims")(_extreme_gradient)


@gradient("logsumexp", "x result axis keepdims")
def _logsumexp_gradient(wanted: Any, grad: Tensor, x: Tensor, y: Tensor, axis: Any, keepdims: bool) -> Any:
    share = call("exp", call("subtract", x, spread(y, x.shape, axis, keepdims)))
    return call("multiply", spread(grad, x.shape, axis, keepdims), share)


@gradient("prod", "x axis keepdims")
def _prod_gradient(wanted: Any, grad: Tensor, x: Tensor, axis: int | None, keepdims: bool) -> Any:
    """The product of all others, from both ends, so that zeros divide nothing."""
    flat, along = (x.reshape(-1), 0) if axis is None else (x, axis)
    others = call("multiply", before(flat, along, False), before(flat, along, True))
    if axis is None:
        return call("multiply", others, grad.reshape(())).view(x.shape)
    return call("multiply", others, grad if keepdims else grad.unsqueeze(axis))


def before(x: Tensor, axis: int, backwards: bool) -> Tensor:
    """For each element the product of those before it along ``axis``, or behind it."""
    n = x.shape[axis]
    if n == 0:
        return x
    if backwards:
        return mirrored(before(mirrored(x, axis), axis, False), axis)
    one = torch.ones_like(x.narrow(axis, 0, 1))
    return call("cumprod", call("concatenate", [one, x.narrow(axis, 0, n - 1)], axis), axis)  # type: ignore[no-any-return]


def mirrored(x: Tensor, axis: int) -> Tensor:
    """``x`` backwards along ``axis``."""
    return call("index_select", x, axis, torch.arange(x.shape[axis] - 1, -1, -1, device=x.device))  # type: ignore[no-any-return]


def _deviation(x: Tensor, axis: Any, ddof: float) -> tuple[Tensor, float]:
    """``x`` less its mean, and the number that the sum of squares was divided by."""
    return call("subtract", x, call("mean", x, axis, True)), _count(x.shape, axis) - ddof


@gradient("var", "x axis ddof keepdims")
def _var_gradient(wanted: Any, grad: Tensor, x: Tensor, axis: Any, ddof: float, keepdims: bool) -> Any:
    centred, count = _deviation(x, axis, ddof)
    return call("multiply", centred, spread(call("multiply.Scalar", grad, 2 / count), x.shape, axis, keepdims))


@gradient("std", "x result axis ddof keepdims")
def _std_gradient(wanted: Any, grad: Tensor, x: Tensor, y: Tensor, axis: Any, ddof: float, keepdims: bool) -> Any:
    centred, count = _deviation(x, axis, ddof)
    factor = call("divide", grad, call("multiply.Scalar", y, count))
    return call("multiply", centred, spread(factor, x.shape, axis, keepdims))


@gradient("norm", "x result ord axis keepdims")
def _norm_gradient(wanted: Any, grad: Tensor, x: Tensor, y: Tensor, order: float, axis: Any, keepdims: bool) -> Any:
    if order not in (1, 2):
        raise GradientError(
            f"norm(): ord: expected 1 or 2, which are differentiated, got {order:g}",
            hint="write it with torch.ops.portkernel.absolute, power and sum",
        )
    if order == 1:
        return call("multiply", call("sign", x), spread(grad, x.shape, axis, keepdims))
    factor = call("where", call("equal.Scalar", y, 0), torch.zeros_like(y), call("divide", grad, y))
    return call("multiply", x, spread(factor, x.shape, axis, keepdims))
