"""Mean and variance together, over any set of axes, in one pass over the input."""

from __future__ import annotations

from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, gamma, poison, rounding, sample

from .arrays import dtype_of, empty, named_dtype, normal_axes, number, strides_of
from .axes import broadcast, folding, view
from .fold import DTYPES, Array, Axis, floating, parts, place, terms
from .programs import part_of, split

NAN = float("nan")
ROW, ROWS = 256, 8
"""From how many neighbours, or rows of them, on the tiles of ``moments`` are chosen here."""


@pk.kernel
def moments(
    x,
    mask,
    mean_out,
    out,
    count_out,
    ddof,
    FINISH: pk.constexpr[str] = "var",
    MASK: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = pk.auto(1, 1024),
    BN: pk.constexpr[int] = pk.auto(1, 1024),
):
    """Means and sums of squared distances of x ``(K0, R0, K1, R1)`` over R0 and R1, to ``(K0, K1, S)``, any strides.

    Of each tile the mean, then the squares of what it leaves; tiles are merged as they come (Chan, Golub and LeVeque
    1983). FINISH divides the squares by ``count - ddof`` (var), then takes the root (std), or leaves them (none) and
    stores the counts to count_out. Where MASK, only elements where mask is true count.
    """
    i, b, s = part_of(x, BM)
    wide = pk.dtypes.accumulator(floating(x.dtype))
    tiles = pk.cdiv(x.shape[3], BN)
    share = pk.cdiv(x.shape[1] * tiles, out.shape[2])
    mean = pk.zeros((BM,), wide)
    square = pk.zeros((BM,), wide)
    count = pk.zeros((BM if MASK else 1,), wide)
    for t in range(s * share, pk.minimum((s + 1) * share, x.shape[1] * tiles)):
        row, k = place(t, x, tiles)
        at = (b, row, i, k)
        v = pk.load(x, at, (1, 1, BM, BN)).reshape((BM, BN)).astype(wide)
        left = pk.minimum(x.shape[3] - k * BN, BN)
        if MASK:
            valid = (pk.arange(BN) < pk.astype(left, pk.int32))[None, :]
            valid = valid & pk.load(mask, at, (1, 1, BM, BN)).reshape((BM, BN))
            v = pk.where(valid, v, 0.0)
            more = valid.astype(wide).sum(axis=1)
        else:
            more = pk.full((1,), pk.astype(left, wide), wide)
        own = v.sum(axis=1) / pk.maximum(more, 1.0)
        d = v - own[:, None]
        if MASK:
            d = pk.where(valid, d, 0.0)
        elif BN > 1:
            d = pk.where((pk.arange(BN) < pk.astype(left, pk.int32))[None, :], d, 0.0)
        total = count + more
        part = more / pk.maximum(total, 1.0)
        apart = pk.where(more > 0, own - mean, 0.0)
        mean = mean + apart * part
        square = square + (d * d).sum(axis=1) + pk.where(count > 0, apart * apart * count * part, 0.0)
        count = total
    found = square
    centre = pk.where(count > 0, mean, NAN)
    if FINISH != "none":
        found = square / pk.maximum(count - ddof.astype(wide), 0.0)
    if FINISH == "std":
        found = pk.sqrt(found)
    pk.store(mean_out, (b, i, s), centre.astype(mean_out.dtype).reshape((1, BM, 1)))
    pk.store(out, (b, i, s), found.astype(out.dtype).reshape((1, BM, 1)))
    if FINISH == "none":
        pk.store(count_out, (b, i, s), pk.broadcast_to(count, (BM,)).reshape((1, BM, 1)))


@pk.kernel
def merge_moments(
    means,
    squares,
    counts,
    mean_out,
    out,
    ddof,
    FINISH: pk.constexpr[str] = "var",
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 1024),
):
    """The parts ``(K0, K1, S)`` that ``moments`` left with FINISH none, in one: mean_out and out are ``(K0, K1)``."""
    i, b = split(pk.program_id(0), pk.cdiv(means.shape[1], BM))
    steps = pk.cdiv(means.shape[2], BN)
    total = pk.zeros((BM, BN), means.dtype)
    weighted = pk.zeros((BM, BN), means.dtype)
    for k in range(steps):
        n = pk.load(counts, (b, i, k), (1, BM, BN)).reshape((BM, BN))
        m = pk.load(means, (b, i, k), (1, BM, BN)).reshape((BM, BN))
        total = total + n
        weighted = weighted + pk.where(n > 0, n * m, 0.0)
    whole = total.sum(axis=1)
    centre = weighted.sum(axis=1) / whole
    square = pk.zeros((BM, BN), means.dtype)
    for k in range(steps):
        n = pk.load(counts, (b, i, k), (1, BM, BN)).reshape((BM, BN))
        apart = pk.load(means, (b, i, k), (1, BM, BN)).reshape((BM, BN)) - centre[:, None]
        own = pk.load(squares, (b, i, k), (1, BM, BN)).reshape((BM, BN))
        square = square + own + pk.where(n > 0, n * apart * apart, 0.0)
    found = square.sum(axis=1) / pk.maximum(whole - ddof.astype(means.dtype), 0.0)
    if FINISH == "std":
        found = pk.sqrt(found)
    pk.store(mean_out, (b, i), centre.astype(mean_out.dtype).reshape((1, BM)))
    pk.store(out, (b, i), found.astype(out.dtype).reshape((1, BM)))


def _moments(
    name: str,
    x: Array,
    axis: Axis,
    dtype: Any,
    out: Array | None,
    ddof: float,
    keepdims: bool,
    where: Array | None,
    finish: str,
    route: dict[str, Any],
) -> tuple[Array, Array]:
    """Variance (or its root) and mean, of one shape."""
    label = f"{name}()"
    own = dtype_of(f"{label}: x", x, DTYPES)
    stored = named_dtype(f"{label}: dtype", dtype) if dtype is not None else floating(own)
    wide = pk.float64 if own.is_integer and own.bits == 64 else pk.dtypes.accumulator(stored)
    if wide == pk.float64 and own != pk.float64:
        from .elementwise import elementwise

        x = elementwise(_same, x, dtype=pk.float64, backend=route["backend"], device=route["device"])
    number(f"{label}: ddof", ddof)
    shape = tuple(int(n) for n in x.shape)
    arrays = [x]
    if where is not None:
        dtype_of(f"{label}: where", where, (pk.bool_,))
        arrays.append(broadcast(where, shape, f"{label}: where"))
    f = folding(arrays, normal_axes(label, axis, len(shape)), out, stored, keepdims, label, **route)
    k0, r0, k1, r1 = (int(n) for n in f.arrays[0].shape)
    mean, means = f.twin(wide)
    if k0 * k1 == 0:
        return f.deliver(**route), mean
    cut = parts(k0 * k1, r0, r1)
    masked = where is not None

    def grid(meta):
        return (pk.cdiv(k1, meta["BM"]) * k0 * cut,)

    sizes = _sizes(f.arrays[0])
    data, mask = f.arrays[0], f.arrays[-1]
    if "BN" in sizes and r1 == 1:
        data, mask = (view(t, (k0, 1, k1, r0), _swapped(strides_of(t))) for t in (data, mask))
    if cut == 1:
        found = view(f.out, (k0, k1, 1), (*strides_of(f.out), 0))
        centre = view(means, (k0, k1, 1), (k1, 1, 0))
        count = empty(x, (1, 1, 1), wide)
        moments[grid](data, mask, centre, found, count, ddof, FINISH=finish, MASK=masked, **sizes, **route)
    else:
        part = [empty(x, (k0, k1, cut), wide) for _ in range(3)]
        moments[grid](data, mask, *part, ddof, FINISH="none", MASK=masked, **sizes, **route)
        merge_moments[lambda meta: (pk.cdiv(k1, meta["BM"]) * k0,)](
            part[0], part[1], part[2], means, f.out, ddof, FINISH=finish, **route
        )
    return f.deliver(**route), mean


def _sizes(x: Array) -> dict[str, int]:
    """Tiles of ``moments`` that pay for the merge of each: a thousand neighbours, or eight rows of so many."""
    _, r0, k1, r1 = (int(n) for n in x.shape)
    if r1 >= ROW and strides_of(x)[3] == 1:
        return {"BM": 1, "BN": 1024 if r1 >= 1024 else ROW}
    if r1 == 1 and r0 >= ROWS and k1 >= ROW and strides_of(x)[2] == 1:
        return {"BM": 1024 if k1 >= 1024 else ROW, "BN": ROWS}
    return {}


def _swapped(steps: tuple[int, ...]) -> tuple[int, ...]:
    """The strides with those of R0 and R1 in each other's place."""
    return (steps[0], steps[3], steps[2], steps[1])


def _same(x):
    return x


def var(
    x: Array, axis: Axis = None, dtype: Any = None, out: Array | None = None, ddof: float = 0, keepdims: bool = False,
    *, where: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.var``: floats keep their dtype, integers give float32 unless ``dtype`` says; of nothing, NaN.

    One pass, in float32 (float64 for float64 and integers of 64 bits). Relative error: γ(min(n, 8256) + 8)·κ with κ² = 1 + mean²/variance
    (Chan, Golub and LeVeque 1983), then one rounding.
    """
    return _moments(
        "var", x, axis, dtype, out, ddof, keepdims, where, "var", {"backend": backend, "device": device}
    )[0]  # fmt: skip


def std(
    x: Array, axis: Axis = None, dtype: Any = None, out: Array | None = None, ddof: float = 0, keepdims: bool = False,
    *, where: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.std``: the root of ``var``, with half its relative error."""
    return _moments(
        "std", x, axis, dtype, out, ddof, keepdims, where, "std", {"backend": backend, "device": device}
    )[0]  # fmt: skip


def var_mean(
    x: Array, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False, backend: str | None = None,
    device: str | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """``torch.var_mean``: both from one pass; the mean in the accumulator's dtype. ``ddof`` is 0 as in NumPy."""
    return _moments(
        "var_mean", x, axis, None, None, ddof, keepdims, None, "var", {"backend": backend, "device": device}
    )  # fmt: skip


def variance_bound(x: np.ndarray, axis: Any, ddof: float = 0) -> np.ndarray:
    """The error of ``var`` in float32 before the last rounding, for x in float64."""
    n = x.size // max(1, np.asarray(x.sum(axis=axis)).size)
    value, mean = x.var(axis=axis, ddof=ddof), x.mean(axis=axis)
    condition = np.sqrt(value * (value + mean * mean))
    return np.asarray(gamma(terms(n) + 8, pk.float32) * (condition + value))


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype)[None, None]
        if layout == "first axis":
            x = sample(rng, (n, m), dtype)[None, :, :, None]
        elif layout == "far from 0":
            x = (exact(x) + 50).astype(dtype.np)
        wide = pk.dtypes.accumulator(dtype)
        scale = 1 if wide == pk.float32 else 2.0**-29

        def reference():
            e = exact(x)
            return {"out": e.var(axis=(1, 3))[..., None], "mean_out": e.mean(axis=(1, 3))[..., None]}

        def bound():
            r = reference()
            size = np.abs(exact(x)).mean(axis=(1, 3))[..., None]
            return {
                "out": variance_bound(exact(x), (1, 3))[..., None] * scale + rounding(r["out"], dtype),
                "mean_out": gamma(terms(n) + 4, wide) * size + rounding(r["mean_out"], wide),
            }

        return Problem(
            args={
                "x": x,
                "mask": np.ones((1, 1, 1, 1), np.bool_),
                "mean_out": poison((1, m, 1), wide),
                "out": poison((1, m, 1), dtype),
                "count_out": poison((1, 1, 1), wide),
                "ddof": 0,
            },
            grid=lambda meta: (pk.cdiv(m, meta["BM"]), 1, 1),
            outputs=("out", "mean_out"),
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "variance",
        moments,
        (pk.float32, pk.float64, pk.float16),
        (
            Case("400×1500", _case(400, 1500)),
            Case("1×1", _case(1, 1)),
            Case("3×5001", _case(3, 5001)),
            Case("70×33, first axis", _case(70, 33, "first axis")),
            Case("9×1000, far from 0", _case(9, 1000, "far from 0")),
        ),
    ),
)
