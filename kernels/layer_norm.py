"""Layer normalisation over the last axes, and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, sample
from portkernel.errors import ArgumentShapeError, ArgumentTypeError

from .arrays import dtype_of, empty, integers, number, result
from .axes import broadcast
from .fold import FLOATS, Array
from .row_norm import input_gradient, norm_bound, norm_rows, normalize, reference_norm, weight_gradients

EPS = float(np.float32(1e-5))  # a Python float arrives as float32


def last_axes(where: str, x: Array, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """The axes that ``normalized_shape`` names. Raises ArgumentShapeError unless x ends in it."""
    wanted = integers(f"{where}: normalized_shape", normalized_shape)
    shape = tuple(int(n) for n in x.shape)
    if not wanted or shape[len(shape) - len(wanted) :] != wanted:
        raise ArgumentShapeError(f"{where}: normalized_shape: expected the last sides of x {shape}, got {wanted}")
    return tuple(range(len(shape) - len(wanted), len(shape)))


def affine(where: str, name: str, value: Array | None, x: Array, axes: Sequence[int]) -> Array | None:
    """A weight or bias of the shape of ``axes`` of x, repeated to x's shape."""
    if value is None:
        return None
    wanted = tuple(int(x.shape[a]) for a in axes)
    dtype_of(f"{where}: {name}", value, FLOATS)
    if tuple(value.shape) != wanted:
        raise ArgumentShapeError(f"{where}: {name}: expected shape {wanted}, got {tuple(value.shape)}")
    return broadcast(value, x.shape, f"{where}: {name}")


def layer_norm(
    x: Array, normalized_shape: int | Sequence[int], weight: Array | None = None, bias: Array | None = None,
    eps: float = 1e-5, *, out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``torch.nn.functional.layer_norm``: ``(x - mean) / sqrt(variance + eps) * weight + bias`` over the last axes.

    x of any shape and strides, float16, bfloat16, float32 or float64; weight and bias have ``normalized_shape``.
    Computed in float32 (float64 for float64), the variance from what the mean leaves. Error: see
    ``row_norm.norm_bound``, from γ(N) of the mean and of the variance.
    """
    where, route = "layer_norm()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, FLOATS)
    axes = last_axes(where, x, normalized_shape)
    w, b = (affine(where, name, t, x, axes) for name, t in (("weight", weight), ("bias", bias)))
    out = result(where, out, x, tuple(int(n) for n in x.shape), (dtype,))
    normalize(x, w, b, out, axes, number(f"{where}: eps", eps), False, route)
    return out


def layer_norm_gradient(
    grad: Array, x: Array, normalized_shape: int | Sequence[int], weight: Array | None = None, eps: float = 1e-5, *,
    mean: Array | None = None, scale: Array | None = None, backend: str | None = None, device: str | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The gradients for x, weight and bias, from that for the result.

    mean and scale, ``1 / sqrt(variance + eps)``, are computed again unless both are given, of x's shape with 1 along
    the normalised axes; eps then counts for nothing.

    Those for weight and bias are sums over all rows, in parts of fixed order: deterministic. Without a weight they
    are those of a weight of ones. Error: γ(N + 20) of the terms' absolute values for x, γ(min(M, 8256) + N) for weight.
    """
    return gradients(
        "layer_norm_gradient()", grad, x, normalized_shape, weight, eps, False, backend, device, (mean, scale)
    )


def gradients(
    where: str, grad: Array, x: Array, normalized_shape: Any, weight: Array | None, eps: float, rms: bool,
    backend: str | None, device: str | None, statistics: tuple[Array | None, Array | None] = (None, None),
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The gradients of layer and RMS normalisation: for x, weight and bias. ``statistics`` are mean and scale."""
    route = {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, FLOATS)
    dtype_of(f"{where}: grad", grad, (dtype,))
    shape = tuple(int(n) for n in x.shape)
    if tuple(grad.shape) != shape:
        raise ArgumentShapeError(f"{where}: grad: expected the shape of x, {shape}, got {tuple(grad.shape)}")
    number(f"{where}: eps", eps)
    axes = last_axes(where, x, normalized_shape)
    w = affine(where, "weight", weight, x, axes)
    dx = empty(x, shape, dtype)
    stored = dtype if weight is None else dtype_of(where, weight)
    outs = tuple(empty(x, shape[axes[0] :], stored) for _ in range(2))
    given = repeated(where, statistics, tuple(1 if i in axes else n for i, n in enumerate(shape)), x)
    means, scales = input_gradient(grad, x, w, dx, axes, eps, rms, route, given)
    weight_gradients(grad, x, means, scales, tuple(range(axes[0])), outs, route)
    return dx, *outs


def repeated(
    where: str, statistics: tuple[Array | None, Array | None], shape: tuple[int, ...], x: Array
) -> tuple[Array, Array] | None:
    """A mean and a scale of this shape, repeated to x's; None where neither is given."""
    mean, scale = statistics
    if mean is None and scale is None:
        return None
    if mean is None or scale is None:
        raise ArgumentTypeError(f"{where}: scale: expected mean and scale, got one of them")
    for name, value in (("mean", mean), ("scale", scale)):
        dtype_of(f"{where}: {name}", value, FLOATS)
        if tuple(value.shape) != shape:
            raise ArgumentShapeError(f"{where}: {name}: expected shape {shape}, got {tuple(value.shape)}")
    return broadcast(mean, x.shape, where), broadcast(scale, x.shape, where)


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype)
        if layout == "strided":
            x = sample(rng, (n, 2 * m), dtype).T[::-2]
        elif layout == "far from 0":
            x = (exact(x) + 100).astype(dtype.np)
        weight, bias = (np.broadcast_to(sample(rng, (n,), dtype), (1, 1, m, n)) for _ in range(2))
        inputs = (exact(x)[None, None], exact(weight), exact(bias), (3,), EPS, False)
        return Problem(
            args={"x": x[None, None], "weight": weight, "bias": bias, "out": poison((1, 1, m, n), dtype), "eps": EPS},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]), 1),
            reference=lambda: {"out": reference_norm(*inputs)},
            bound=lambda: {"out": norm_bound(*inputs, dtype)},
        )

    return make


ENTRIES = (
    Entry(
        "layer_norm",
        norm_rows,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16),
        (
            Case("256×768", _case(256, 768)),
            Case("1×1", _case(1, 1)),
            Case("3×5003", _case(3, 5003)),
            Case("29×65, strided", _case(29, 65, "strided")),
            Case("16×1024, far from 0", _case(16, 1024, "far from 0")),
        ),
    ),
)
