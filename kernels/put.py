"""Elements written to places given by indices, or combined with what is there, in the order of the indices."""

from __future__ import annotations

import math

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, sample
from portkernel.errors import ArgumentError, ArgumentShapeError

from .arrays import dtype_of, empty, normal_axes, result
from .axes import broadcast, contiguous, copy_into, lines, row_major, view
from .fold import DTYPES, Array, combined
from .programs import split
from .scatter import INDICES

MODES = ("none", "sum", "prod", "max", "min")


@pk.kernel
def put_lines(out, indices, source, MODE: pk.constexpr[str] = "none", BM: pk.constexpr[int] = pk.auto(1, 256)):
    """``out[a, i, indices[a, i, j]] = source[a, i, j]`` for ``j = 0, 1, …``, or combined with what is there by MODE.

    out is ``(K0, K1, N)``, indices and source ``(K0, K1, L)``, any strides. A lane owns its line, so that the order of
    writes is that of j. A negative index counts from the end; one outside raises DeviceAssertionError.
    """
    i, a = split(pk.program_id(0), pk.cdiv(out.shape[1], BM))
    row = i * BM + pk.arange(BM)
    real = row < out.shape[1]
    for j in range(indices.shape[2]):
        index = pk.load(indices, (a, i, j), (1, BM, 1)).reshape((BM,)).astype(pk.int64)
        index = pk.where(index < 0, index + out.shape[2], index)
        pk.device_assert((index >= 0) & (index < out.shape[2]) | ~real, "an index outside the axis")
        value = pk.load(source, (a, i, j), (1, BM, 1)).reshape((BM,))
        at = (pk.full((BM,), a), row, index)
        if MODE != "none":
            value = combined(pk.gather(out, at, mask=real), value, MODE)
        pk.scatter(out, at, value, mask=real)


def put_along_axis(
    x: Array, indices: Array, source: Array, axis: int, reduce: str = "none", *, out: Array | None = None,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """A copy of x with source at indices along ``axis`` (``torch.scatter``), or combined with x there: sum, prod, max, min.

    indices and source have one shape, x's but for ``axis``; any dtype but 8-bit floats, any strides. Of equal indices
    the last one wins, and combinations are in their order, each rounded to x's dtype: deterministic. A line of L indices
    is one chain of L steps. Error: γ(L) of the sum of |terms|, relative for products; exact without.
    Raises ArgumentError, ArgumentDTypeError, ArgumentShapeError; an index outside, DeviceAssertionError.
    """
    where, route = "put_along_axis()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, DTYPES)
    dtype_of(f"{where}: indices", indices, INDICES)
    dtype_of(f"{where}: source", source, (dtype,))
    if reduce not in MODES:
        raise ArgumentError(f"{where}: reduce: expected one of {', '.join(MODES)}, got {reduce!r}")
    shape = tuple(int(n) for n in x.shape)
    (a,) = normal_axes(where, (axis,), len(shape))
    count = int(indices.shape[a]) if len(indices.shape) == len(shape) else -1
    wanted = (*shape[:a], count, *shape[a + 1 :])
    if tuple(indices.shape) != wanted:
        raise ArgumentShapeError(f"{where}: indices: expected shape {wanted}, got {tuple(indices.shape)}")
    source = broadcast(source, wanted, f"{where}: source")
    given = result(where, out, x, shape, (dtype,))
    if given is not x:
        copy_into(given, x, **route)
    if math.prod(wanted):
        _put(given, indices, source, a, reduce, route)
    return given


def _put(out: Array, indices: Array, source: Array, axis: int, reduce: str, route: dict[str, object]) -> None:
    shape = tuple(int(n) for n in out.shape)
    mode = "max" if reduce == "sum" and dtype_of("put()", out).is_bool else reduce
    target, found = out, lines([out, indices, source], axis)
    if found is None:
        order = [*(i for i in range(len(shape)) if i != axis), axis]
        target = view(empty(out, (math.prod(shape),), dtype_of("put()", out)), shape, row_major(shape, order))
        copy_into(target, out, **route)
        found = lines([target, contiguous(indices, order, **route), contiguous(source, order, **route)], axis)
        assert found is not None
    o, index, value = found
    k0, k1 = int(o.shape[0]), int(o.shape[1])
    put_lines[lambda meta: (pk.cdiv(k1, meta["BM"]) * k0,)](o, index, value, MODE=mode, **route)
    if target is not out:
        copy_into(out, target, **route)


def _case(m: int, n: int, count: int, mode: str):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        start, source = sample(rng, (m, n), dtype), sample(rng, (m, count), dtype)
        indices = rng.integers(-n, n, (m, count))

        def reference():
            found = exact(start).copy()
            for i in range(m):
                for j in range(count):
                    k = indices[i, j]
                    old, new = found[i, k], exact(source)[i, j]
                    found[i, k] = {"none": new, "sum": old + new, "max": max(old, new)}[mode]
            return {"out": found[None]}

        def bound():
            if mode != "sum" or not dtype.is_float:
                return {"out": np.zeros((1, m, n))}
            return {"out": np.full((1, m, n), 3.0 * (count + 1) ** 2 * dtype.eps)}

        return Problem(
            args={"out": start[None].copy(), "indices": indices[None], "source": source[None]},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]), 1),
            constants={"MODE": mode},
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "put",
        put_lines,
        (pk.float32, pk.float16, pk.int32),
        (
            Case("100×300 of 50", _case(100, 300, 50, "none")),
            Case("1×1 of 1", _case(1, 1, 1, "none")),
            Case("33×65 of 7, sum", _case(33, 65, 7, "sum")),
            Case("7×9 of 20, max", _case(7, 9, 20, "max")),
        ),
    ),
)
