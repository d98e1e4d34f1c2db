"""Normalisation over channels, rows and groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from portkernel import ops

from ..executor import Node
from ..registry import operator
from . import formulas
from .arrays import Array, integers


@operator("BatchNormalization", node=True)
def batch_norm(
    x: Array,
    scale: Array,
    bias: Array,
    mean: Array,
    var: Array,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
    spatial: int = 1,
    is_test: int | None = None,
    node: Node | None = None,
    **_: Any,
) -> tuple[Array, ...]:
    assert node is not None
    if not training_mode:
        return (ops.batch_norm(x, mean, var, scale, bias, False, 0.1, epsilon),)
    y = ops.batch_norm(x, None, None, scale, bias, True, 0.1, epsilon)
    axes = tuple(i for i in range(x.ndim) if i != 1)
    seen_var, seen_mean = ops.var_mean(x, axes)
    blends = []
    for old, new in ((mean, seen_mean), (var, seen_var)):
        blends.append(ops.astype(ops.elementwise(formulas.blend, old, new, momentum), old.dtype))
    return y, *blends


@operator("LayerNormalization", node=True)
def layer_norm(
    x: Array,
    scale: Array,
    bias: Array | None = None,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    node: Node | None = None,
) -> tuple[Array, ...]:
    assert node is not None
    at = axis % x.ndim
    shape = x.shape[at:]
    weight, shift = (None if t is None else np.broadcast_to(t, shape) for t in (scale, bias))
    y = ops.layer_norm(x, shape, weight, shift, epsilon)
    if not node.wants(1) and not node.wants(2):
        return (y,)
    axes = tuple(range(at, x.ndim))
    wide = x if x.dtype == np.float64 else ops.astype(x, np.float32)
    var, mean = ops.var_mean(wide, axes, keepdims=True)
    return y, mean, ops.elementwise(formulas.inverse_root, var, epsilon)


@operator("RMSNormalization")
def rms_norm(x: Array, scale: Array, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Array:
    shape = x.shape[axis % x.ndim :]
    return ops.rms_norm(x, shape, np.broadcast_to(scale, shape), epsilon)


@operator("InstanceNormalization")
def instance_norm(x: Array, scale: Array, bias: Array, epsilon: float = 1e-5, **_: Any) -> Array:
    return ops.group_norm(x, x.shape[1], scale, bias, epsilon)


@operator("GroupNormalization")
def group_norm(
    x: Array, scale: Array, bias: Array, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1
) -> Array:
    channels = x.shape[1]
    if scale.shape[0] == num_groups != channels:  # opset 18: one for each group
        scale, bias = (ops.take(t, np.arange(channels) // (channels // num_groups), 0) for t in (scale, bias))
    return ops.group_norm(x, num_groups, scale, bias, epsilon)


@operator("LpNormalization")
def lp_norm(x: Array, axis: int = -1, p: int = 2) -> Array:
    return ops.elementwise(formulas.quotient_or_zero, x, ops.norm(x, p, axis, True))


@operator("LRN")
def lrn(x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Array:
    before = (size - 1) // 2
    squares = ops.square(x)
    padded = ops.pad(squares, [(0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)])
    total = padded[:, : x.shape[1]]
    for i in range(1, size):
        total = ops.add(total, padded[:, i : i + x.shape[1]])
    return ops.elementwise(formulas.local_response, x, total, alpha / size, beta, bias)


@operator("MeanVarianceNormalization")
def mean_variance(x: Array, axes: Any = (0, 2, 3), **_: Any) -> Array:
    where = tuple(integers(axes))
    var, mean = ops.var_mean(x, where, keepdims=True)
    return ops.elementwise(formulas.standardized, x, mean, var)
