"""What convolutions must compute, in plain NumPy: float64, or exact integers, over views of windows."""

from __future__ import annotations

import numpy as np

from portkernel.catalog import gamma, rounding

from .. import activations


def wide(x: np.ndarray) -> np.ndarray:
    """float64, or int64 for integers."""
    return x.astype(np.int64 if x.dtype.kind in "iu" else np.float64)


def windows(x: np.ndarray, kernel, stride, dilation, padding) -> np.ndarray:
    """``(N, C, OD, OH, OW, KD, KH, KW)``, a view of x ``(N, C, D, H, W)`` padded by ``((before, after), …)``."""
    padded = np.pad(x, ((0, 0), (0, 0), *padding))
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, (2, 3, 4))
    return view[:, :, :: stride[0], :: stride[1], :: stride[2], :: dilation[0], :: dilation[1], :: dilation[2]]


def forward(x, weight, stride, dilation, padding, groups) -> np.ndarray:
    """x ``(N, C, D, H, W)``, weight ``(O, C / groups, KD, KH, KW)``, in their own dtype."""
    seen = windows(x, weight.shape[2:], stride, dilation, padding)
    n, c, *size = seen.shape[:5]
    seen = seen.reshape(n, groups, c // groups, *seen.shape[2:])
    taps = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    return np.einsum("ngcdhwxyz,gocxyz->ngodhw", seen, taps, optimize=True).reshape(n, weight.shape[0], *size)


def transposed(y, weight, stride, dilation, padding, groups, size) -> np.ndarray:
    """The adjoint of :func:`forward`: y ``(N, C, …)``, weight ``(C, O / groups, K…)``; result ``(N, O, *size)``."""
    n, c = y.shape[:2]
    per_group = weight.shape[1]
    kernel = weight.shape[2:]
    room = [before + s + (k - 1) * d + i * t for (before, _), s, k, d, i, t in
            zip(padding, size, kernel, dilation, y.shape[2:], stride, strict=True)]  # fmt: skip
    out = np.zeros((n, groups * per_group, *room), y.dtype)
    rows = y.reshape(n, groups, c // groups, *y.shape[2:])
    taps = weight.reshape(groups, c // groups, *weight.shape[1:])
    for tap in np.ndindex(*kernel):
        part = np.einsum("ngcdhw,gco->ngodhw", rows, taps[(..., *tap)], optimize=True)
        starts = [k * d for k, d in zip(tap, dilation, strict=True)]
        at = tuple(slice(b, b + (i - 1) * t + 1, t) for b, i, t in zip(starts, y.shape[2:], stride, strict=True))
        if y.size:
            out[(slice(None), slice(None), *at)] += part.reshape(n, groups * per_group, *y.shape[2:])
    cut = tuple(slice(before, before + s) for (before, _), s in zip(padding, size, strict=True))
    return out[(slice(None), slice(None), *cut)]


def weight_gradient(y, x, kernel, stride, dilation, padding, groups) -> np.ndarray:
    """``(O, C / groups, K…)`` from the gradient y ``(N, O, OD, OH, OW)`` of the output and x ``(N, C, D, H, W)``."""
    seen = windows(x, kernel, stride, dilation, padding)[:, :, : y.shape[2], : y.shape[3], : y.shape[4]]
    n, c = seen.shape[:2]
    seen = seen.reshape(n, groups, c // groups, *seen.shape[2:])
    rows = y.reshape(n, groups, y.shape[1] // groups, *y.shape[2:])
    found = np.einsum("ngodhw,ngcdhwxyz->gocxyz", rows, seen, optimize=True)
    return found.reshape(y.shape[1], c // groups, *kernel)


def sum_bound(size: np.ndarray, terms: int, before: np.ndarray, name: str, acc, stored) -> np.ndarray:
    """The error of an activated sum of ``terms`` products: ``size`` is the sum of their absolute values."""
    if acc.is_integer:
        return np.zeros(size.shape)
    error = activations.error(before, gamma(terms + 3, acc) * size, name, acc)
    return error + rounding(activations.reference(before, name), stored)
