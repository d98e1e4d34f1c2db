"""Products of matrices, sums over indices, determinants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from portkernel import ops

from ..registry import operator
from .arrays import Array, along, copied, reshaped
from .casts import decoded, quantize


@operator("MatMul")
def matmul(a: Array, b: Array) -> Array:
    found = ops.matmul(a, b)
    return found if found.dtype == a.dtype else ops.astype(found, a.dtype)


@operator("Gemm")
def gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    **_: Any,
) -> Array:
    a, b = (a.T if transA else a), (b.T if transB else b)
    if c is not None and beta != 1:
        c = ops.multiply(c, int(beta) if c.dtype.kind in "iu" else beta)
    if a.dtype.kind in "iu":
        found = ops.astype(ops.matmul(a, b), a.dtype)
        found = ops.multiply(found, int(alpha)) if alpha != 1 else found
        return found if c is None else ops.add(found, c)
    if c is not None and c.ndim == 1 and c.shape[0] == b.shape[1]:
        return ops.matmul(a, b, alpha=alpha, bias=c)
    return ops.matmul(a, b, alpha=alpha, residual=c)


def _shifted(x: Array, zero: Array | None, rows: bool) -> Array:
    """x less its zero point, in int32; a vector of zero points is one for each row, or for each column."""
    wide = ops.astype(x, np.int32)
    if zero is None:
        return wide
    zero = ops.astype(zero, np.int32)
    if zero.ndim == 1 and zero.size > 1:
        zero = zero[:, None] if rows else zero
    return ops.subtract(wide, zero.reshape(()) if zero.size == 1 else zero)


@operator("MatMulInteger")
def matmul_integer(a: Array, b: Array, a_zero: Array | None = None, b_zero: Array | None = None) -> Array:
    return ops.matmul(_shifted(a, a_zero, True), _shifted(b, b_zero, False), dtype=np.int32)


@operator("QLinearMatMul")
def qlinear_matmul(
    a: Array, a_scale: Array, a_zero: Array, b: Array, b_scale: Array, b_zero: Array, y_scale: Array, y_zero: Array
) -> Array:
    scales = [ops.astype(decoded(s), np.float32) for s in (a_scale, b_scale, y_scale)]
    scale = ops.divide(ops.multiply(scales[0], scales[1]), scales[2])
    product = ops.astype(matmul_integer(a, b, a_zero, b_zero), np.float32)
    return quantize(ops.multiply(product, scale), np.ones((), np.float32), y_zero)


@operator("Det")
def det(x: Array) -> Array:
    return ops.det(x)


# --- einsum -------------------------------------------------------------------------------------------------


@operator("Einsum")
def einsum(*operands: Array, equation: str) -> Array:
    """Pairs from left to right: an index that neither the result nor a later operand has is summed by the product."""
    terms, result = _parsed(equation, [x.ndim for x in operands])
    found, has = operands[0], terms[0]
    found, has = _diagonal(found, has)
    for i, (x, term) in enumerate(zip(operands[1:], terms[1:], strict=True), 1):
        x, term = _diagonal(x, term)
        later = set(result).union(*terms[i + 1 :])
        found, has = _product(found, has, x, term, later)
    gone = tuple(i for i, name in enumerate(has) if name not in result)
    if gone:
        found = ops.sum(found, gone, dtype=found.dtype)
        has = [name for name in has if name in result]
    seen = found.transpose([has.index(name) for name in result])
    return copied(seen) if len(operands) == 1 and not gone else seen


def _parsed(equation: str, ranks: list[int]) -> tuple[list[list[str]], list[str]]:
    """The indices of each operand and of the result; those of an ellipsis are numbered from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = []
    for text, rank in zip(left.split(","), ranks, strict=True):
        extra = rank - len(text.replace("...", ""))
        dots = [f".{i}" for i in reversed(range(extra))] if "..." in text else []
        before, _, after = text.partition("...")
        terms.append([*before, *dots, *after])
    longest = max(([n for n in t if n.startswith(".")] for t in terms), key=len)
    if arrow:
        before, _, after = right.partition("...")
        return terms, [*before, *(longest if "..." in right else []), *after]
    names = [n for t in terms for n in t]
    return terms, [*longest, *sorted(n for n in set(names) if names.count(n) == 1 and not n.startswith("."))]


def _diagonal(x: Array, term: list[str]) -> tuple[Array, list[str]]:
    """x with an index that it has twice seen once: a view along the diagonal."""
    for name in list(dict.fromkeys(term)):
        while term.count(name) > 1:
            i = term.index(name)
            j = term.index(name, i + 1)
            x = np.moveaxis(np.diagonal(x, axis1=i, axis2=j), -1, i)
            term = [n for k, n in enumerate(term) if k != j]
    return x, term


def _product(a: Array, has: list[str], b: Array, term: list[str], later: set[str]) -> tuple[Array, list[str]]:
    """One matrix product for each value of the indices that both have and that stay."""
    both = [n for n in has if n in term]
    batch = [n for n in both if n in later]
    inner = [n for n in both if n not in later]
    rows, columns = [n for n in has if n not in both], [n for n in term if n not in both]
    size = dict(zip(has, a.shape, strict=True))
    for name, n in zip(term, b.shape, strict=True):
        size[name] = max(n, size.get(name, 1))
    a = np.broadcast_to(a, [size[n] for n in has])
    b = np.broadcast_to(b, [size[n] for n in term])
    left = a.transpose([has.index(n) for n in (*batch, *rows, *inner)])
    right = b.transpose([term.index(n) for n in (*batch, *inner, *columns)])
    lead = tuple(size[n] for n in batch)
    m, k, n = (math.prod(size[i] for i in names) for names in (rows, inner, columns))
    found = ops.matmul(reshaped(left, (*lead, m, k)), reshaped(right, (*lead, k, n)))
    names = [*batch, *rows, *columns]
    return found.reshape([size[i] for i in names]), names


# --- transforms ---------------------------------------------------------------------------------------------


def waves(n: int, count: int, inverse: bool, dtype: Any) -> tuple[Array, Array]:
    """cos and sin of 2π·j·k / n, ``(n, count)``: the angle is reduced in integers first."""
    turns = ops.remainder(
        ops.multiply(along(np.arange(n), 0, 2), along(np.arange(count), 1, 2)), np.full((1, 1), n, np.int64)
    )
    # In float64: the sine of π must be as good as 0.
    angle = ops.multiply(ops.astype(turns, np.float64), (2 if inverse else -2) * math.pi / n)
    return ops.astype(ops.cos(angle), dtype), ops.astype(ops.sin(angle), dtype)


def fourier(x: Array, length: int, inverse: bool, onesided: bool) -> Array:
    """The discrete Fourier transform along the last axis of x ``(…, N, 1 or 2)``, padded or cut to ``length``."""
    n = x.shape[-2]
    real, imaginary = x[..., 0], (x[..., 1] if x.shape[-1] == 2 else None)
    if n != length:
        real, imaginary = (None if t is None else _fitted(t, length) for t in (real, imaginary))
    count = length // 2 + 1 if onesided and not inverse else length
    cos, sin = waves(length, count, inverse, x.dtype)
    lead = real.shape[:-1]
    flat = [None if t is None else reshaped(t, (math.prod(lead), length)) for t in (real, imaginary)]
    re, im = ops.matmul(flat[0], cos), ops.matmul(flat[0], sin)
    if flat[1] is not None:
        re, im = ops.subtract(re, ops.matmul(flat[1], sin)), ops.add(im, ops.matmul(flat[1], cos))
    if inverse:
        re, im = (ops.multiply(t, 1.0 / length) for t in (re, im))
    if onesided and inverse:
        return re.reshape(*lead, count, 1)
    return ops.concatenate([t.reshape(*lead, count, 1) for t in (re, im)], -1)


def _fitted(x: Array, length: int) -> Array:
    n = x.shape[-1]
    return x[..., :length] if n >= length else ops.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, length - n)])


@operator("DFT", since=20)
def dft(x: Array, length: Array | None = None, axis: Array | None = None, inverse: int = 0, onesided: int = 0) -> Array:
    at = -2 if axis is None else int(np.asarray(axis).reshape(()))
    return transform(x, at % x.ndim, length, bool(inverse), bool(onesided))


@operator("DFT", until=17)
def dft_attribute(x: Array, length: Array | None = None, axis: int = 1, inverse: int = 0, onesided: int = 0) -> Array:
    return transform(x, axis % x.ndim, length, bool(inverse), bool(onesided))


def transform(x: Array, axis: int, length: Array | None, inverse: bool, onesided: bool) -> Array:
    count = x.shape[axis] if length is None else int(np.asarray(length).reshape(()))
    if inverse and onesided and length is None:
        count = 2 * (x.shape[axis] - 1)
    if inverse and onesided:
        x = _whole_spectrum(np.moveaxis(x, axis, -2), count)
        return np.moveaxis(fourier(x, count, True, True), -2, axis)
    return np.moveaxis(fourier(np.moveaxis(x, axis, -2), count, inverse, onesided), -2, axis)


def _whole_spectrum(x: Array, count: int) -> Array:
    """The spectrum of real numbers from its first half: the rest are conjugates, in reverse."""
    half = count // 2 + 1
    rest = x[..., 1 : count - half + 1, :][..., ::-1, :]
    mirrored = ops.concatenate([rest[..., :1], ops.negative(rest[..., 1:])], -1)
    return ops.concatenate([x[..., :half, :], mirrored], -2)


@operator("STFT")
def stft(x: Array, step: Array, window: Array | None = None, length: Array | None = None, onesided: int = 1) -> Array:
    hop = int(np.asarray(step).reshape(()))
    n = int(np.asarray(length).reshape(())) if length is not None else window.shape[0]  # type: ignore[union-attr]
    frames = (x.shape[1] - n) // hop + 1
    batch, (a, b, c) = x.shape[0], x.strides
    seen = np.lib.stride_tricks.as_strided(x, (batch, frames, n, x.shape[2]), (a, b * hop, b, c), writeable=False)
    framed = copied(seen) if window is None else ops.multiply(seen, window[:, None])
    return fourier(framed, n, False, bool(onesided))
