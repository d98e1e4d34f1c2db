"""Gathering, scattering, joining and padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from portkernel.errors import ArgumentError, GradientError

from .. import operators
from ..aten import TABLE
from .define import WIDEST, call, computes, gradient, operator

Tensor = torch.Tensor
aten: Any = torch.ops.aten

operator("gather(Tensor x, int dim, Tensor index) -> Tensor", like=torch.gather)(computes("gather"))
operator("index_select(Tensor x, int dim, Tensor index) -> Tensor", like=torch.index_select)(computes("index_select"))
operator("take_along_axis(Tensor x, Tensor indices, int axis=-1) -> Tensor", like=torch.take_along_dim)(
    computes("take_along_axis")
)
operator("index_add(Tensor x, int dim, Tensor index, Tensor source) -> Tensor", like=torch.index_add)(
    computes("index_add")
)
operator(
    "put_along_axis(Tensor x, Tensor indices, Tensor source, int axis, str reduce='none') -> Tensor",
    like=lambda x, *rest: x,
)(computes("put_along_axis"))
operator("embedding(Tensor indices, Tensor table) -> Tensor", like=F.embedding)(computes("embedding"))
operator(
    "embedding_gradient(Tensor grad, Tensor indices, SymInt rows) -> Tensor",
    like=lambda grad, indices, rows: grad.new_empty((rows, grad.shape[-1])),
)(computes("embedding_gradient"))
for _name in ("tril", "triu"):
    operator(f"{_name}(Tensor x, int k=0) -> Tensor", like=getattr(torch, _name))(computes(_name))
operator(
    "concatenate(Tensor[] arrays, int axis=0) -> Tensor",
    like=lambda arrays, axis: torch.cat(list(arrays), axis),
    autocast=WIDEST,
)(lambda arrays, axis: operators.call("concatenate", list(arrays), axis))


@operator("scatter_add(Tensor x, int axis, Tensor indices, Tensor source) -> Tensor", like=lambda x, *rest: x)
def _scatter_add(x: Tensor, axis: int, indices: Tensor, source: Tensor) -> Any:
    """As ``pk.ops.scatter_add`` with a vector of indices; as ``torch.scatter_add`` with one for each element."""
    if indices.ndim == 1:
        return operators.call("scatter_add", x, axis, indices, source)
    return TABLE[aten.scatter_add.default].run(x, axis, indices, source)


def _pairs(widths: Sequence[int], rank: int) -> list[tuple[int, int]]:
    if len(widths) != 2 * rank:
        raise ArgumentError(
            f"pad(): pad_width: expected {2 * rank} numbers, before and after each axis, got {len(widths)}"
        )
    return [(widths[2 * i], widths[2 * i + 1]) for i in range(rank)]


def _padded(x: Tensor, widths: Sequence[int], mode: str, value: float) -> Tensor:
    return x.new_empty([n + a + b for n, (a, b) in zip(x.shape, _pairs(widths, x.ndim), strict=True)])


@operator("pad(Tensor x, SymInt[] pad_width, str mode='constant', float constant_values=0.0) -> Tensor", like=_padded)
def _pad(x: Tensor, widths: Sequence[int], mode: str, value: float) -> Any:
    return operators.call("pad", x, _pairs(widths, x.ndim), mode, value)


# --- gradients ----------------------------------------------------------------------------------------------


def _scattered(grad: Tensor, shape: Any, axis: int, indices: Tensor) -> Any:
    """``grad`` added where it was gathered, in zeros of ``shape``."""
    return call("scatter_add", grad.new_zeros(shape), axis, indices, grad)


@gradient("gather", "x.shape dim index")
def _gather_gradient(wanted: Any, grad: Tensor, shape: Any, dim: int, index: Tensor) -> Any:
    return _scattered(grad, shape, dim, index)


@gradient("take_along_axis", "x.shape axis indices")
def _take_gradient(wanted: Any, grad: Tensor, shape: Any, axis: int, indices: Tensor) -> Any:
    if any(n != m for i, (n, m) in enumerate(zip(shape, grad.shape, strict=True)) if i != axis % len(shape)):
        indices = indices.expand(grad.shape)
    return _scattered(grad, shape, axis, indices)


@gradient("index_select", "x.shape dim index")
def _index_select_gradient(wanted: Any, grad: Tensor, shape: Any, dim: int, index: Tensor) -> Any:
    return call("index_add", grad.new_zeros(shape), dim, index, grad)


@gradient("index_add", "dim index")
def _index_add_gradient(wanted: Any, grad: Tensor, dim: int, index: Tensor) -> Any:
    return grad, None, None, call("index_select", grad, dim, index) if wanted[3] else None


@gradient("scatter_add", "axis indices")
def _scatter_add_gradient(wanted: Any, grad: Tensor, axis: int, indices: Tensor) -> Any:
    name = "index_select" if indices.ndim == 1 else "gather"
    return grad, None, None, call(name, grad, axis, indices) if wanted[3] else None


@gradient("put_along_axis", "reduce indices axis")
def _put_gradient(wanted: Any, grad: Tensor, reduce: str, indices: Tensor, axis: int) -> Any:
    if reduce != "sum":
        raise GradientError(f"put_along_axis(): reduce: expected 'sum', which is differentiated, got {reduce!r}")
    return grad, None, call("gather", grad, axis, indices) if wanted[2] else None


@gradient("embedding", "indices table.shape")
def _embedding_gradient(wanted: Any, grad: Tensor, indices: Tensor, shape: Any) -> Any:
    return None, call("embedding_gradient", grad, indices, shape[0])


@gradient("embedding_gradient", "indices")
def _embedding_gradient_gradient(wanted: Any, grad: Tensor, indices: Tensor) -> Any:
    return call("embedding", indices, grad)


@gradient("tril", "k")
def _tril_gradient(wanted: Any, grad: Tensor, k: int) -> Any:
    return call("tril", grad, k)


@gradient("triu", "k")
def _triu_gradient(wanted: Any, grad: Tensor, k: int) -> Any:
    return call("triu", grad, k)


@gradient("concatenate", "arrays.shapes axis")
def _concatenate_gradient(wanted: Any, grad: Tensor, shapes: Any, axis: int) -> Any:
    first, parts = 0, []
    for shape in shapes:
        parts.append(grad.narrow(axis, first, shape[axis]))
        first += shape[axis]
    return (parts,)


@gradient("pad", "x.shape pad_width mode")
def _pad_gradient(wanted: Any, grad: Tensor, shape: Any, widths: Any, mode: str) -> Any:
    if mode != "constant":
        raise GradientError(f"pad(): mode: expected 'constant', which is differentiated, got {mode!r}")
    for axis, (n, (before, _)) in enumerate(zip(shape, _pairs(widths, len(shape)), strict=True)):
        grad = grad.narrow(axis, before, n)
    return grad
