"""Scans and sorting."""

from __future__ import annotations

from typing import Any

import torch

from ..aten import TABLE
from .define import WIDE, call, computes, gradient, once_only, operator
from .reductions import mirrored

Tensor = torch.Tensor
aten: Any = torch.ops.aten

operator("cumsum(Tensor x, int axis) -> Tensor", like=torch.cumsum, autocast=WIDE)(TABLE[aten.cumsum.default].run)
operator("cumprod(Tensor x, int axis) -> Tensor", like=torch.cumprod, autocast=WIDE)(TABLE[aten.cumprod.default].run)
once_only("cumprod")


@gradient("cumsum", "axis")
def _cumsum_gradient(wanted: Any, grad: Tensor, axis: int) -> Any:
    return mirrored(call("cumsum", mirrored(grad, axis), axis), axis)


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
