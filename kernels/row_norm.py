"""Normalisation of rows: the kernels behind layer, RMS and group normalisation, and behind every norm's gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import gamma, rounding, unit_roundoff

from .arrays import empty, strides_of
from .axes import Rows, folding, rows, view
from .fold import Array, parts, place, run_fold
from .programs import has_cores, line_of, lines_of_program, part_of
from .softmax import WHOLE, row_tile, working


def part(x, at, BM, BN, wide):
    """BM rows by BN columns of x ``(K0, R0, K1, R1)``, in ``wide``."""
    return pk.load(x, at, (1, 1, BM, BN)).reshape((BM, BN)).astype(wide)


def inside(x, k, BN):
    """Which of the columns of tile k x has."""
    return (pk.arange(BN) < pk.astype(pk.minimum(x.shape[3] - k * BN, BN), pk.int32))[None, :]


def mean_of(x, i, b, BM, BN, wide):
    """The means of BM rows over R0 and R1."""
    tiles = pk.cdiv(x.shape[3], BN)
    acc = pk.zeros((BM, BN), wide)
    for t in range(x.shape[1] * tiles):
        row, k = place(t, x, tiles)
        acc = acc + part(x, (b, row, i, k), BM, BN, wide)
    return acc.sum(axis=1) / pk.astype(x.shape[1] * x.shape[3], wide)


@pk.kernel
def norm_row(
    x,
    weight,
    bias,
    out,
    eps,
    RMS: pk.constexpr[bool] = False,
    WEIGHT: pk.constexpr[bool] = True,
    BIAS: pk.constexpr[bool] = True,
    FULL: pk.constexpr[bool] = False,
    AGAIN: pk.constexpr[bool] = False,
    LINES: pk.constexpr[int] = 1,
    BM: pk.constexpr[int] = 1,
    BN: pk.constexpr[int] = 1024,
):
    """As ``norm_rows``, for rows of at most BN elements: R0 is 1, R1 at most BN (with FULL, just BN).

    A row is read once and kept, or with AGAIN read for each pass, where the nearest cache keeps it. Grid:
    cdiv(K1, BM · LINES) · K0.
    """
    i, b = line_of(x, BM * LINES)
    if LINES == 1:
        _whole_rows(x, weight, bias, out, eps, i, b, RMS, WEIGHT, BIAS, FULL, AGAIN, BM, BN)
    else:
        for t in range(i * LINES, pk.minimum((i + 1) * LINES, pk.cdiv(x.shape[2], BM))):
            _whole_rows(x, weight, bias, out, eps, t, b, RMS, WEIGHT, BIAS, FULL, AGAIN, BM, BN)


def _whole_rows(x, weight, bias, out, eps, i, b, RMS, WEIGHT, BIAS, FULL, AGAIN, BM, BN):
    """BM rows of at most BN elements, normalised."""
    wide = working(x.dtype)
    at = (b, 0, i, 0)
    count = pk.astype(x.shape[3], wide)
    v = part(x, at, BM, BN, wide)
    if not RMS:
        mean = (v.sum(axis=1) / count)[:, None]
        if AGAIN:
            v = part(x, at, BM, BN, wide)
        v = v - mean
        if not FULL:
            v = pk.where((pk.arange(BN) < pk.astype(x.shape[3], pk.int32))[None, :], v, 0.0)
    scale = 1.0 / pk.sqrt((v * v).sum(axis=1) / count + pk.astype(eps, wide))
    if AGAIN:
        v = part(x, at, BM, BN, wide)
        if not RMS:
            v = v - mean
    y = v * scale[:, None]
    if WEIGHT:
        y = y * part(weight, at, BM, BN, wide)
    if BIAS:
        y = y + part(bias, at, BM, BN, wide)
    pk.store(out, at, y.astype(out.dtype).reshape((1, 1, BM, BN)))


@pk.kernel
def norm_rows(
    x,
    weight,
    bias,
    out,
    eps,
    RMS: pk.constexpr[bool] = False,
    WEIGHT: pk.constexpr[bool] = True,
    BIAS: pk.constexpr[bool] = True,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 4096),
):
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` over R0 and R1 of x ``(K0, R0, K1, R1)``, any strides.

    weight and bias have x's shape, by strides of 0 where they repeat. Mean and variance are the row's (variance of the
    population), in float32 (float64 for float64); the variance is the mean square of what the mean leaves, in a pass
    of its own: no cancellation. With RMS the mean counts as 0.
    """
    i, b = line_of(x, BM)
    wide = working(x.dtype)
    tiles = pk.cdiv(x.shape[3], BN)
    count = pk.astype(x.shape[1] * x.shape[3], wide)
    mean = pk.zeros((BM,), wide) if RMS else mean_of(x, i, b, BM, BN, wide)
    square = pk.zeros((BM, BN), wide)
    for t in range(x.shape[1] * tiles):
        row, k = place(t, x, tiles)
        v = part(x, (b, row, i, k), BM, BN, wide)
        v = pk.where(inside(x, k, BN), v - mean[:, None], 0.0)
        square = square + v * v
    scale = 1.0 / pk.sqrt(square.sum(axis=1) / count + pk.astype(eps, wide))
    for t in range(x.shape[1] * tiles):
        row, k = place(t, x, tiles)
        at = (b, row, i, k)
        y = (part(x, at, BM, BN, wide) - mean[:, None]) * scale[:, None]
        if WEIGHT:
            y = y * part(weight, at, BM, BN, wide)
        if BIAS:
            y = y + part(bias, at, BM, BN, wide)
        pk.store(out, at, y.astype(out.dtype).reshape((1, 1, BM, BN)))


@pk.kernel
def norm_gradient_rows(
    grad,
    x,
    weight,
    out,
    mean_out,
    scale_out,
    eps,
    RMS: pk.constexpr[bool] = False,
    WEIGHT: pk.constexpr[bool] = True,
    GIVEN: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 2048),
):
    """The gradient for x of ``norm_rows``: ``(g - mean g - x̂·mean(g·x̂))·scale`` with ``g = grad·weight``.

    The row's mean and scale ``1 / sqrt(variance + eps)`` go to mean_out and scale_out ``(K0, K1)``. Two passes for
    them, one for the means of g, one to write. With RMS the terms of the mean are absent. With GIVEN they are read from
    there, strides being any, and eps counts for nothing.
    """
    i, b = line_of(x, BM)
    wide = working(x.dtype)
    tiles = pk.cdiv(x.shape[3], BN)
    count = pk.astype(x.shape[1] * x.shape[3], wide)
    if GIVEN:
        mean = pk.load(mean_out, (b, i), (1, BM)).reshape((BM,)).astype(wide)
    else:
        mean = pk.zeros((BM,), wide) if RMS else mean_of(x, i, b, BM, BN, wide)
    square = pk.zeros((BM, BN), wide)
    first = pk.zeros((BM, BN), wide)
    second = pk.zeros((BM, BN), wide)
    for t in range(x.shape[1] * tiles):
        row, k = place(t, x, tiles)
        at = (b, row, i, k)
        v = part(x, at, BM, BN, wide)
        v = pk.where(inside(x, k, BN), v - mean[:, None], 0.0)
        g = part(grad, at, BM, BN, wide)
        if WEIGHT:
            g = g * part(weight, at, BM, BN, wide)
        if not GIVEN:
            square = square + v * v
        first = first + g
        second = second + g * v
    if GIVEN:
        scale = pk.load(scale_out, (b, i), (1, BM)).reshape((BM,)).astype(wide)
    else:
        scale = 1.0 / pk.sqrt(square.sum(axis=1) / count + pk.astype(eps, wide))
    slope = second.sum(axis=1) * scale * scale / count
    level = first.sum(axis=1) / count
    for t in range(x.shape[1] * tiles):
        row, k = place(t, x, tiles)
        at = (b, row, i, k)
        v = part(x, at, BM, BN, wide) - mean[:, None]
        g = part(grad, at, BM, BN, wide)
        if WEIGHT:
            g = g * part(weight, at, BM, BN, wide)
        if not RMS:
            g = g - level[:, None]
        dx = (g - v * slope[:, None]) * scale[:, None]
        pk.store(out, at, dx.astype(out.dtype).reshape((1, 1, BM, BN)))
    if not GIVEN:
        pk.store(mean_out, (b, i), mean.reshape((1, BM)))
        pk.store(scale_out, (b, i), scale.reshape((1, BM)))


@pk.kernel
def weight_gradient(
    grad,
    x,
    mean,
    scale,
    weight_out,
    bias_out,
    BM: pk.constexpr[int] = pk.auto(1, 1024),
    BN: pk.constexpr[int] = pk.auto(1, 1024),
):
    """Σ grad·(x - mean)·scale and Σ grad over R0 and R1 of ``(K0, R0, K1, R1)``, in S parts to ``(K0, K1, S)``.

    Here the kept axes are those of the weight; mean and scale have x's shape, by strides of 0 where they repeat.
    """
    i, b, s = part_of(x, BM)
    wide = working(x.dtype)
    tiles = pk.cdiv(x.shape[3], BN)
    share = pk.cdiv(x.shape[1] * tiles, weight_out.shape[2])
    of_weight = pk.zeros((BM, BN), wide)
    of_bias = pk.zeros((BM, BN), wide)
    for t in range(s * share, pk.minimum((s + 1) * share, x.shape[1] * tiles)):
        row, k = place(t, x, tiles)
        at = (b, row, i, k)
        g = part(grad, at, BM, BN, wide)
        v = part(x, at, BM, BN, wide)
        v = v - part(mean, at, BM, BN, wide)
        of_bias = of_bias + g
        of_weight = of_weight + g * v * part(scale, at, BM, BN, wide)
    pk.store(weight_out, (b, i, s), of_weight.sum(axis=1).astype(weight_out.dtype).reshape((1, BM, 1)))
    pk.store(bias_out, (b, i, s), of_bias.sum(axis=1).astype(bias_out.dtype).reshape((1, BM, 1)))


# --- launches -----------------------------------------------------------------------------------------------


def normalize(
    x: Array, weight: Array | None, bias: Array | None, out: Array, axes: tuple[int, ...], eps: float, rms: bool,
    route: dict[str, Any],
) -> None:  # fmt: skip
    """Fill ``out`` with x normalised over ``axes``; weight and bias are views of x's shape."""
    r = rows([x, x if weight is None else weight, x if bias is None else bias], [out], axes, **route)
    if r.is_empty:
        return
    v, w, c = r.inputs
    k0, k1 = r.kept
    flags = {"RMS": rms, "WEIGHT": weight is not None, "BIAS": bias is not None}
    n = int(v.shape[3])
    if v.shape[1] == 1 and n <= WHOLE and (n > 1 or k1 == 1):
        bm, bn = row_tile(n)
        lines = lines_of_program(x, bm * bn, pk.cdiv(k1, bm) * k0, route)
        grid = (pk.cdiv(k1, bm * lines) * k0,)
        full = n == bn
        again = full and _stays_near(v, route)
        norm_row[grid](v, w, c, r.outputs[0], eps, FULL=full, AGAIN=again, LINES=lines, BM=bm, BN=bn, **flags, **route)
    else:
        norm_rows[lambda meta: (pk.cdiv(k1, meta["BM"]) * k0,)](v, w, c, r.outputs[0], eps, **flags, **route)
    r.deliver(**route)


def _stays_near(v: Array, route: dict[str, Any]) -> bool:
    """Whether a core reads rows whose elements lie side by side and take at most half of its nearest cache."""
    target = pk.target_of(v, **route)
    size = int(v.shape[3]) * pk.dtypes.as_dtype(v.dtype).itemsize
    return has_cores(target) and strides_of(v)[3] == 1 and 2 * size <= target.l1_bytes


def input_gradient(
    grad: Array, x: Array, weight: Array | None, out: Array, axes: tuple[int, ...], eps: float, rms: bool,
    route: dict[str, Any], given: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """Fill ``out`` with the gradient for x; the mean and the scale of each row, repeated to x's shape.

    ``given`` are these two, where they are known: views of x's shape.
    """
    r = rows([x, grad, x if weight is None else weight, *(given or ())], [out], axes, **route)
    if given is None:
        wide = working(pk.dtypes.as_dtype(x.dtype))
        (mean, means), (scale, scales) = r.per_row(wide), r.per_row(wide)
    else:
        means, scales = given
        mean, scale = (_first(t) for t in r.inputs[3:])
    if not r.is_empty:
        k0, k1 = r.kept
        norm_gradient_rows[lambda meta: (pk.cdiv(k1, meta["BM"]) * k0,)](
            r.inputs[1], r.inputs[0], r.inputs[2], r.outputs[0], mean, scale, eps,
            RMS=rms, WEIGHT=weight is not None, GIVEN=given is not None, **route,
        )  # fmt: skip
    r.deliver(**route)
    return means, scales


def _first(x: Array) -> Array:
    """``(K0, K1)`` of ``(K0, R0, K1, R1)``: the first of each row."""
    steps = strides_of(x)
    return view(x, (int(x.shape[0]), int(x.shape[2])), (steps[0], steps[2]))


def weight_gradients(
    grad: Array, x: Array, mean: Array, scale: Array, axes: tuple[int, ...], outs: tuple[Array, Array],
    route: dict[str, Any],
) -> None:  # fmt: skip
    """Fill ``outs``, of the shape that x keeps without ``axes``, with Σ grad·(x - mean)·scale and Σ grad over them."""
    shape = tuple(int(n) for n in x.shape)
    wide = working(pk.dtypes.as_dtype(x.dtype))
    r: Rows = rows([x, grad, mean, scale], [], axes, **route)
    k0, k1 = r.kept
    if k0 * k1 == 0:
        return
    _, r0, _, r1 = (int(n) for n in r.inputs[0].shape)
    if r0 * r1 and r1 > 1 and r0 == 1 and _leads(r.inputs[0]):  # a row of weights at a time
        swapped = [_swap(t) for t in r.inputs]
        r0, r1 = r1, r0
    else:
        swapped = list(r.inputs)
    cut = parts(k0 * k1, r0, r1)
    made = [empty(x, (k0, k1, cut), wide) for _ in range(2)]
    v, g, m, c = swapped
    weight_gradient[lambda meta: (pk.cdiv(k1, meta["BM"]) * k0 * cut,)](g, v, m, c, made[0], made[1], **route)
    final = [1 if i in axes else n for i, n in enumerate(shape)]
    kept = [i for i in r.order if i not in axes]
    order = [sorted(kept).index(i) for i in kept]
    for part, out in zip(made, outs, strict=True):
        # The parts lie row-major in the order of the kept axes in memory, the part innermost.
        sizes = [final[i] for i in kept]
        steps = [cut] * len(sizes)
        for j in range(len(sizes) - 2, -1, -1):
            steps[j] = steps[j + 1] * sizes[j + 1]
        back = [order.index(i) for i in range(len(order))]
        source = view(part, [*(sizes[j] for j in back), cut], [*(steps[j] for j in back), 1])
        f = folding([source], (len(sizes),), out, pk.dtypes.as_dtype(out.dtype), False, "sum()", **route)
        run_fold(f, "sum", wide, mapping="none", finish="none", route=route)


def _leads(x: Array) -> bool:
    steps = x.stride() if callable(getattr(x, "stride", None)) else [s // x.dtype.itemsize for s in x.strides]
    return steps[2] == 1 and steps[3] != 1


def _swap(x: Array) -> Array:
    """R1 in the place of R0, which has length 1."""
    return x.permute(0, 3, 2, 1) if hasattr(x, "permute") else x.transpose(0, 3, 2, 1)


# --- reference and bound ------------------------------------------------------------------------------------


def reference_norm(x: np.ndarray, weight: Any, bias: Any, axes: tuple[int, ...], eps: float, rms: bool) -> np.ndarray:
    """In the dtype of x."""
    v = x if rms else x - x.mean(axis=axes, keepdims=True)
    return np.asarray(v / np.sqrt((v**2).mean(axis=axes, keepdims=True) + eps) * weight + bias)


def norm_bound(
    x: np.ndarray, weight: Any, bias: Any, axes: tuple[int, ...], eps: float, rms: bool, dtype: pk.DType
) -> np.ndarray:
    """The error allowed, first order in the error of the mean and of the variance, with room for the second."""
    wide = working(dtype)
    n = int(np.prod([x.shape[a] for a in axes]))
    u = unit_roundoff(wide)
    size = np.abs(x).mean(axis=axes, keepdims=True)
    centred = np.abs(x if rms else x - x.mean(axis=axes, keepdims=True))
    variance = (centred**2).mean(axis=axes, keepdims=True) + eps
    of_mean = 0 * size if rms else gamma(n + 2, wide) * size
    of_centred = of_mean + u * centred
    of_variance = gamma(n + 6, wide) * variance + 2 * of_mean * centred.mean(axis=axes, keepdims=True) + of_mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = of_variance / variance + 8 * u
        error = np.abs(weight) / np.sqrt(variance) * (of_centred + centred * relative) * 1.01
    out = reference_norm(x, weight, bias, axes, eps, rms)
    return np.asarray(error + 2 * u * np.abs(bias) + rounding(out, dtype))
