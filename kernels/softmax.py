"""Softmax and log-softmax along an axis, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, rounding, sample, unit_roundoff
from portkernel.errors import ArgumentShapeError

from .arrays import dtype_of, normal_axes, result
from .axes import rows
from .fold import FLOATS, INF, Array, place
from .programs import line_of, lines_of_program

WHOLE = 8192
"""Rows of up to this many elements are held whole: one read, one exponential for each element."""


def working(dtype):
    """float64 for float64, float32 for other floats."""
    return pk.float64 if dtype == pk.float64 else pk.float32


@pk.kernel
def softmax_row(
    x,
    out,
    LOG: pk.constexpr[bool] = False,
    LINES: pk.constexpr[int] = 1,
    BM: pk.constexpr[int] = 1,
    BN: pk.constexpr[int] = 1024,
):
    """As ``softmax_rows``, for rows of at most BN elements: R0 is 1, R1 at most BN. Grid: cdiv(K1, BM · LINES) · K0."""
    i, b = line_of(x, BM * LINES)
    if LINES == 1:
        _whole_rows(x, out, i, b, LOG, BM, BN)
    else:
        for t in range(i * LINES, pk.minimum((i + 1) * LINES, pk.cdiv(x.shape[2], BM))):
            _whole_rows(x, out, t, b, LOG, BM, BN)


def _whole_rows(x, out, i, b, LOG, BM, BN):
    """The softmax of BM rows of at most BN elements."""
    wide = working(x.dtype)
    v = pk.load(x, (b, 0, i, 0), (1, 1, BM, BN), pad=-INF).reshape((BM, BN)).astype(wide)
    top = v.max(axis=1)
    v = v - pk.where(top == -INF, 0.0, top)[:, None]
    e = pk.exp(v)
    total = e.sum(axis=1)
    y = v - pk.log(total)[:, None] if LOG else e * (1.0 / total)[:, None]
    pk.store(out, (b, 0, i, 0), y.astype(out.dtype).reshape((1, 1, BM, BN)))


@pk.kernel
def softmax_rows(
    x,
    out,
    LOG: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 4096),
):
    """``exp(x - max) / Σ exp(x - max)``, or its logarithm, over R0 and R1 of x ``(K0, R0, K1, R1)``, any strides.

    Three passes, for the maximum, the sum and the result, in float32 (float64 for float64); the exponentials wait in out
    for the last one where they fit there. -inf gives 0; a row with NaN or inf, or of -inf alone, gives NaN.
    """
    i, b = line_of(x, BM)
    wide = working(x.dtype)
    tiles = pk.cdiv(x.shape[3], BN)
    top = pk.full((BM, BN), -INF, wide)
    for t in range(x.shape[1] * tiles):
        row, k = place(t, x, tiles)
        top = pk.maximum(top, pk.load(x, (b, row, i, k), (1, 1, BM, BN), pad=-INF).reshape((BM, BN)).astype(wide))
    highest = top.max(axis=1)
    base = pk.where(highest == -INF, 0.0, highest)[:, None]
    keep = not LOG and out.dtype == wide
    total = pk.zeros((BM, BN), wide)
    for t in range(x.shape[1] * tiles):
        row, k = place(t, x, tiles)
        at = (b, row, i, k)
        e = pk.exp(pk.load(x, at, (1, 1, BM, BN), pad=-INF).reshape((BM, BN)).astype(wide) - base)
        total = total + e
        if keep:
            pk.store(out, at, e.reshape((1, 1, BM, BN)))
    whole = total.sum(axis=1)[:, None]
    less = base + pk.log(whole) if LOG else base
    scale = 1.0 / whole
    for t in range(x.shape[1] * tiles):
        row, k = place(t, x, tiles)
        at = (b, row, i, k)
        v = pk.load(out if keep else x, at, (1, 1, BM, BN), pad=-INF).reshape((BM, BN)).astype(wide)
        y = v * scale if keep else v - less if LOG else pk.exp(v - less) * scale
        pk.store(out, at, y.astype(out.dtype).reshape((1, 1, BM, BN)))


@pk.kernel
def softmax_gradient_rows(
    grad,
    y,
    out,
    LOG: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 4096),
):
    """``y·(grad - Σ grad·y)``, or with LOG, where y is the logarithm, ``grad - exp(y)·Σ grad``; as ``softmax_rows``."""
    i, b = line_of(y, BM)
    wide = working(y.dtype)
    tiles = pk.cdiv(y.shape[3], BN)
    acc = pk.zeros((BM, BN), wide)
    for t in range(y.shape[1] * tiles):
        row, k = place(t, y, tiles)
        at = (b, row, i, k)
        g = pk.load(grad, at, (1, 1, BM, BN)).reshape((BM, BN)).astype(wide)
        if LOG:
            acc = acc + g
        else:
            acc = acc + g * pk.load(y, at, (1, 1, BM, BN)).reshape((BM, BN)).astype(wide)
    total = acc.sum(axis=1)[:, None]
    for t in range(y.shape[1] * tiles):
        row, k = place(t, y, tiles)
        at = (b, row, i, k)
        g = pk.load(grad, at, (1, 1, BM, BN)).reshape((BM, BN)).astype(wide)
        v = pk.load(y, at, (1, 1, BM, BN)).reshape((BM, BN)).astype(wide)
        dx = g - pk.exp(v) * total if LOG else v * (g - total)
        pk.store(out, at, dx.astype(out.dtype).reshape((1, 1, BM, BN)))


def row_tile(n: int) -> tuple[int, int]:
    """BM and BN of a program that holds whole rows of ``n`` elements: one row, or some 512 elements.

    BN is a power of two up to 64, then a multiple of 64 and of a sixteenth of the next power of two: few kernels serve
    many lengths, and lengths of the usual kind are not padded.
    """
    columns = pk.next_power_of_2(max(n, 1))
    if n > 64:
        step = max(64, columns // 16)
        columns = pk.cdiv(n, step) * step
    return max(1, min(64, 512 // columns)), columns


def _softmax(name: str, x: Array, axis: int, out: Array | None, log: bool, route: dict[str, Any]) -> Array:
    where = f"{name}()"
    dtype = dtype_of(f"{where}: x", x, FLOATS)
    axes = normal_axes(where, (axis,), len(x.shape))
    out = result(where, out, x, tuple(int(n) for n in x.shape), (dtype,))
    r = rows([x], [out], axes, **route)
    if r.is_empty:
        return out
    (v,), (o,), (k0, k1) = r.inputs, r.outputs, r.kept
    n = int(v.shape[3])
    if v.shape[1] == 1 and n <= WHOLE and (v.shape[3] == 1 or _along(v)):
        bm, bn = row_tile(n)
        lines = lines_of_program(x, bm * bn, pk.cdiv(k1, bm) * k0, route)
        softmax_row[(pk.cdiv(k1, bm * lines) * k0,)](v, o, LOG=log, LINES=lines, BM=bm, BN=bn, **route)
    else:
        softmax_rows[lambda meta: (pk.cdiv(k1, meta["BM"]) * k0,)](v, o, LOG=log, **route)
    r.deliver(**route)
    return out


def _along(x: Array) -> bool:
    """True where the last axis is contiguous."""
    steps = x.stride() if callable(getattr(x, "stride", None)) else [s // x.dtype.itemsize for s in x.strides]
    return steps[-1] == 1


def softmax(
    x: Array, axis: int = -1, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """``torch.nn.functional.softmax`` along ``axis`` of an array of any shape and strides; the result has x's dtype.

    Computed in float32 (float64 for float64). -inf gives 0; a row with NaN or inf, or of -inf alone, gives NaN.
    Relative error: (N + 10·N/64 + 2·(max - min) + 20)·u, then one rounding; values under the smallest normal may be 0.
    """
    return _softmax("softmax", x, axis, out, False, {"backend": backend, "device": device})


def log_softmax(
    x: Array, axis: int = -1, *, out: Array | None = None, backend: str | None = None, device: str | None = None
) -> Array:
    """``torch.nn.functional.log_softmax``: the logarithm of ``softmax``, without its underflow.

    Absolute error: (N + 10·N/64 + 2·(max - min) + 20)·u + 6·u·log N, then one rounding.
    """
    return _softmax("log_softmax", x, axis, out, True, {"backend": backend, "device": device})


def _gradient(name: str, grad: Array, y: Array, axis: int, out, log: bool, route: dict[str, Any]) -> Array:
    where = f"{name}()"
    dtype = dtype_of(f"{where}: y", y, FLOATS)
    dtype_of(f"{where}: grad", grad, (dtype,))
    shape = tuple(int(n) for n in y.shape)
    if tuple(grad.shape) != shape:
        raise ArgumentShapeError(f"{where}: grad: expected the shape of y, {shape}, got {tuple(grad.shape)}")
    axes = normal_axes(where, (axis,), len(shape))
    out = result(where, out, y, shape, (dtype,))
    r = rows([y, grad], [out], axes, **route)
    if not r.is_empty:
        k0, k1 = r.kept
        softmax_gradient_rows[lambda meta: (pk.cdiv(k1, meta["BM"]) * k0,)](
            r.inputs[1], r.inputs[0], r.outputs[0], LOG=log, **route
        )
    r.deliver(**route)
    return out


def softmax_gradient(
    grad: Array, y: Array, axis: int = -1, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient for x of ``y = softmax(x)``, from that for y: ``y·(grad - Σ grad·y)``.

    Error: (N + 3)·u·(|y|·Σ|grad·y|) + 3·u·|y·grad|, then one rounding.
    """
    return _gradient("softmax_gradient", grad, y, axis, out, False, {"backend": backend, "device": device})


def log_softmax_gradient(
    grad: Array, y: Array, axis: int = -1, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient for x of ``y = log_softmax(x)``, from that for y: ``grad - exp(y)·Σ grad``.

    Error: (N + 8)·u·exp(y)·Σ|grad| + 2·u·|grad|, then one rounding.
    """
    return _gradient("log_softmax_gradient", grad, y, axis, out, True, {"backend": backend, "device": device})


# --- the catalogue ------------------------------------------------------------------------------------------


def reference_softmax(x: np.ndarray, axis: int, log: bool = False) -> np.ndarray:
    """In the dtype of x."""
    with np.errstate(all="ignore"):
        v = x - x.max(axis=axis, keepdims=True)
        e = np.exp(v)
        total = e.sum(axis=axis, keepdims=True)
        return np.asarray(v - np.log(total) if log else e / total)


def softmax_bound(x: np.ndarray, axis: int, y: np.ndarray, dtype: pk.DType, log: bool = False) -> np.ndarray:
    """The error allowed, for x in float64 and its softmax y."""
    wide, n = working(dtype), x.shape[axis]
    finite = np.where(np.isfinite(x), x, 0)
    spread = np.ptp(finite, axis=axis, keepdims=True)
    relative = unit_roundoff(wide) * (n + 10 * (n // 64 + 1) + 2 * spread + 20)
    tiny = 2.0 ** (2 - (1 << (wide.exponent - 1)))
    size = 1 + 6 * unit_roundoff(wide) * np.log(n) / relative if log else np.where(np.isfinite(y), y, 0)
    return np.asarray(relative * size + tiny + rounding(y, dtype))


def _case(m: int, n: int, layout: str = "", log: bool = False):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype)
        if layout == "strided":
            x = sample(rng, (n, 2 * m), dtype).T[::-2]
        elif layout == "wide range":
            x = (exact(x) * 20).astype(dtype.np)
        elif layout == "special":
            x[0, : n - 1] = -np.inf
            x[1, n // 2] = np.inf
            x[2, n // 2] = np.nan
            x[3] = -np.inf
        y = reference_softmax(exact(x), 1, log)[None, None]
        return Problem(
            args={"x": x[None, None], "out": poison((1, 1, m, n), dtype)},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]), 1),
            constants={"LOG": log},
            outputs=("out",),
            reference=lambda: {"out": y},
            bound=lambda: {"out": softmax_bound(exact(x)[None, None], 3, y, dtype, log)},
        )

    return make


ENTRIES = (
    Entry(
        "softmax",
        softmax_rows,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16),
        (
            Case("256×1000", _case(256, 1000)),
            Case("1×1", _case(1, 1)),
            Case("2×10007", _case(2, 10007)),
            Case("33×77, strided", _case(33, 77, "strided")),
            Case("17×300, wide range", _case(17, 300, "wide range")),
            Case("6×4500, special", _case(6, 4500, "special")),
            Case("19×300, logarithm", _case(19, 300, "wide range", True)),
        ),
    ),
)
