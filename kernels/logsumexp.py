"""log(Σ exp(x)) over any set of axes, in one pass over the input."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, rounding, sample, unit_roundoff

from .arrays import dtype_of, empty, normal_axes, strides_of
from .axes import broadcast, folding, view
from .elementwise import elementwise
from .fold import DTYPES, INF, TERMS, Array, Axis, floating, parts
from .programs import part_of


@pk.kernel
def log_sum_exp(x, out, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(1, 4096)):
    """out ``(K0, K1, S)`` = log of the sum of exponentials of x ``(K0, R0, K1, R1)`` over R0 and R1, in S parts.

    The running maximum and sum of Milakov and Gimelshein (2018). -inf counts as 0, inf and NaN win; of nothing, -inf.
    """
    i, b, s = part_of(x, BM)
    wide = pk.dtypes.accumulator(floating(x.dtype))
    tiles = pk.cdiv(x.shape[3], BN)
    share = pk.cdiv(x.shape[1] * tiles, out.shape[2])
    top = pk.full((BM,), -INF, wide)
    total = pk.zeros((BM,), wide)
    for t in range(s * share, pk.minimum((s + 1) * share, x.shape[1] * tiles)):
        lane = t % tiles * BN + pk.arange(BN)
        v = pk.load(x, (b, t // tiles, i, t % tiles), (1, 1, BM, BN)).reshape((BM, BN)).astype(wide)
        v = pk.where((lane < x.shape[3])[None, :], v, -INF)
        higher = pk.maximum(top, v.max(axis=1))
        shift = pk.where(pk.isinf(higher), 0.0, higher)
        total = total * pk.exp(top - shift) + pk.exp(v - shift[:, None]).sum(axis=1)
        top = higher
    found = pk.log(total) + pk.where(pk.isinf(top), 0.0, top)
    pk.store(out, (b, i, s), found.astype(out.dtype).reshape((1, BM, 1)))


def logsumexp(
    x: Array, axis: Axis = None, keepdims: bool = False, *, out: Array | None = None, where: Array | None = None,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``scipy.special.logsumexp``: floats keep their dtype, integers give float32; of nothing, -inf.

    ``where`` picks the elements that count; a copy is made with -inf in place of the others.

    Computed in float32 (float64 for float64), without overflow. Absolute error: (min(n, 8256) + 2·(max - min) + 20)·u
    + 6·u·|result|, then one rounding.
    """
    label, route = "logsumexp()", {"backend": backend, "device": device}
    stored = floating(dtype_of(f"{label}: x", x, DTYPES))
    axes = normal_axes(label, axis, len(x.shape))
    if where is not None:
        dtype_of(f"{label}: where", where, (pk.bool_,))
        mask = broadcast(where, tuple(int(n) for n in x.shape), f"{label}: where")
        x = elementwise(pk.where, mask, x, -INF, dtype=stored, **route)
    f = folding([x], axes, out, stored, keepdims, label, side=True, **route)
    data = f.arrays[0]
    while 0 not in f.out.shape:
        k0, r0, k1, r1 = (int(n) for n in data.shape)
        cut = parts(k0 * k1, r0, r1)
        if cut == 1:
            target = view(f.out, (k0, k1, 1), (*strides_of(f.out), 0))
        else:
            target = empty(x, (k0, k1, cut), pk.dtypes.accumulator(stored))
        log_sum_exp[lambda meta, k0=k0, k1=k1, cut=cut: (pk.cdiv(k1, meta["BM"]) * k0 * cut,)](data, target, **route)
        if cut == 1:
            break
        data = view(target, (k0, 1, k1, cut), (k1 * cut, 0, cut, 1))
    return f.deliver(**route)


def log_sum_exp_bound(x: np.ndarray, axis: int, result: np.ndarray, wide: pk.DType) -> np.ndarray:
    """The error of the result before its last rounding, for x in float64."""
    finite = np.where(np.isfinite(x), x, 0)
    spread = np.ptp(finite, axis=axis) if x.shape[axis] else 0
    size = np.abs(np.where(np.isfinite(result), result, 0))
    return np.asarray(unit_roundoff(wide) * (min(x.shape[axis], TERMS) + 2 * spread + 20 + 6 * size))


def reference_logsumexp(x: np.ndarray, axis: int) -> np.ndarray:
    """In the dtype of x."""
    with np.errstate(all="ignore"):
        top = x.max(axis=axis, keepdims=True, initial=-np.inf)
        top = np.where(np.isinf(top), 0, top)
        return np.asarray(np.log(np.exp(x - top).sum(axis=axis)) + np.squeeze(top, axis))


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype)
        if layout == "first axis":
            x = sample(rng, (n, m), dtype).T
        elif layout == "wide range":
            x = (exact(x) * 20).astype(dtype.np)
        elif layout == "special":
            x[0], x[1, 1], x[2, :2], x[3, 3] = -np.inf, np.inf, -np.inf, np.nan
        wide = pk.dtypes.accumulator(dtype)

        def reference():
            return {"out": reference_logsumexp(exact(x), 1)[None, :, None]}

        def bound():
            r = reference()["out"]
            return {"out": log_sum_exp_bound(exact(x), 1, r[0, :, 0], wide)[None, :, None] + rounding(r, dtype)}

        return Problem(
            args={"x": x[None, None], "out": poison((1, m, 1), dtype)},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]), 1, 1),
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "logsumexp",
        log_sum_exp,
        (pk.float32, pk.float64, pk.float16),
        (
            Case("256×1000", _case(256, 1000)),
            Case("1×1", _case(1, 1)),
            Case("33×77, first axis", _case(33, 77, "first axis")),
            Case("17×5000, wide range", _case(17, 5000, "wide range")),
            Case("5×130, special", _case(5, 130, "special")),
        ),
    ),
)
