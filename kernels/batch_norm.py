"""Batch normalisation with given or with the batch's statistics, and its gradients."""

from __future__ import annotations

import math
from typing import Any

import portkernel as pk
from portkernel.errors import ArgumentShapeError, ArgumentTypeError

from .arrays import check_writable, dtype_of, empty, number, result, strides_of
from .axes import broadcast, view
from .elementwise import elementwise
from .fold import FLOATS, Array
from .row_norm import input_gradient, weight_gradients, working
from .variance import _moments as moments_of


def _plain(x, mean, variance, eps):
    return (x - mean) / pk.sqrt(variance + eps)


def _scaled(x, mean, variance, eps, weight):
    return (x - mean) / pk.sqrt(variance + eps) * weight


def _shifted(x, mean, variance, eps, bias):
    return (x - mean) / pk.sqrt(variance + eps) + bias


def _affine(x, mean, variance, eps, weight, bias):
    return (x - mean) / pk.sqrt(variance + eps) * weight + bias


def _inverse(variance, eps):
    return 1.0 / pk.sqrt(variance + eps)


def _moved(running, new, share, scale):
    return running * (1 - share) + new * (share * scale)


def _channels(where: str, name: str, value: Array | None, x: Array) -> Array | None:
    """A value for each channel, repeated to x's shape."""
    if value is None:
        return None
    dtype_of(f"{where}: {name}", value, FLOATS)
    if tuple(value.shape) != (int(x.shape[1]),):
        raise ArgumentShapeError(f"{where}: {name}: expected shape {(int(x.shape[1]),)}, got {tuple(value.shape)}")
    last = len(x.shape) - 2
    spread = view(value, (int(x.shape[1]),) + (1,) * last, strides_of(value) + (0,) * last)
    return broadcast(spread, x.shape, f"{where}: {name}")


def _checked(where: str, x: Array) -> tuple[pk.DType, tuple[int, ...], int]:
    """The dtype, the axes that are averaged over, and how many elements those have."""
    dtype = dtype_of(f"{where}: x", x, FLOATS)
    if len(x.shape) < 2:
        raise ArgumentShapeError(f"{where}: x: expected at least 2 dimensions, (N, C, …), got {len(x.shape)}")
    axes = (0, *range(2, len(x.shape)))
    return dtype, axes, math.prod(int(x.shape[a]) for a in axes)


def batch_norm(
    x: Array, running_mean: Array | None, running_var: Array | None, weight: Array | None = None,
    bias: Array | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``torch.nn.functional.batch_norm`` of x ``(N, C, …)``, any strides; the other arrays are ``(C,)``.

    With ``training`` the mean and the variance (of the population) are those of the batch, in one pass, and
    running_mean and running_var, where given, move towards them by ``momentum`` (the variance of the sample), in place.
    Computed in float32 (float64 for float64). Error: that of ``layer_norm`` with the variance's of ``variance.var``.
    """
    where, route = "batch_norm()", {"backend": backend, "device": device}
    dtype, axes, count = _checked(where, x)
    shape = tuple(int(n) for n in x.shape)
    w, b = _channels(where, "weight", weight, x), _channels(where, "bias", bias, x)
    given = [_channels(where, n, t, x) for n, t in (("running_mean", running_mean), ("running_var", running_var))]
    if not training and any(t is None for t in given):
        raise ArgumentTypeError(f"{where}: running_mean: expected statistics unless training, got None")
    for name, value in (("momentum", momentum), ("eps", eps)):
        number(f"{where}: {name}", value)
    out = result(where, out, x, shape, (dtype,))
    if training:
        check_writable(f"{where}: running_mean", running_mean)
        check_writable(f"{where}: running_var", running_var)
        if count < 2 and 0 not in shape:
            raise ArgumentShapeError(f"{where}: x: expected more than one value for each channel, got shape {shape}")
        variance, mean = moments_of("batch_norm", x, axes, working(dtype), None, 0, False, None, "var", route)
        given = [_channels(where, "mean", mean, x), _channels(where, "variance", variance, x)]
    fn: Any = {(False, False): _plain, (True, False): _scaled, (False, True): _shifted, (True, True): _affine}[
        w is not None, b is not None
    ]
    elementwise(fn, x, *given, eps, *(t for t in (w, b) if t is not None), out=out, dtype=dtype, **route)
    if training and count:  # last: nothing moves where the launch before is refused
        for running, new, scale in ((running_mean, mean, 1.0), (running_var, variance, count / max(count - 1, 1))):
            if running is not None:
                elementwise(_moved, running, new, momentum, scale, out=running, dtype=running.dtype, **route)
    return out


def batch_norm_gradient(
    grad: Array, x: Array, running_mean: Array | None = None, running_var: Array | None = None,
    weight: Array | None = None, training: bool = True, eps: float = 1e-5, *, mean: Array | None = None,
    scale: Array | None = None, backend: str | None = None, device: str | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The gradients for x, weight and bias, from that for the result; deterministic.

    With ``training`` the batch's statistics depend on x; they are computed again unless mean and scale, ``1 /
    sqrt(variance + eps)``, are given, ``(C,)`` each. Otherwise the running ones are constants.
    """
    where, route = "batch_norm_gradient()", {"backend": backend, "device": device}
    dtype, axes, _ = _checked(where, x)
    shape = tuple(int(n) for n in x.shape)
    dtype_of(f"{where}: grad", grad, (dtype,))
    if tuple(grad.shape) != shape:
        raise ArgumentShapeError(f"{where}: grad: expected the shape of x, {shape}, got {tuple(grad.shape)}")
    w = _channels(where, "weight", weight, x)
    stored = dtype if weight is None else dtype_of(where, weight)
    dx = empty(x, shape, dtype)
    if training:
        given = None
        if mean is not None and scale is not None:
            given = _channels(where, "mean", mean, x), _channels(where, "scale", scale, x)
        elif mean is not None or scale is not None:
            raise ArgumentTypeError(f"{where}: scale: expected mean and scale, got one of them")
        means, scales = input_gradient(grad, x, w, dx, axes, eps, False, route, given)
    else:
        if running_mean is None or running_var is None:
            raise ArgumentTypeError(f"{where}: running_mean: expected statistics unless training, got None")
        inverse = elementwise(_inverse, running_var, eps, **route)
        means, scales = _channels(where, "running_mean", running_mean, x), _channels(where, "scale", inverse, x)
        factors = (grad, scales) if w is None else (grad, scales, w)
        elementwise(_product if w is None else _product3, *factors, out=dx, dtype=dtype, **route)
    outs = tuple(empty(x, (shape[1],), stored) for _ in range(2))
    weight_gradients(grad, x, means, scales, axes, outs, route)
    return dx, *outs


def _product(a, b):
    return a * b


def _product3(a, b, c):
    return a * b * c


# --- folded into a convolution ------------------------------------------------------------------------------


def _folded_weight(weight, var, gamma, eps):
    return weight * (gamma / pk.sqrt(var + eps))


def _folded_bias(mean, var, bias, gamma, beta, eps):
    return (bias - mean) * (gamma / pk.sqrt(var + eps)) + beta


def fold_batch_norm(
    weight: Array, bias: Array | None, mean: Array, var: Array, gamma: Array | None = None, beta: Array | None = None,
    eps: float = 1e-5, *, backend: str | None = None, device: str | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """The weight and bias of a convolution that does what a convolution followed by ``batch_norm`` does.

    ``weight·gamma / sqrt(var + eps)`` along the first axis of weight ``(O, …)``, and ``(bias - mean)·gamma / sqrt(var + eps)
    + beta``; the others are ``(O,)``, and None stands for a bias or beta of 0 and a gamma of 1. Both have the dtype of
    weight. Computed in float32 (float64 for float64); error: 12 ulp of the terms' absolute values, then one rounding.
    """
    where, route = "fold_batch_norm()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: weight", weight, FLOATS)
    shape = tuple(int(n) for n in weight.shape)
    if not shape:
        raise ArgumentShapeError(f"{where}: weight: expected at least 1 dimension, got shape ()")
    for name, value in (("bias", bias), ("mean", mean), ("var", var), ("gamma", gamma), ("beta", beta)):
        if value is None and name not in ("mean", "var"):
            continue
        dtype_of(f"{where}: {name}", value, FLOATS)
        if tuple(value.shape) != shape[:1]:
            raise ArgumentShapeError(f"{where}: {name}: expected shape {shape[:1]}, got {tuple(value.shape)}")
    number(f"{where}: eps", eps)
    ones = (1,) * (len(shape) - 1)
    spread = [
        1.0 if v is None else broadcast(view(v, (*shape[:1], *ones), strides_of(v) + (0,) * len(ones)), shape, where)
        for v in (var, gamma)
    ]
    plain = [0.0 if v is None else v for v in (bias, 1.0 if gamma is None else gamma, beta)]
    return (
        elementwise(_folded_weight, weight, *spread, eps, dtype=dtype, **route),
        elementwise(_folded_bias, mean, var, *plain, eps, dtype=dtype, **route),
    )
