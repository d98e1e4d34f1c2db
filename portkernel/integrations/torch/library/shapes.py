"""Joining, cutting and converting: operators said in terms of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from portkernel.errors import ArgumentShapeError

from .. import tiles
from ..pointwise import Bound
from .define import call, composite, gradient
from .elementwise import define

Tensor = torch.Tensor

define("astype(Tensor x, ScalarType dtype) -> Tensor", lambda x, dtype: Bound(tiles.identity, (x,), dtype=dtype))


@gradient("astype", "x.dtype")
def _astype_gradient(wanted: Any, grad: Tensor, dtype: torch.dtype) -> Any:
    return call("astype", grad, dtype)


@composite("cat(Tensor[] tensors, int dim=0) -> Tensor")
def _cat(tensors: Sequence[Tensor], dim: int) -> Any:
    """Without empty vectors, which PyTorch leaves out whatever the rank of the others."""
    given = [t for t in tensors if t.shape != (0,)]
    return call("concatenate", given or list(tensors), dim)


@composite("stack(Tensor[] arrays, int axis=0) -> Tensor")
def _stack(arrays: Sequence[Tensor], axis: int) -> Any:
    shapes = [tuple(a.shape) for a in arrays]
    if not shapes:
        raise ArgumentShapeError("stack(): arrays: expected at least one array, got none")
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ArgumentShapeError(f"stack(): arrays[{i}]: expected shape {shapes[0]} as arrays[0] has, got {shape}")
    return call("concatenate", [a.unsqueeze(axis) for a in arrays], axis)


@composite("split(Tensor(a -> *) x, int indices_or_sections, int axis=0) -> Tensor(a)[]")
def _split(x: Tensor, sections: int, axis: int) -> Any:
    n = x.shape[axis]
    if sections < 1 or n % sections:
        raise ArgumentShapeError(
            f"split(): indices_or_sections: expected a number that divides {n} elements along axis {axis}, got {sections}"
        )
    return x.tensor_split(sections, axis)


@composite("split.indices(Tensor(a -> *) x, int[] indices_or_sections, int axis=0) -> Tensor(a)[]")
def _split_at(x: Tensor, indices: Sequence[int], axis: int) -> Any:
    return x.tensor_split(list(indices), axis)


@composite("take(Tensor x, Tensor indices, int axis) -> Tensor")
def _take(x: Tensor, indices: Tensor, axis: int) -> Any:
    at = axis % x.ndim if x.ndim else axis
    found = call("index_select", x, axis, indices.reshape(-1))
    return found.view((*x.shape[:at], *indices.shape, *x.shape[at + 1 :]))


@composite("var_mean(Tensor x, int[1]? axis=None, float ddof=0.0, bool keepdims=False) -> (Tensor, Tensor)")
def _var_mean(x: Tensor, axis: Any, ddof: float, keepdims: bool) -> Any:
    return call("var", x, axis, ddof, keepdims), call("mean", x, axis, keepdims)


@composite("clamp.Tensor(Tensor x, Tensor? min=None, Tensor? max=None) -> Tensor")
def _clamp_by_tensors(x: Tensor, low: Any, high: Any) -> Any:
    """Where an element equals its limit, both have half of the gradient, as of ``maximum``."""
    if low is None and high is None:
        return call("clamp", x, None, None)  # which says what is missing
    if low is not None:
        x = call("maximum", x, low)
    return x if high is None else call("minimum", x, high)


@composite("clip(Tensor x, Scalar? a_min=None, Scalar? a_max=None) -> Tensor")
def _clip(x: Tensor, low: Any, high: Any) -> Any:
    return call("clamp", x, low, high)


@composite("clip.Tensor(Tensor x, Tensor? a_min=None, Tensor? a_max=None) -> Tensor")
def _clip_by_tensors(x: Tensor, low: Any, high: Any) -> Any:
    return call("clamp.Tensor", x, low, high)
