"""Sorting along an axis, stable: values and indices; the largest or smallest k."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, sample
from portkernel.errors import ArgumentShapeError

from .arrays import dtype_of, empty, integer, normal_axes, result
from .axes import contiguous, copy_into, lines, row_major, view
from .fold import DTYPES, Array
from .programs import split, tile_of

RUN = 32
"""Elements that are ranked among each other at first; runs are merged from there."""
FEW = 64
"""So many best ones are kept of each run; more are taken from the sorted axis."""


def precedes(a, b, descending):
    """True where a comes before b: NaN is larger than every number, equals come in neither order."""
    x, y = (b, a) if descending else (a, b)
    if x.dtype.is_float:
        return (x < y) | ((y != y) & (x == x))
    return x < y


@pk.kernel
def rank_runs(
    x,
    values,
    places,
    DESCENDING: pk.constexpr[bool] = False,
    ROWS: pk.constexpr[int] = 4,
    WIDTH: pk.constexpr[int] = RUN,
):
    """Sort each run of WIDTH elements of x ``(K0, K1, N)``, any strides, into values and places ``(K0, K1, N)``.

    An element's place is the number of those before it, ranked all against all: stable, and the same in any order.
    """
    a, i, j = tile_of(x, ROWS, WIDTH)
    v = pk.load(x, (a, i, j), (1, ROWS, WIDTH)).reshape((ROWS, WIDTH))
    lane, row = pk.arange(WIDTH), i * ROWS + pk.arange(ROWS)
    real = j * WIDTH + lane < x.shape[2]
    mine, other = v[:, :, None], v[:, None, :]
    first = precedes(other, mine, DESCENDING)
    tie = ~first & ~precedes(mine, other, DESCENDING) & (lane[None, :] < lane[:, None])[None, :, :]
    before = ((first | tie) & real[None, None, :]).astype(pk.int32).sum(axis=2, dtype=pk.int32)
    to = (pk.full((ROWS, WIDTH), a), row[:, None], j * WIDTH + before)
    mask = (row < x.shape[1])[:, None] & real[None, :]
    pk.scatter(values, to, v, mask=mask)
    pk.scatter(places, to, pk.broadcast_to((j * WIDTH + lane).astype(pk.int64)[None, :], (ROWS, WIDTH)), mask=mask)


@pk.kernel
def merge_runs(
    values,
    places,
    to_values,
    to_places,
    length,
    steps,
    DESCENDING: pk.constexpr[bool] = False,
    BN: pk.constexpr[int] = pk.auto(32, 1024),
):
    """Merge neighbouring sorted runs of ``length`` elements of values ``(K, N)``, places along with them.

    Each element finds its place in the other run by bisection in ``steps`` steps: after the equal ones of an earlier
    run, before those of a later one.
    """
    k, j = split(pk.program_id(0), values.shape[0])
    at = j * BN + pk.arange(BN, dtype=pk.int64)
    n = values.shape[1]
    real = at < n
    row = pk.full((BN,), k)
    v = pk.gather(values, (row, at))
    pair = at // (2 * length) * (2 * length)
    left = at < pair + length
    start = pk.minimum(pk.where(left, pair + length, pair), n)
    low = start
    high = pk.minimum(pk.where(left, pair + 2 * length, pair + length), n)
    for _ in range(steps):
        active = low < high
        middle = (low + high) // 2
        w = pk.gather(values, (row, middle), mask=active)
        further = (left & precedes(w, v, DESCENDING)) | (~left & ~precedes(v, w, DESCENDING))
        high = pk.where(active & ~further, middle, high)
        low = pk.where(active & further, middle + 1, low)
    own = at - pk.where(left, pair, pair + length)
    to = (row, pair + own + low - start)
    pk.scatter(to_values, to, v, mask=real)
    pk.scatter(to_places, to, pk.gather(places, (row, at)), mask=real)


@pk.kernel
def best_of_runs(
    x,
    origins,
    values,
    places,
    keep,
    DESCENDING: pk.constexpr[bool] = False,
    CARRIED: pk.constexpr[bool] = False,
    ROWS: pk.constexpr[int] = 4,
    WIDTH: pk.constexpr[int] = RUN,
):
    """The first ``keep`` of each run of WIDTH elements of x ``(K0, K1, N)``, any strides, in order, side by side in values.

    values and places are ``(K0, K1, cdiv(N, WIDTH)·keep)``, or shorter where the last run has fewer. Ranked as in
    ``rank_runs``, RUN elements at a time. With CARRIED the place of an element is what origins, of x's shape, says.
    """
    a, i, j = tile_of(x, ROWS, WIDTH)
    v = pk.load(x, (a, i, j), (1, ROWS, WIDTH)).reshape((ROWS, WIDTH))
    lane, row = pk.arange(WIDTH), i * ROWS + pk.arange(ROWS)
    before = pk.zeros((ROWS, WIDTH), pk.int32)
    for part in range(WIDTH // RUN):
        k = j * (WIDTH // RUN) + part
        mine, other = v[:, :, None], pk.load(x, (a, i, k), (1, ROWS, RUN)).reshape((ROWS, 1, RUN))
        first = precedes(other, mine, DESCENDING)
        earlier = (part * RUN + pk.arange(RUN))[None, :] < lane[:, None]
        tie = ~first & ~precedes(mine, other, DESCENDING) & earlier[None, :, :]
        real = (k * RUN + pk.arange(RUN) < x.shape[2])[None, None, :]
        before = before + ((first | tie) & real).astype(pk.int32).sum(axis=2, dtype=pk.int32)
    to = (pk.full((ROWS, WIDTH), a), row[:, None], j * keep + before)
    mask = (row < x.shape[1])[:, None] & (j * WIDTH + lane < x.shape[2])[None, :] & (before < keep)
    pk.scatter(values, to, v, mask=mask)
    if CARRIED:
        origin = pk.load(origins, (a, i, j), (1, ROWS, WIDTH)).reshape((ROWS, WIDTH))
    else:
        origin = pk.broadcast_to((j * WIDTH + lane).astype(pk.int64)[None, :], (ROWS, WIDTH))
    pk.scatter(places, to, origin, mask=mask)


def _lines(where: str, x: Array, at: int, route: dict[str, Any]) -> tuple[Array, list[int]]:
    """x as ``(K0, K1, N)`` with the axis ``at`` last, copied where it must be; and the order of the axes in it."""
    order = [*(i for i in range(len(x.shape)) if i != at), at]
    shape = tuple(int(n) for n in x.shape)
    # Rows are those of row-major results: only what merges like them is read where it lies.
    like = view(empty(x, (math.prod(shape),), dtype_of(where, x)), shape, row_major(shape, order))
    found = lines([like, x], at)
    if found is None:
        found = lines([like, contiguous(x, order, **route)], at)
        assert found is not None
    return found[1], order


def _best(where: str, x: Array, k: int, at: int, descending: bool, route: dict[str, Any]) -> tuple[Array, Array]:
    """The first k along ``at``, and their places: the best of each run, then the best of those, and so on."""
    source, order = _lines(where, x, at, route)
    dtype, width = dtype_of(where, x), max(RUN, pk.next_power_of_2(2 * k))
    rows, origins = max(1, 4 * RUN // width), source
    while True:
        k0, k1, n = (int(s) for s in source.shape)
        kept = n // width * k + min(n % width, k)
        values, places = (empty(x, (k0, k1, kept), d) for d in (dtype, pk.int64))
        best_of_runs[(pk.cdiv(n, width) * pk.cdiv(k1, rows) * k0,)](
            source, origins, values, places, k,
            DESCENDING=descending, CARRIED=origins is not source, ROWS=rows, WIDTH=width, **route,
        )  # fmt: skip
        if n <= width:
            break
        source, origins = values, places
    shape = tuple(k if i == at else int(n) for i, n in enumerate(x.shape))
    steps = row_major(shape, order)
    return view(values, shape, steps), view(places, shape, steps)


def _sorted(where: str, x: Array, axis: int, descending: bool, route: dict[str, Any]) -> tuple[Array, Array, int]:
    """Values and places of shape ``(K0, K1, N)`` in the order of x's memory, as arrays of x's shape; and the axis."""
    dtype = dtype_of(f"{where}: x", x, DTYPES)
    shape = tuple(int(n) for n in x.shape)
    (at,) = normal_axes(where, (axis,), len(shape))
    order = [*(i for i in range(len(shape)) if i != at), at]
    n, k = shape[at], math.prod(shape) // max(shape[at], 1)
    value, place, spare, spare_place = (
        empty(x, (k, n), d) for d in (dtype, pk.int64, dtype, pk.int64)
    )  # fmt: skip

    def whole(t: Array) -> Array:
        return view(t, shape, row_major(shape, order))

    if 0 in shape:
        return whole(value), whole(place), at
    found = lines([whole(value), x, whole(place)], at)
    if found is None:
        found = lines([whole(value), contiguous(x, order, **route), whole(place)], at)
        assert found is not None
    v, source, p = found
    k0, k1, _ = (int(s) for s in v.shape)
    rank_runs[(pk.cdiv(n, RUN) * pk.cdiv(k1, 4) * k0,)](source, v, p, DESCENDING=descending, **route)
    length = RUN
    while length < n:
        merge_runs[lambda meta: (k * pk.cdiv(n, meta["BN"]),)](
            value, place, spare, spare_place, length, length.bit_length(), DESCENDING=descending, **route
        )
        value, spare, place, spare_place = spare, value, spare_place, place
        length *= 2
    return whole(value), whole(place), at


def sort(
    x: Array, axis: int = -1, descending: bool = False, *, backend: str | None = None, device: str | None = None
) -> tuple[Array, Array]:
    """``torch.sort(stable=True)``: the values of x sorted along ``axis``, and their int64 indices. Exact.

    Any shape, strides and dtype but 8-bit floats. NaN is larger than every number; equals keep their order. Runs of 32
    are ranked, then merged by bisection: O(N·log² N), deterministic.
    """
    values, places, _ = _sorted("sort()", x, axis, descending, {"backend": backend, "device": device})
    return values, places


def argsort(
    x: Array, axis: int = -1, descending: bool = False, *, backend: str | None = None, device: str | None = None
) -> Array:
    """The indices of ``sort``."""
    return _sorted("argsort()", x, axis, descending, {"backend": backend, "device": device})[1]


def topk(
    x: Array, k: int, axis: int = -1, largest: bool = True, *, backend: str | None = None, device: str | None = None
) -> tuple[Array, Array]:
    """``torch.topk``: the k largest (or smallest) along ``axis``, in order, and their int64 indices.

    Of equals, the first; NaN is the largest. Exact. Up to k = 64, the best k of each run of 2·k elements or more are kept,
    round by round; the whole axis is sorted for a larger k. Raises ArgumentShapeError unless ``0 <= k <= N``.
    """
    where, route = "topk()", {"backend": backend, "device": device}
    dtype_of(f"{where}: x", x, DTYPES)
    (at,) = normal_axes(where, (axis,), len(x.shape))
    k = integer(f"{where}: k", k)
    if not 0 <= k <= int(x.shape[at]):
        raise ArgumentShapeError(f"{where}: k: expected 0 to {int(x.shape[at])}, got {k}")
    if 0 < k <= FEW and math.prod(int(n) for n in x.shape):
        values, places = _best(where, x, k, at, largest, route)
    else:
        values, places, _ = _sorted(where, x, axis, largest, route)
    cut = (slice(None),) * at + (slice(0, k),)
    shape = tuple(k if i == at else int(n) for i, n in enumerate(x.shape))
    outs = []
    for t in (values, places):
        out = result(where, None, x, shape, (dtype_of(where, t),))
        copy_into(out, t[cut], **route)
        outs.append(out)
    return outs[0], outs[1]


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype) if layout != "first axis" else sample(rng, (n, m), dtype).T
        order = np.stack([np.concatenate([lo + np.argsort(exact(r)[lo : lo + RUN], kind="stable") for lo in range(0, n, RUN)]) for r in x])  # fmt: skip
        return Problem(
            args={"x": x[None], "values": poison((1, m, n), dtype), "places": poison((1, m, n), pk.int64)},
            grid=lambda meta: (pk.cdiv(n, RUN) * pk.cdiv(m, 4),),
            constants={"ROWS": 4, "WIDTH": RUN},
            outputs=("values", "places"),
            reference=lambda: {"values": np.take_along_axis(exact(x), order, 1)[None], "places": order[None]},
            bound=lambda: {"values": np.zeros((1, m, n)), "places": np.zeros((1, m, n))},
        )

    return make


def _best_case(m: int, n: int, width: int, keep: int, largest: bool = False):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, (m, n), dtype)
        key = -exact(x) if largest else exact(x)
        order = np.stack([np.concatenate([lo + np.argsort(r[lo : lo + width], kind="stable")[:keep] for lo in range(0, n, width)]) for r in key])  # fmt: skip
        count = order.shape[1]
        return Problem(
            args={
                "x": x[None], "keep": keep, "origins": np.zeros((1, 1, 1), np.int64),
                "values": poison((1, m, count), dtype), "places": poison((1, m, count), pk.int64),
            },
            grid=lambda meta: (pk.cdiv(n, width) * m,),
            constants={"DESCENDING": largest, "ROWS": 1, "WIDTH": width},
            outputs=("values", "places"),
            reference=lambda: {"values": np.take_along_axis(exact(x), order, 1)[None], "places": order[None]},
            bound=lambda: {"values": np.zeros((1, m, count)), "places": np.zeros((1, m, count))},
        )  # fmt: skip

    return make


ENTRIES = (
    Entry(
        "rank_runs",
        rank_runs,
        (pk.float32, pk.int8),
        (
            Case("50×200", _case(50, 200)),
            Case("1×1", _case(1, 1)),
            Case("7×65, first axis", _case(7, 65, "first axis")),
        ),
    ),
    Entry(
        "best_of_runs",
        best_of_runs,
        (pk.float32, pk.int8),
        (
            Case("20×300, 5 of 32", _best_case(20, 300, 32, 5)),
            Case("1×1", _best_case(1, 1, 32, 1)),
            Case("3×200, the largest 40 of 128", _best_case(3, 200, 128, 40, True)),
        ),
    ),
)
