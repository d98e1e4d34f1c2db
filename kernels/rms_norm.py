"""RMS normalisation over the last axes, and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

import portkernel as pk

from .arrays import dtype_of, number, result
from .fold import FLOATS, Array
from .layer_norm import affine, gradients, last_axes
from .row_norm import normalize


def _eps(where: str, eps: float | None, dtype: pk.DType) -> float:
    return dtype.eps if eps is None else number(f"{where}: eps", eps)


def rms_norm(
    x: Array, normalized_shape: int | Sequence[int], weight: Array | None = None, eps: float | None = None, *,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``torch.nn.functional.rms_norm``: ``x / sqrt(mean(x²) + eps) * weight`` over the last axes (Zhang, Sennrich 2019).

    x of any shape and strides, float16, bfloat16, float32 or float64; weight has ``normalized_shape``; eps is the
    dtype's epsilon by default. Computed in float32 (float64 for float64). Relative error: γ(N + 14), then one rounding.
    """
    where, route = "rms_norm()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, FLOATS)
    axes = last_axes(where, x, normalized_shape)
    w = affine(where, "weight", weight, x, axes)
    out = result(where, out, x, tuple(int(n) for n in x.shape), (dtype,))
    normalize(x, w, None, out, axes, _eps(where, eps, dtype), True, route)
    return out


def rms_norm_gradient(
    grad: Array, x: Array, normalized_shape: int | Sequence[int], weight: Array | None = None,
    eps: float | None = None, *, backend: str | None = None, device: str | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """The gradients for x and weight, from that for the result. As ``layer_norm_gradient``."""
    where = "rms_norm_gradient()"
    e = _eps(where, eps, dtype_of(f"{where}: x", x, FLOATS))
    return gradients(where, grad, x, normalized_shape, weight, e, True, backend, device)[:2]
