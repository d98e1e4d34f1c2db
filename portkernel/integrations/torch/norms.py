"""Softmax, normalisations, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from . import operators, tiles
from .pointwise import Bound
from .pointwise import launch as pointwise
from .rules import covers, refuse_unless_float

Tensor = torch.Tensor


# --- softmax ------------------------------------------------------------------------------------------------


def _refuse_softmax(x: Any, dim: int, half_to_float: bool) -> str:
    if half_to_float:
        return "a conversion inside softmax"
    return refuse_unless_float(x) if x.ndim else "a tensor without axes"


@covers("_softmax", operator="softmax", refuse=_refuse_softmax, takes_out=True)
def _softmax(x: Tensor, dim: int, half_to_float: bool, *, out: Tensor | None = None) -> Any:
    return operators.call("softmax", x, dim, out=out)


@covers("_log_softmax", operator="log_softmax", refuse=_refuse_softmax, takes_out=True)
def _log_softmax(x: Tensor, dim: int, half_to_float: bool, *, out: Tensor | None = None) -> Any:
    return operators.call("log_softmax", x, dim, out=out)


def _refuse_softmax_backward(grad: Any, y: Any, dim: int, input_dtype: torch.dtype) -> str:
    if grad.dtype != y.dtype or input_dtype != y.dtype:
        return "a conversion inside softmax"
    return refuse_unless_float(grad) if grad.ndim else "a tensor without axes"


@covers("_softmax_backward_data", operator="softmax_gradient", refuse=_refuse_softmax_backward, takes_out=True)
def _softmax_backward(grad: Tensor, y: Tensor, dim: int, input_dtype: Any, *, out: Tensor | None = None) -> Any:
    return operators.call("softmax_gradient", grad, y, dim, out=out)


@covers("_log_softmax_backward_data", operator="log_softmax_gradient", refuse=_refuse_softmax_backward, takes_out=True)
def _log_softmax_backward(grad: Tensor, y: Tensor, dim: int, input_dtype: Any, *, out: Tensor | None = None) -> Any:
    return operators.call("log_softmax_gradient", grad, y, dim, out=out)


# --- layer and group normalisation --------------------------------------------------------------------------


def inverse_deviation(variance: Tensor, eps: float) -> Tensor:
    """``1 / sqrt(variance + eps)``."""
    return pointwise(Bound(_inverse, (variance, eps)))


def _inverse(variance: Any, eps: Any) -> Any:
    return tiles.rsqrt(variance + eps)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype that statistics of ``dtype`` have."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _statistics(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    """Mean and inverse deviation over ``axes``, which stay as length 1."""
    variance, mean = operators.call("var_mean", x, axes, keepdims=True)
    return mean, inverse_deviation(variance if variance.dtype == mean.dtype else variance.to(mean.dtype), eps)


def _refuse_affine(x: Any, shape: Any, weight: Any, bias: Any, eps: float) -> str:
    if not shape:
        return "no axis to normalise"
    return refuse_unless_float(x, weight, bias)


def layer_norm(
    x: Tensor, shape: Sequence[int], weight: Any, bias: Any, eps: float, *, out: Tensor | None = None
) -> Any:
    """The first result of ``native_layer_norm`` alone."""
    return operators.call("layer_norm", x, tuple(shape), weight, bias, eps, out=out)


@covers("native_layer_norm", operator="layer_norm", refuse=_refuse_affine)
def _native_layer_norm(x: Tensor, shape: Sequence[int], weight: Any, bias: Any, eps: float) -> Any:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    mean, scale = _statistics(x, axes, eps)
    kept = x.dtype if weight is None or weight.dtype == x.dtype else wide(x.dtype)  # mixed dtypes keep wide statistics
    return layer_norm(x, shape, weight, bias, eps), _stored(mean, kept), _stored(scale, kept)


def _stored(statistic: Tensor, dtype: torch.dtype) -> Tensor:
    return statistic if statistic.dtype == dtype else operators.call("astype", statistic, str(dtype)[6:])


def _weighted_normalised(grad: Any, x: Any, mean: Any, scale: Any) -> Any:
    return grad * ((x - mean) * scale)


def _norm_slope(g: Any, x: Any, mean: Any, scale: Any, level: Any, slope: Any) -> Any:
    return (g - level - (x - mean) * scale * slope) * scale


def _rows_gradient(g: Tensor, x: Tensor, mean: Tensor, scale: Tensor, axes: tuple[int, ...]) -> Any:
    """The gradient for x of ``(x - mean)·scale``, mean and deviation being those of x over ``axes``."""
    level = operators.call("mean", g, axes, keepdims=True)
    slope = operators.call("mean", pointwise(Bound(_weighted_normalised, (g, x, mean, scale))), axes, keepdims=True)
    return pointwise(Bound(_norm_slope, (g, x, mean, scale, level, slope), dtype=x.dtype))


@covers("native_layer_norm_backward", operator="layer_norm_gradient", refuse=lambda g, x, *rest: refuse_unless_float(g, x))  # fmt: skip
def _layer_norm_backward(
    grad: Tensor, x: Tensor, shape: Sequence[int], mean: Tensor, rstd: Tensor, weight: Any, bias: Any, mask: Any
) -> Any:
    dx, dw, db = operators.call("layer_norm_gradient", grad, x, tuple(shape), weight, mean=mean, scale=rstd)
    return dx if mask[0] else None, dw if mask[1] else None, _stored(db, bias.dtype) if mask[2] else None


def _summed(x: Tensor, axes: tuple[int, ...], dtype: torch.dtype) -> Any:
    if not axes:
        return _stored(x, dtype)
    return operators.call("sum", x, axes, dtype=str(dtype).removeprefix("torch."))


@covers("native_group_norm", operator="group_norm", refuse=lambda x, w, b, *rest: refuse_unless_float(x, w, b))
def _native_group_norm(x: Tensor, weight: Any, bias: Any, n: int, c: int, pixels: int, groups: int, eps: float) -> Any:
    y = operators.call("group_norm", x, groups, weight, bias, eps)
    mean, scale = _statistics(x.reshape(n, groups, -1), (2,), eps)
    kept = x.dtype if weight is None or weight.dtype == x.dtype else wide(x.dtype)
    return y, _stored(mean, kept).reshape(n, groups), _stored(scale, kept).reshape(n, groups)


@covers("native_group_norm_backward", operator="group_norm_gradient", refuse=lambda g, x, *rest: refuse_unless_float(g, x))  # fmt: skip
def _group_norm_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Any,
    n: int,
    c: int,
    pixels: int,
    groups: int,
    mask: Any,
) -> Any:
    split = (n, groups, c // groups, pixels)
    g, v = grad.reshape(split), x.reshape(split)
    m, s = mean.reshape(n, groups, 1, 1), rstd.reshape(n, groups, 1, 1)
    dx = dw = db = None
    if mask[0]:
        factor = g if weight is None else pointwise(
            Bound(tiles.multiply, (g, weight.reshape(1, groups, c // groups, 1)), dtype=wide(grad.dtype))
        )  # fmt: skip
        dx = _rows_gradient(factor, v, m, s, (2, 3)).reshape(x.shape)
    stored = x.dtype if weight is None else weight.dtype
    if mask[1]:
        product = pointwise(Bound(_weighted_normalised, (g, v, m, s), dtype=wide(x.dtype)))
        dw = _summed(product, (0, 3), stored).reshape(c)
    if mask[2]:
        db = _summed(g, (0, 3), stored).reshape(c)
    return dx, dw, db


@covers("_fused_rms_norm", operator="rms_norm", refuse=lambda x, shape, w, eps: refuse_unless_float(x, w))
def _rms_norm(x: Tensor, shape: Sequence[int], weight: Any, eps: float | None) -> Any:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    given = torch.finfo(x.dtype).eps if eps is None else eps
    square = pointwise(Bound(tiles.square, (x,), dtype=wide(x.dtype)))
    scale = inverse_deviation(operators.call("mean", square, axes, keepdims=True), given)
    return operators.call("rms_norm", x, tuple(shape), weight, given), scale


# --- batch normalisation ------------------------------------------------------------------------------------


def _refuse_batch(x: Any, *rest: Any) -> str:
    return refuse_unless_float(x, *rest)


def _channels(t: Tensor, x: Tensor) -> Tensor:
    """A value for each channel, shaped to broadcast over x."""
    return t.view(1, -1, *(1,) * (x.ndim - 2))


def _centred(x: Any, mean: Any, scale: Any) -> Any:
    return (x - mean) * scale


def _centred_weighted(x: Any, mean: Any, scale: Any, weight: Any) -> Any:
    return (x - mean) * scale * weight


def _centred_affine(x: Any, mean: Any, scale: Any, weight: Any, bias: Any) -> Any:
    return (x - mean) * scale * weight + bias


def _moved(running: Any, new: Any, share: Any, scale: Any) -> Any:
    return running * (1 - share) + new * (share * scale)


def _applied(x: Tensor, mean: Tensor, scale: Tensor, weight: Any, bias: Any) -> Tensor:
    if bias is not None and weight is None:
        weight = torch.ones_like(bias)
    given = [t for t in (mean, scale, weight, bias) if t is not None]
    fn: Any = {2: _centred, 3: _centred_weighted, 4: _centred_affine}[len(given)]
    return pointwise(Bound(fn, (x, *(_channels(t, x) for t in given)), dtype=x.dtype))


def _batch_statistics(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance of the population and inverse deviation of each channel."""
    variance, mean = operators.call("var_mean", x, (0, *range(2, x.ndim)))
    variance = variance if variance.dtype == mean.dtype else _stored(variance, mean.dtype)
    return mean, variance, inverse_deviation(variance, eps)


def _trained(x: Tensor, weight: Any, bias: Any, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    mean, variance, scale = _batch_statistics(x, eps)
    return _applied(x, mean, scale, weight, bias), mean, variance, scale


def _moves(running: Tensor, new: Tensor, share: float, scale: float, out: Tensor | None) -> Tensor:
    return pointwise(Bound(_moved, (running, new, share, scale), dtype=running.dtype), out)


def _unbiased(x: Tensor) -> float:
    count = x.numel() // max(x.shape[1], 1)
    return count / max(count - 1, 1)


@covers("native_batch_norm", "_native_batch_norm_legit", operator="batch_norm", refuse=_refuse_batch)
def _native_batch_norm(
    x: Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float
) -> Any:
    """Moves the running statistics in place, as ATen's does."""
    if not training:
        return _without_training(x, weight, bias, running_mean, running_var, momentum, eps)
    y, mean, variance, scale = _trained(x, weight, bias, eps)
    if running_mean is not None:
        _moves(running_mean, mean, momentum, 1.0, running_mean)
    if running_var is not None:
        _moves(running_var, variance, momentum, _unbiased(x), running_var)
    return y, mean, scale


@covers("_native_batch_norm_legit.no_stats", operator="batch_norm", refuse=_refuse_batch)
def _no_statistics(x: Tensor, weight: Any, bias: Any, training: bool, momentum: float, eps: float) -> Any:
    y, mean, _, scale = _trained(x, weight, bias, eps)
    return y, mean, scale


@covers("_native_batch_norm_legit_functional", operator="batch_norm", refuse=_refuse_batch)
def _functional(
    x: Tensor, weight: Any, bias: Any, running_mean: Tensor, running_var: Tensor, training: bool, momentum: float,
    eps: float,
) -> Any:  # fmt: skip
    if not training:
        y, mean, scale = _without_training(x, weight, bias, running_mean, running_var, momentum, eps)
        return y, mean, scale, running_mean, running_var
    y, mean, variance, scale = _trained(x, weight, bias, eps)
    moved = _moves(running_mean, mean, momentum, 1.0, None), _moves(running_var, variance, momentum, _unbiased(x), None)
    return y, mean, scale, *moved


@covers("_native_batch_norm_legit_no_training", operator="batch_norm", refuse=_refuse_batch)
def _without_training(
    x: Tensor, weight: Any, bias: Any, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
) -> Any:
    y = _applied(x, running_mean, inverse_deviation(running_var, eps), weight, bias)
    none = x.new_empty((0,), dtype=wide(x.dtype))
    return y, none, none.clone()


@covers("native_batch_norm_backward", operator="batch_norm_gradient", refuse=_refuse_batch)
def _batch_norm_backward(
    grad: Tensor, x: Tensor, weight: Any, running_mean: Any, running_var: Any, save_mean: Any, save_scale: Any,
    training: bool, eps: float, mask: Any,
) -> Any:  # fmt: skip
    saved = {"mean": save_mean, "scale": save_scale} if training else {}
    found = operators.call("batch_norm_gradient", grad, x, running_mean, running_var, weight, training, eps, **saved)
    return tuple(t if wanted else None for t, wanted in zip(found, mask, strict=True))


def folded(weight: Tensor, bias: Any, mean: Tensor, variance: Tensor, gamma: Any, beta: Any, eps: float) -> Any:
    """Weight and bias of a convolution that does what a convolution and a normalisation with given statistics do."""
    return operators.call("fold_batch_norm", weight, bias, mean, variance, gamma, beta, eps)
