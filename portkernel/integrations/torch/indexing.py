"""Reads and sums at indices, embeddings, and the losses that pick a class."""

from __future__ import annotations

from typing import Any

import torch

import portkernel as pk

from . import operators, tiles
from .pointwise import TO_BOOL, Bound
from .pointwise import launch as pointwise
from .rules import broadcast_shapes, covers, refuse_unless_float

Tensor = torch.Tensor
_INDICES = (torch.int64, torch.int32)


def _refuse_index(index: Any) -> str:
    return "" if index.dtype in _INDICES else f"indices of dtype {str(index.dtype).removeprefix('torch.')}"


def _refuse_select(x: Any, dim: int, index: Any, *rest: Any, **kwargs: Any) -> str:
    return "a tensor without axes" if x.ndim == 0 else _refuse_index(index)


@covers("index_select", operator="take", refuse=_refuse_select)
def _index_select(x: Tensor, dim: int, index: Tensor) -> Any:
    return operators.call("take", x, index.reshape(-1), dim)


@covers("gather", operator="take_along_axis", refuse=_refuse_select)
def _gather(x: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Any:
    dim %= x.ndim
    for axis, n in enumerate(index.shape):
        if axis != dim and x.shape[axis] != n:
            x = x.narrow(axis, 0, n)
    return operators.call("take_along_axis", x, index, dim)


def _refuse_advanced(x: Any, indices: Any, *rest: Any) -> str:
    given = [i for i, t in enumerate(indices) if t is not None]
    if any(indices[i].dtype in (torch.bool, torch.uint8) for i in given):
        return "a mask as index: the shape of the result depends on its elements"
    if not given or given[-1] - given[0] + 1 != len(given):
        return "indices for axes that are not neighbours"
    return next((r for r in (_refuse_index(indices[i]) for i in given) if r), "")


def _linear(x: Tensor, indices: Any) -> tuple[Tensor, Tensor, int, torch.Size]:
    """x with the indexed axes merged, the index into the merged axis, which axis that is, and the index's shape."""
    given = [i for i, t in enumerate(indices) if t is not None]
    first, last = given[0], given[-1] + 1
    shape = broadcast_shapes(*(indices[i].shape for i in given))
    if len(given) == 1:
        return x, indices[first].reshape(-1), first, shape
    linear: Any = None
    step = 1
    for i in reversed(given):
        linear = _placed(linear, indices[i], x.shape[i], step)
        step *= x.shape[i]
    merged = x.reshape(*x.shape[:first], -1, *x.shape[last:])
    return merged, linear.expand(shape).reshape(-1), first, shape


def _placed(linear: Tensor | None, index: Tensor, n: int, step: int) -> Tensor:
    """``linear`` with what ``index`` into an axis of ``n`` adds to it."""
    if linear is None:
        return pointwise(Bound(tiles.place, (index, n, step), dtype=torch.int64))
    return pointwise(Bound(_with_place, (linear, index, n, step), dtype=torch.int64))


def _with_place(linear: Any, i: Any, n: Any, step: Any) -> Any:
    return linear + tiles.place(i, n, step)


@covers("index.Tensor", operator="take", refuse=_refuse_advanced)
def _index(x: Tensor, indices: Any) -> Any:
    merged, linear, axis, shape = _linear(x, indices)
    found = operators.call("take", merged, linear, axis)
    return found.reshape(*merged.shape[:axis], *shape, *merged.shape[axis + 1 :])


# --- sums at indices ----------------------------------------------------------------------------------------


def _refuse_index_add(x: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> str:
    if alpha != 1:
        return "a factor"
    return "a tensor without axes" if x.ndim == 0 else _refuse_index(index)


@covers("index_add", operator="scatter_add", refuse=_refuse_index_add)
def _index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Any:
    return operators.call("scatter_add", x, dim, index.reshape(-1), source)


@covers("scatter_add", operator="scatter_add", refuse=_refuse_select)
def _scatter_add(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Any:
    dim %= x.ndim
    flat = x.reshape(-1)
    source = source[tuple(slice(n) for n in index.shape)]
    step = 1
    linear: Any = None
    for axis in reversed(range(x.ndim)):
        if axis == dim:
            linear = _placed(linear, index, x.shape[axis], step)
        else:
            shape = [1] * x.ndim
            shape[axis] = index.shape[axis]
            own = operators.call("arange", index.shape[axis], like=index).view(shape)
            linear = pointwise(Bound(tiles.multiply, (own, step))) if linear is None else pointwise(
                Bound(tiles.add_scaled, (linear, own, step))
            )  # fmt: skip
        step *= x.shape[axis]
    linear = linear.expand(index.shape).reshape(-1)
    return operators.call("scatter_add", flat, 0, linear, source.reshape(-1)).view(x.shape)


def _refuse_put(x: Any, indices: Any, values: Any, accumulate: bool = False) -> str:
    if not accumulate:
        return "a write that does not add"
    return _refuse_advanced(x, indices)


@covers("index_put", operator="scatter_add", refuse=_refuse_put)
def _index_put(x: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Any:
    merged, linear, axis, shape = _linear(x, indices)
    whole = (*merged.shape[:axis], *shape, *merged.shape[axis + 1 :])
    source = values.expand(whole).reshape(*merged.shape[:axis], -1, *merged.shape[axis + 1 :])
    return operators.call("scatter_add", merged, axis, linear, source.contiguous()).reshape(x.shape)


def _refuse_scatter(x: Any, dim: int, index: Any, value: Any) -> str:
    if x.ndim == 0 or any(
        n != m for a, (n, m) in enumerate(zip(index.shape, x.shape, strict=True)) if a != dim % x.ndim
    ):
        return "an index of another shape"
    if index.shape[dim] != 1:
        return "more than one write along the axis: their order is not defined"
    return _refuse_index(index)


@covers("scatter.value", "scatter.src", operator="elementwise", refuse=_refuse_scatter)
def _scatter(x: Tensor, dim: int, index: Tensor, value: Any) -> Any:
    if isinstance(value, Tensor):
        value = value[tuple(slice(n) for n in index.shape)]
    where = pointwise(Bound(_hit, (_places(x, dim), index, x.shape[dim]), TO_BOOL))
    return pointwise(Bound(tiles.where, (where, value, x), keep=frozenset({0}), dtype=x.dtype))


def _hit(place: Any, index: Any, n: Any) -> Any:
    pk.device_assert(pk.logical_and(index >= 0, index < n), "an index outside the axis")
    return place == index


def _places(x: Tensor, dim: int) -> Tensor:
    """0, 1, … along ``dim``, to broadcast over x."""
    shape = [1] * x.ndim
    shape[dim] = x.shape[dim]
    return operators.call("arange", x.shape[dim], like=x).view(shape)  # type: ignore[no-any-return]


# --- embeddings ---------------------------------------------------------------------------------------------


def _refuse_embedding(weight: Any, indices: Any, *rest: Any, **kwargs: Any) -> str:
    if weight.ndim != 2:
        return f"a table of {weight.ndim} dimensions"
    return _refuse_index(indices)


@covers("embedding", operator="embedding", refuse=_refuse_embedding, takes_out=True)
def _embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False, *,
    out: Any = None,
) -> Any:  # fmt: skip
    return operators.call("embedding", indices, weight, out=out)


def _refuse_embedding_backward(grad: Any, indices: Any, rows: int, padding_idx: int, scale: bool) -> str:
    return "gradients scaled by frequency" if scale else _refuse_index(indices) or refuse_unless_float(grad)


@covers("embedding_dense_backward", operator="embedding_gradient", refuse=_refuse_embedding_backward)
def _embedding_backward(grad: Tensor, indices: Tensor, rows: int, padding_idx: int, scale: bool) -> Any:
    out = operators.call("embedding_gradient", grad, indices, rows)
    if 0 <= padding_idx < rows:
        row = out[padding_idx]
        pointwise(Bound(tiles.fill, (row, 0), dtype=row.dtype), row)
    return out


# --- the negative log-likelihood ----------------------------------------------------------------------------


def _picked_loss(picked: Any, target: Any, weight: Any, ignored: Any) -> Any:
    return tiles.where(target == ignored, 0.0, -picked * weight)


def _counted(target: Any, weight: Any, ignored: Any) -> Any:
    return tiles.where(target == ignored, 0.0, weight)


def _nonnegative(target: Any, ignored: Any) -> Any:
    return tiles.where(target == ignored, 0, target)


def _class_gradient(place: Any, target: Any, grad: Any, weight: Any, ignored: Any) -> Any:
    hit = tiles.logical_and(tiles.equal(place, target), tiles.not_equal(target, ignored))
    return tiles.where(hit, -grad * weight, 0.0)


def _loss_weights(x: Tensor, target: Tensor, weight: Any, ignored: int) -> Tensor | float:
    """The weight of each target's class, shaped as target."""
    if weight is None:
        return 1.0
    safe = pointwise(Bound(_nonnegative, (target, ignored), dtype=target.dtype))
    return operators.call("take", weight, safe.reshape(-1), 0).reshape(target.shape)  # type: ignore[no-any-return]


def _refuse_loss(x: Any, target: Any, *rest: Any) -> str:
    return _refuse_index(target) or refuse_unless_float(x)


def _refuse_loss_backward(grad: Any, x: Any, target: Any, *rest: Any) -> str:
    return _refuse_index(target) or refuse_unless_float(x)


@covers("nll_loss_forward", "nll_loss2d_forward", operator="take_along_axis", refuse=_refuse_loss)
def _nll_loss(x: Tensor, target: Tensor, weight: Any, reduction: int, ignored: int) -> Any:
    channel = 1 if x.ndim > 1 else 0
    targets = target.unsqueeze(channel) if x.ndim > target.ndim else target
    safe = pointwise(Bound(_nonnegative, (targets, ignored), dtype=targets.dtype))
    picked = operators.call("take_along_axis", x, safe, channel)
    weights = _loss_weights(x, targets, weight, ignored)
    keep = frozenset({1, 3})
    losses = pointwise(Bound(_picked_loss, (picked, targets, weights, ignored), keep=keep, dtype=x.dtype))
    if reduction == 0:
        return losses.reshape(target.shape), operators.call("zeros", (), x.dtype, like=x)
    counted = pointwise(Bound(_counted, (targets, weights, ignored), keep=frozenset({0, 2}), dtype=x.dtype))
    total, loss = operators.call("sum", counted), operators.call("sum", losses)
    if reduction == 1:
        loss = pointwise(Bound(tiles.divide, (loss, total)))
    return loss, total


@covers("nll_loss_backward", "nll_loss2d_backward", operator="elementwise", refuse=_refuse_loss_backward)
def _nll_loss_backward(
    grad: Tensor, x: Tensor, target: Tensor, weight: Any, reduction: int, ignored: int, total: Tensor
) -> Any:
    channel = 1 if x.ndim > 1 else 0
    targets = target.unsqueeze(channel) if x.ndim > target.ndim else target
    if reduction == 1:
        grad = pointwise(Bound(tiles.divide, (grad, total)))
    elif reduction == 0 and grad.ndim:
        grad = grad.unsqueeze(channel) if x.ndim > grad.ndim else grad
    weights = _loss_weights(x, targets, weight, ignored)
    operands = (_places(x, channel), targets, grad, weights, ignored)
    return pointwise(Bound(_class_gradient, operands, keep=frozenset({0, 1, 4}), dtype=x.dtype))
