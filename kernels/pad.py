"""Arrays put together: padding, concatenation, transposed copies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, sample
from portkernel.errors import ArgumentDTypeError, ArgumentError, ArgumentShapeError, ArgumentTypeError, DTypeError

from .arrays import dtype_of, empty, fitting, integer, may_share, normal_axes, result, strides_of
from .axes import copy_into, view
from .fold import DTYPES, Array
from .programs import tile_of

MODES = ("constant", "edge", "reflect")


def source_index(at, n, mode):
    """Where along an axis of ``n`` elements the element comes from that lies at ``at``."""
    if mode == "constant":
        return at
    if mode == "edge":
        return pk.minimum(pk.maximum(at, 0), n - 1)
    period = pk.maximum(2 * (n - 1), 1)
    back = at % period
    return pk.where(back >= n, period - back, back)


@pk.kernel
def pad_tiles(
    x, out, value, p0, p1, p2, p3, p4,
    MODE: pk.constexpr[str] = "constant",
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 1024),
):  # fmt: skip
    """out, of five dimensions, is x with ``p0 … p4`` elements before it and enough behind; any strides."""
    a, i, j = tile_of(out, BM, BN)
    i0 = source_index(a // (out.shape[1] * out.shape[2]) - p0, x.shape[0], MODE)
    i1 = source_index(a // out.shape[2] % out.shape[1] - p1, x.shape[1], MODE)
    i2 = source_index(a % out.shape[2] - p2, x.shape[2], MODE)
    i3 = source_index(i * BM + pk.arange(BM) - p3, x.shape[3], MODE)[:, None]
    i4 = source_index(j * BN + pk.arange(BN) - p4, x.shape[4], MODE)[None, :]
    whole = pk.zeros((BM, BN), pk.int64)
    i0, i1, i2 = whole + i0, whole + i1, whole + i2
    inside = (i0 >= 0) & (i0 < x.shape[0]) & (i1 >= 0) & (i1 < x.shape[1]) & (i2 >= 0) & (i2 < x.shape[2])
    inside = inside & (i3 >= 0) & (i3 < x.shape[3]) & (i4 >= 0) & (i4 < x.shape[4])
    found = pk.gather(x, (i0, i1, i2, i3, i4))
    found = pk.where(inside, found, pk.full((BM, BN), 0, x.dtype) + value.astype(x.dtype))
    at = (a // (out.shape[1] * out.shape[2]), a // out.shape[2] % out.shape[1], a % out.shape[2])
    pk.store(out, (*at, i, j), found.reshape((1, 1, 1, BM, BN)))


def pad(
    x: Array, pad_width: int | Sequence[int] | Sequence[Sequence[int]], mode: str = "constant",
    constant_values: float = 0, *, out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.pad`` with mode constant, edge or reflect: any dtype, strides, up to 5 dimensions; exact.

    ``pad_width`` is a number, a pair for every axis, or a pair for each; widths are not negative.
    """
    where, route = "pad()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, DTYPES)
    shape = tuple(int(n) for n in x.shape)
    if mode not in MODES:
        raise ArgumentError(f"{where}: mode: expected one of {', '.join(MODES)}, got {mode!r}")
    given = np.asarray(pad_width)
    if given.size and given.dtype.kind not in "iu":
        raise ArgumentTypeError(f"{where}: pad_width: expected integers, got {pad_width!r}")
    try:
        widths = np.broadcast_to(given.astype(np.int64), (len(shape), 2)).tolist()
    except ValueError:
        raise ArgumentShapeError(f"{where}: pad_width: expected a pair for each axis, got {pad_width}") from None
    if len(shape) > 5 or any(w < 0 for pair in widths for w in pair):
        raise ArgumentShapeError(f"{where}: pad_width: expected widths of at least 0 for up to 5 axes, got {pad_width}")
    if mode != "constant" and any(n == 0 and (a or b) for n, (a, b) in zip(shape, widths, strict=True)):
        raise ArgumentShapeError(f"{where}: x: expected elements along the padded axes, got shape {shape}")
    fitting(f"{where}: constant_values", constant_values, dtype)
    final = tuple(n + a + b for n, (a, b) in zip(shape, widths, strict=True))
    out = result(where, out, x, final, (dtype,))
    if 0 in final:
        return out
    lead = 5 - len(shape)
    five = [view(t, (1,) * lead + tuple(t.shape), (0,) * lead + strides_of(t)) for t in (x, out)]
    before = [0] * lead + [int(a) for a, _ in widths]
    n0, n1, n2, m, n = (int(k) for k in five[1].shape)
    pad_tiles[lambda meta: (pk.cdiv(n, meta["BN"]) * pk.cdiv(m, meta["BM"]) * n0 * n1 * n2,)](
        *five, constant_values, *before, MODE=mode, **route
    )
    return out


def concatenate(
    arrays: Sequence[Array], axis: int = 0, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.concatenate``: one copy for each array, into the dtype in which they combine. Exact where nothing rounds."""
    where, route = "concatenate()", {"backend": backend, "device": device}
    if not hasattr(arrays, "__len__"):
        raise ArgumentTypeError(f"{where}: arrays: expected a sequence of arrays, got {arrays!r}")
    if not len(arrays):
        raise ArgumentShapeError(f"{where}: arrays: expected at least one array, got none")
    own = [dtype_of(f"{where}: arrays[{i}]", x, DTYPES) for i, x in enumerate(arrays)]
    try:
        dtype = reduce(pk.dtypes.promote, own)
    except DTypeError as e:
        raise ArgumentDTypeError(f"{where}: arrays: {e.message}", hint=e.hint) from None
    first = tuple(int(n) for n in arrays[0].shape)
    (a,) = normal_axes(where, (axis,), len(first))
    for i, x in enumerate(arrays):
        wanted = (*first[:a], int(x.shape[a]) if a < len(x.shape) else 0, *first[a + 1 :])
        if tuple(x.shape) != wanted:
            raise ArgumentShapeError(f"{where}: arrays[{i}]: expected shape {wanted}, got {tuple(x.shape)}")
    total = int(np.sum([int(x.shape[a]) for x in arrays]))
    out = result(where, out, arrays[0], (*first[:a], total, *first[a + 1 :]), (dtype,))
    shared = any(may_share(out, x) for x in arrays)  # then an early copy could write what a later one reads
    made = empty(arrays[0], tuple(out.shape), dtype) if shared else out
    low = 0
    for x in arrays:
        high = low + int(x.shape[a])
        copy_into(made[(slice(None),) * a + (slice(low, high),)], x, **route)
        low = high
    if shared:
        copy_into(out, made, **route)
    return out


def _from_0(where: str, axis: object, ndim: int) -> int:
    found = integer(f"{where}: axes", axis)
    if not -ndim <= found < ndim:
        raise ArgumentShapeError(f"{where}: axes: expected {-ndim} to {ndim - 1}, got {found}")
    return found % ndim


def transposed_copy(
    x: Array, axes: Sequence[int] | None = None, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """``numpy.transpose(x, axes)`` in row-major memory of its own; any dtype and strides; exact."""
    where, route = "transposed_copy()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, DTYPES)
    order = (
        tuple(reversed(range(len(x.shape)))) if axes is None else tuple(_from_0(where, a, len(x.shape)) for a in axes)
    )
    if sorted(order) != list(range(len(x.shape))):
        raise ArgumentShapeError(f"{where}: axes: expected each of {len(x.shape)} axes once, got {axes}")
    shape = tuple(int(x.shape[i]) for i in order)
    out = empty(x, shape, dtype) if out is None else result(where, out, x, shape, (dtype,))
    copy_into(out, view(x, shape, [strides_of(x)[i] for i in order]), **route)
    return out


def _case(shape: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...], mode: str):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = sample(rng, shape, dtype)
        widths = tuple(zip(before, after, strict=True))
        kind = {"constant_values": 1} if mode == "constant" else {}
        want = np.pad(exact(x), widths, mode, **kind)  # type: ignore[call-overload]
        m, n = want.shape
        return Problem(
            args={
                "x": x[None, None, None],
                "out": poison((1, 1, 1, m, n), dtype),
                "value": 1,
                **{f"p{i}": b for i, b in enumerate((0, 0, 0, *before))},
            },
            grid=lambda meta: (pk.cdiv(n, meta["BN"]) * pk.cdiv(m, meta["BM"]),),
            constants={"MODE": mode},
            reference=lambda: {"out": want[None, None, None]},
            bound=lambda: {"out": np.zeros((1, 1, 1, m, n))},
        )

    return make


ENTRIES = (
    Entry(
        "pad",
        pad_tiles,
        (pk.float32, pk.int8),
        (
            Case("200×300, constant", _case((200, 300), (3, 5), (7, 0), "constant")),
            Case("1×1, edge", _case((1, 1), (2, 0), (1, 3), "edge")),
            Case("7×9, reflect", _case((7, 9), (6, 11), (2, 8), "reflect")),
        ),
    ),
)
