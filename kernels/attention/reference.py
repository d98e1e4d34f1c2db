"""Attention in float64 with the matrix of scores in full, and the error that the kernels may make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import portkernel as pk
from portkernel.catalog import exact, gamma, rounding, unit_roundoff


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything about one problem, in float64, heads of keys and values repeated for their queries."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    scale: float
    scores: np.ndarray
    weights: np.ndarray
    out: np.ndarray
    lse: np.ndarray
    groups: int
    dtype: pk.DType

    @property
    def wide(self) -> pk.DType:
        return pk.float64 if self.dtype == pk.float64 else pk.float32


def truth(q, k, v, mask, scale: float, causal: bool, dtype: pk.DType) -> Truth:
    """The answer for q ``(B, H, S, D)``, k ``(B, G, T, D)``, v ``(B, G, T, E)`` and a mask that broadcasts, or None."""
    repeat = q.shape[1] // max(1, k.shape[1])
    wide_q, wide_k, wide_v = exact(q), exact(k).repeat(repeat, 1), exact(v).repeat(repeat, 1)
    scores = scale * wide_q @ wide_k.swapaxes(-1, -2)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + exact(mask)
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], np.bool_)), scores, -np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        top = scores.max(axis=-1, keepdims=True, initial=-np.inf)
        base = np.where(np.isneginf(top), 0, top)
        e = np.exp(scores - base)
        total = e.sum(axis=-1, keepdims=True)
        weights = e / np.where(total == 0, 1, total)
        lse = (base + np.log(total))[..., 0]
        out = weights @ wide_v
    return Truth(wide_q, wide_k, wide_v, scale, scores, weights, out, lse, k.shape[1], dtype)


def _relative(t: Truth) -> np.ndarray:
    """The relative error of a weight, for each row ``(B, H, S, 1)``: that of its score, twice, and of the sum."""
    finite = np.where(np.isfinite(t.scores), np.abs(t.scores), 0).max(axis=-1, keepdims=True, initial=0)
    size = (abs(t.scale) * np.abs(t.q) @ np.abs(t.k).swapaxes(-1, -2)).max(axis=-1, keepdims=True, initial=0)
    u = unit_roundoff(t.wide)
    return np.asarray(2 * gamma(t.q.shape[-1] + 4, t.wide) * size + (2 * (finite + t.k.shape[2]) + 60) * u)


def _tiny(t: Truth) -> float:
    """What a small weight may lose: all of it below the smallest normal of ``wide``, then half a step of ``dtype``."""
    step = 2.0 ** (2 - (1 << (t.dtype.exponent - 1)) - t.dtype.mantissa)
    return float(2.0 ** (2 - (1 << (t.wide.exponent - 1))) + step)


def bounds(t: Truth) -> dict[str, np.ndarray]:
    """The errors of out and lse that ``scaled_dot_product_attention`` allows."""
    relative = _relative(t)
    size = t.weights @ np.abs(t.v)
    lost = _tiny(t) * np.abs(t.v).sum(axis=-2, keepdims=True)
    out = size * (relative + 2 * unit_roundoff(t.dtype)) + lost + rounding(t.out, t.dtype)
    lse = relative[..., 0] + 4 * unit_roundoff(t.wide) * np.where(np.isfinite(t.lse), np.abs(t.lse), 0)
    return {"out": out, "lse": lse}


def _gather(x: np.ndarray, groups: int) -> np.ndarray:
    """Heads that share keys added up: ``(B, H, T, D)`` to ``(B, groups, T, D)``."""
    return np.asarray(x.reshape(x.shape[0], groups, -1, *x.shape[2:]).sum(axis=2))


def slopes(t: Truth, grad: np.ndarray) -> np.ndarray:
    """The gradient for the scores ``(B, H, S, T)`` in float64."""
    delta = (grad * t.out).sum(axis=-1, keepdims=True)
    return np.asarray(t.weights * (grad @ t.v.swapaxes(-1, -2) - delta))


def gradients(t: Truth, grad: np.ndarray) -> dict[str, np.ndarray]:
    """dq, dk and dv for ``grad`` in float64."""
    slope = slopes(t, grad)
    return {
        "dq": t.scale * slope @ t.k,
        "dk": _gather(t.scale * slope.swapaxes(-1, -2) @ t.q, t.groups),
        "dv": _gather(t.weights.swapaxes(-1, -2) @ grad, t.groups),
    }


def _slope_error(t: Truth, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The size of what a score's slope is the difference of; and its error: of weights, of grad @ valueᵀ, of out in delta."""
    wide, rounded = t.wide, 2 * unit_roundoff(t.dtype)
    relative = (
        1.1 * _relative(t) + unit_roundoff(wide) * (8 + 4 * np.where(np.isfinite(t.lse), np.abs(t.lse), 0))[..., None]
    )
    above = np.abs(grad)
    change = above @ np.abs(t.v).swapaxes(-1, -2)
    delta = (above * np.abs(t.out)).sum(axis=-1, keepdims=True)
    of_delta = gamma(t.v.shape[-1] + 2, wide) * delta + (above * bounds(t)["out"]).sum(axis=-1, keepdims=True)
    size = t.weights * (change + delta)
    of_slope = size * (relative + rounded + 4 * unit_roundoff(wide)) + t.weights * (
        gamma(t.v.shape[-1] + 2, wide) * change + of_delta
    ) + _tiny(t) * (1 + change + delta)  # fmt: skip
    return size, of_slope


def summed(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``x`` added up along the axes along which an array of ``shape`` was repeated to its shape."""
    lead = x.ndim - len(shape)
    repeated = tuple(i for i in range(x.ndim) if i < lead or (shape[i - lead] == 1 and x.shape[i] != 1))
    return np.asarray(x.sum(axis=repeated, keepdims=True).reshape(shape))


def mask_gradient_bound(t: Truth, grad: np.ndarray, shape: tuple[int, ...], dtype: pk.DType) -> np.ndarray:
    """The error of the gradient for an added mask of ``shape`` and ``dtype``: of the slopes, and of their sums."""
    size, of_slope = _slope_error(t, grad)
    terms = size.size // max(1, int(np.prod(shape)))
    error = summed(of_slope, shape) + gamma(terms + 4, t.wide) * summed(size, shape)
    return np.asarray(1.1 * error + rounding(summed(slopes(t, grad), shape), dtype))


def gradient_bounds(t: Truth, grad: np.ndarray) -> dict[str, np.ndarray]:
    """First order in the errors of the slopes and of the weights; some room for the second."""
    size, of_slope = _slope_error(t, grad)
    wide, above = t.wide, np.abs(grad)
    lse = np.where(np.isfinite(t.lse), np.abs(t.lse), 0)[..., None]
    relative = 1.1 * _relative(t) + unit_roundoff(wide) * (8 + 4 * lse) + 2 * unit_roundoff(t.dtype)
    rows = t.q.shape[1] // max(1, t.groups) * t.q.shape[2]
    down, across = gamma(rows + 4, wide), gamma(t.k.shape[2] + 4, wide)
    of_weights = t.weights * relative + _tiny(t)
    found, scale = gradients(t, grad), abs(t.scale)
    query = scale * (of_slope + across * size) @ np.abs(t.k)
    key = _gather(scale * (of_slope + down * size).swapaxes(-1, -2) @ np.abs(t.q), t.groups)
    value = _gather((of_weights + down * t.weights).swapaxes(-1, -2) @ above, t.groups)
    return {
        name: 1.1 * error + rounding(found[name], t.dtype)
        for name, error in (("dq", query), ("dk", key), ("dv", value))
    }
