"""How a set of axes of any array becomes the four axes that the kernels of reductions run over.

Axes that memory lays out as one are merged, so that an array of any rank and strides is read where it lies:
``(K0, R0, K1, R1)``, K kept, R reduced. Only an array that does not merge into two of each is copied first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import portkernel as pk
from portkernel.errors import ArgumentShapeError

from .arrays import Shape, View, dtype_of, empty, result, strides_of
from .programs import tile_of

Array = Any


def view(x: Array, shape: Sequence[int], strides: Sequence[int]) -> Array:
    """The memory of ``x`` from its first element on, under another shape and strides (in elements)."""
    return View(x, tuple(shape), tuple(strides)).array()


def broadcast(x: Array, shape: Sequence[int], where: str) -> Array:
    """``x`` with the strides of 0 that give it ``shape``. Raises ``ArgumentShapeError``."""
    have, shape = tuple(x.shape), tuple(shape)
    lead = len(shape) - len(have)
    if lead < 0 or any(n not in (1, m) for n, m in zip(have, shape[max(lead, 0) :], strict=False)):
        raise ArgumentShapeError(f"{where}: expected a shape that broadcasts to {shape}, got {have}")
    return View(x, have, strides_of(x)).broadcast(shape).array()


# --- copies -------------------------------------------------------------------------------------------------


@pk.kernel
def copy(x, out, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(1, 4096)):
    """``out = x`` for arrays ``(A, B, C, M, N)``, any strides, x cast to out's dtype."""
    a, i, j = tile_of(x, BM, BN)
    lead = (a // (x.shape[1] * x.shape[2]), a // x.shape[2] % x.shape[1], a % x.shape[2])
    where = (*lead, i, j)
    pk.store(out, where, pk.load(x, where, (1, 1, 1, BM, BN)).astype(out.dtype))


def merged(shape: Sequence[int], *strides: Shape, kinds: Sequence[object] = ()) -> tuple[tuple[int, ...], list]:
    """The dimensions, merged where every one of ``strides`` allows and ``kinds`` agree; without those of length 1.

    Returns the shape and, for each of ``strides``, its new strides; then the kinds.
    """
    dims: list[tuple[int, Shape, object]] = []
    for axis, n in enumerate(shape):
        if n == 1:
            continue
        step = tuple(s[axis] for s in strides)
        kind = kinds[axis] if kinds else None
        if dims:
            count, before, other = dims[-1]
            if kind == other and all(b == s * n for b, s in zip(before, step, strict=True)):
                dims[-1] = (count * n, step, kind)
                continue
        dims.append((n, step, kind))
    columns = [tuple(d[1][i] for d in dims) for i in range(len(strides))]
    return tuple(d[0] for d in dims), [*columns, tuple(d[2] for d in dims)]


def copy_into(out: Array, x: Array, **route: object) -> None:
    """``out[...] = x`` for arrays of one shape."""
    shape, (to, of, _) = merged(tuple(x.shape), strides_of(out), strides_of(x))
    if len(shape) > 5:
        for i in range(int(x.shape[0])):
            copy_into(out[i], x[i], **route)
        return
    lead = 5 - len(shape)
    out, x = (view(t, (1,) * lead + shape, (0,) * lead + s) for t, s in ((out, to), (x, of)))
    a, b, c, m, n = x.shape
    copy[lambda meta: (pk.cdiv(n, meta["BN"]) * pk.cdiv(m, meta["BM"]) * a * b * c,)](x, out, **route)


def contiguous(x: Array, order: Sequence[int], **route: object) -> Array:
    """A copy of ``x`` in memory that runs along the axes in ``order``, the last fastest; axes as they were."""
    shape = tuple(x.shape)
    flat = empty(x, (math.prod(shape),), dtype_of("contiguous()", x))
    made = view(flat, shape, row_major(shape, order))
    copy_into(made, x, **route)
    return made


def row_major(shape: Sequence[int], order: Sequence[int]) -> Shape:
    """The strides of memory that runs along the axes in ``order``, the last fastest."""
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = 0 if shape[axis] == 1 else step
        step *= shape[axis]
    return tuple(strides)


# --- reductions ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Folding:
    """A reduction as the kernels take it.

    ``arrays`` are views ``(K0, R0, K1, R1)``; ``result`` is what the kernel fills, ``out`` its view ``(K0, K1)``.
    ``given`` is the caller's output where the kernel cannot write to it.
    """

    arrays: tuple[Array, ...]
    result: Array
    out: Array
    given: Array | None = None
    steps: Shape = ()
    """Strides that lay an array of the result's shape out as row-major (K0, K1)."""

    def twin(self, dtype: pk.DType) -> tuple[Array, Array]:
        """Another output of the result's shape, and its view ``(K0, K1)``."""
        k0, k1 = (int(n) for n in self.out.shape)
        flat = empty(self.result, (k0 * k1,), dtype)
        shape = tuple(int(n) for n in self.result.shape)
        return view(flat, shape, self.steps), view(flat, (k0, k1), (k1, 1))

    def deliver(self, **route: object) -> Array:
        """The output to return, once the kernel has run."""
        if self.given is None:
            return self.result
        copy_into(self.given, self.result, **route)
        return self.given

    @property
    def kept(self) -> int:
        return int(self.arrays[0].shape[0] * self.arrays[0].shape[2])

    @property
    def reduced(self) -> int:
        return int(self.arrays[0].shape[1] * self.arrays[0].shape[3])


def folding(
    arrays: Sequence[Array],
    axes: Sequence[int],
    out: Array | None,
    dtype: pk.DType,
    keepdims: bool,
    where: str,
    *,
    ordered: bool = False,
    side: bool = False,
    **route: object,
) -> Folding:
    """Bring ``arrays``, of one shape, into the form of :class:`Folding`, with an output of ``dtype``.

    ``ordered`` keeps the reduced axes in their order (the index of an element then counts along them). ``side`` puts
    a single reduced axis at R1 even where the kept one is contiguous.
    """
    shape = tuple(int(n) for n in arrays[0].shape)
    final = tuple(1 if i in axes else n for i, n in enumerate(shape))
    kept = tuple(i for i in range(len(shape)) if i not in axes)
    wanted = final if keepdims else tuple(shape[i] for i in kept)
    order = by_stride(arrays[0])
    if ordered:
        rest = iter(sorted(axes))
        order = [next(rest) if i in axes else i for i in order]
    given = out
    if out is None:
        run = [i for i in order if i in kept]
        if run == sorted(run):
            out = empty(arrays[0], wanted, dtype)
        else:
            strides = row_major(final, run)
            flat = empty(arrays[0], (math.prod(final),), dtype)
            out = view(flat, wanted, strides if keepdims else [strides[i] for i in kept])
    else:
        result(where, out, arrays[0], wanted, (dtype,))
    try:
        return _fold(arrays, shape, order, axes, out, keepdims, side)
    except _TooManyAxesError:
        order = [*kept, *axes]
        copies = [contiguous(a, order, **route) for a in arrays]
        found = _fold(copies, shape, order, axes, empty(arrays[0], wanted, dtype), keepdims, side)
        return found if given is None else replace(found, given=given)


class _TooManyAxesError(Exception):
    pass


def _fold(
    arrays: Sequence[Array],
    shape: tuple[int, ...],
    order: Sequence[int],
    axes: Sequence[int],
    out: Array,
    keepdims: bool,
    side: bool,
) -> Folding:
    target = strides_of(out)
    if not keepdims:
        spread = dict(zip((i for i in range(len(shape)) if i not in axes), target, strict=True))
        target = tuple(spread.get(i, 0) for i in range(len(shape)))
    size, step = _four(shape, order, axes, [*(strides_of(a) for a in arrays), target])
    contiguous_kept = step[0][2] == 1 and step[0][3] != 1
    if size[1] == 1 and contiguous_kept and not side:  # a row of kept elements at a time
        size, *step = ((c[0], c[3], c[2], c[1]) for c in (size, *step))
    views = tuple(view(a, size, s) for a, s in zip(arrays, step[:-1], strict=True))
    final = [1 if i in axes else n for i, n in enumerate(shape)]
    laid = row_major(final, [i for i in order if i not in axes])
    laid = laid if keepdims else tuple(s for i, s in enumerate(laid) if i not in axes)
    return Folding(views, out, view(out, (size[0], size[2]), (step[-1][0], step[-1][2])), steps=laid)


def _four(
    shape: Shape, order: Sequence[int], axes: Sequence[int], steps: Sequence[Shape]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Shape and strides ``(K0, R0, K1, R1)``. Raises ``_TooManyAxesError``.

    Dimensions may stand between two that would merge: kept ones are brought together, and so are reduced ones.
    """
    groups = []
    for reduced in (False, True):
        pick = [i for i in order if (i in axes) == reduced]
        columns = [tuple(s[i] for i in pick) for s in steps]
        sizes, (*found, _) = merged([shape[i] for i in pick], *columns)
        if len(sizes) > 2:
            raise _TooManyAxesError
        lead = 2 - len(sizes)
        groups.append([(1,) * lead + sizes, *((0,) * lead + s for s in found)])
    size, *step = ((k[0], r[0], k[1], r[1]) for k, r in zip(*groups, strict=True))
    return size, step


def by_stride(x: Array) -> list[int]:
    """The axes of ``x`` from the outermost in memory to the innermost; repeated ones first."""
    steps = strides_of(x)
    return sorted(range(len(steps)), key=lambda i: -abs(steps[i]) if steps[i] else -math.inf)


@dataclass(frozen=True, slots=True)
class Rows:
    """Arrays of one shape as ``(K0, R0, K1, R1)``; ``order`` is that of the axes in memory."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    shape: Shape
    axes: tuple[int, ...]
    order: tuple[int, ...]
    copies: tuple[tuple[Array, Array], ...] = ()

    @property
    def kept(self) -> tuple[int, int]:
        """K0 and K1."""
        return int(self.inputs[0].shape[0]), int(self.inputs[0].shape[2])

    @property
    def is_empty(self) -> bool:
        return 0 in self.shape

    def per_row(self, dtype: pk.DType) -> tuple[Array, Array]:
        """A new array ``(K0, K1)``, and the view of it that repeats its values to the whole shape."""
        k0, k1 = self.kept
        made = empty(self.inputs[0], (k0, k1), dtype)
        final = [1 if i in self.axes else n for i, n in enumerate(self.shape)]
        steps = row_major(final, [i for i in self.order if i not in self.axes])
        return made, view(made, self.shape, steps)

    def deliver(self, **route: object) -> None:
        """Bring to the caller's outputs what a kernel could not write there."""
        for out, made in self.copies:
            copy_into(out, made, **route)


def rows(inputs: Sequence[Array], outputs: Sequence[Array], axes: Sequence[int], **route: object) -> Rows:
    """Inputs and outputs of one shape for kernels over ``(K0, R0, K1, R1)``; those broadcast have strides of 0.

    Where memory does not merge into two kept and two reduced axes, inputs are copied, and outputs at the end.
    """
    shape, axes = tuple(int(n) for n in inputs[0].shape), tuple(axes)
    order = by_stride(inputs[0])
    copies: tuple[tuple[Array, Array], ...] = ()
    arrays = [*inputs, *outputs]
    try:
        size, steps = _four(shape, order, axes, [strides_of(a) for a in arrays])
    except _TooManyAxesError:
        order = [*(i for i in range(len(shape)) if i not in axes), *axes]
        made = [
            view(empty(o, (math.prod(shape),), dtype_of("rows()", o)), shape, row_major(shape, order)) for o in outputs
        ]
        copies = tuple(zip(outputs, made, strict=True))
        arrays = [*(contiguous(a, order, **route) for a in inputs), *made]
        size, steps = _four(shape, order, axes, [strides_of(a) for a in arrays])
    views = tuple(view(a, size, s) for a, s in zip(arrays, steps, strict=True))
    return Rows(views[: len(inputs)], views[len(inputs) :], shape, axes, tuple(order), copies)


def lines(arrays: Sequence[Array], axis: int) -> tuple[Array, ...] | None:
    """Views ``(K0, K1, N)`` of arrays that may differ in their length N along ``axis``; None where a copy is needed."""
    shape = tuple(int(n) for n in arrays[0].shape)
    order = by_stride(arrays[0])
    try:
        size, steps = _four(shape, order, (axis,), [strides_of(a) for a in arrays])
    except _TooManyAxesError:
        return None
    own = [strides_of(a)[axis] for a in arrays]
    return tuple(
        view(a, (size[0], size[2], int(a.shape[axis])), (s[0], s[2], n))
        for a, s, n in zip(arrays, steps, own, strict=True)
    )
