"""Scans and sorting."""

from __future__ import annotations

from typing import Any

import torch

from ..aten import TABLE
from .curvatures import only, plus, times
from .define import WIDE, call, computes, gradient, operator
from .reductions import before, mirrored

Tensor = torch.Tensor
aten: Any = torch.ops.aten

operator("cumsum(Tensor x, int axis) -> Tensor", like=torch.cumsum, autocast=WIDE)(TABLE[aten.cumsum.default].run)
operator("cumprod(Tensor x, int axis) -> Tensor", like=torch.cumprod, autocast=WIDE)(TABLE[aten.cumprod.default].run)


def _sum_from(x: Tensor, axis: int) -> Tensor:
    """The sum of each element and those behind it."""
    return mirrored(call("cumsum", mirrored(x, axis), axis), axis)


@gradient("cumsum", "axis")
def _cumsum_gradient(wanted: Any, grad: Tensor, axis: int) -> Any:
    return _sum_from(grad, axis)


@gradient("cumprod", "x result axis")
def _cumprod_gradient(wanted: Any, grad: Tensor, x: Tensor, y: Tensor, axis: int) -> Any:
    """Σ grad·y from an element on, divided by it; at the first zero, products in which a 1 stands for it; 0 behind it."""
    if x.ndim == 0 or x.numel() == 0:
        return times(grad, torch.ones_like(x))
    if torch.is_grad_enabled():  # the gradient will be differentiated: by x also where x is 0
        return _cumprod_gradient_of_all(grad, x, axis)
    zero = call("equal.Scalar", x, 0)
    count = call("cumsum", zero, axis)
    first = call("logical_and", zero, call("equal.Scalar", count, 1))
    one = x.new_ones(())
    behind = times(grad, call("cumprod", call("where", first, one, x), axis))
    share = call("divide", _sum_from(times(grad, y), axis), call("where", zero, one, x))
    return plus(only(call("equal.Scalar", count, 0), share, x), only(first, _sum_from(behind, axis), x))


def _cumprod_gradient_of_all(grad: Tensor, x: Tensor, axis: int) -> Tensor:
    """Every product of elements from k + 1 to j, as a matrix: memory for n² elements along an axis of n."""
    n = x.shape[axis]
    g, v = grad.movedim(axis, -1).unsqueeze(-2), x.movedim(axis, -1).unsqueeze(-2)
    later = torch.ones(n, n, dtype=torch.bool, device=x.device).triu(1)
    products = call("cumprod", call("where", later, v, x.new_ones(())), -1)
    behind = call("sum", call("triu", times(products, g)), [-1])
    return times(before(x, axis, False), behind.movedim(-1, axis))


def _last(like: Any) -> Any:
    """``like`` of the axis moved to the end, and moved back: how the results of sorting lie."""

    def moved(x: Tensor, *rest: Any) -> Any:
        at = 1 if like is torch.topk else 0
        axis = rest[at]
        if x.ndim == 0:
            return like(x, *rest)
        found = like(x.new_empty(x.movedim(axis, -1).shape), *rest[:at], -1, *rest[at + 1 :])
        back = [t.movedim(-1, axis) for t in ((found,) if isinstance(found, Tensor) else found)]
        return back[0] if isinstance(found, Tensor) else tuple(back)

    return moved


operator(
    "sort(Tensor x, int axis=-1, bool descending=False) -> (Tensor, Tensor)", like=_last(torch.sort), keeps_strides=True
)(computes("sort"))
operator(
    "argsort(Tensor x, int axis=-1, bool descending=False) -> Tensor", like=_last(torch.argsort), keeps_strides=True
)(computes("argsort"))
operator(
    "topk(Tensor x, SymInt k, int axis=-1, bool largest=True) -> (Tensor, Tensor)",
    like=_last(torch.topk),
    keeps_strides=True,
)(computes("topk"))


@gradient("sort", "result1 axis")
def _sort_gradient(wanted: Any, grad: Tensor, _: Any, indices: Tensor, axis: int) -> Any:
    return call("scatter_add", torch.zeros_like(grad), axis, indices, grad)


@gradient("topk", "x.shape result1 axis")
def _topk_gradient(wanted: Any, grad: Tensor, _: Any, shape: Any, indices: Tensor, axis: int) -> Any:
    return call("scatter_add", grad.new_zeros(shape), axis, indices, grad)
