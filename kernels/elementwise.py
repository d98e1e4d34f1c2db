"""Elementwise functions of any arrays, in one pass over memory: a user's own function becomes one kernel."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from functools import reduce
from types import FunctionType
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, rounding, sample, unit_roundoff
from portkernel.errors import ArgumentDTypeError, ArgumentShapeError, ArgumentTypeError, DTypeError, PortkernelError

from .activations import activate
from .arrays import broadcast_shapes, dtype_of, empty, named_dtype, result, strides_of
from .axes import broadcast, merged, row_major, view
from .programs import tile_of

Array = Any
RANK = 5
KEPT = 1024
"""Kernels kept; beyond it all are forgotten and made anew."""

_TEXT = """
@pk.kernel(name=NAME)
def chain({params}, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(1, 4096)):
    a, i, j = tile_of(out, BM, BN)
    lead = (a // (out.shape[1] * out.shape[2]), a // out.shape[2] % out.shape[1], a % out.shape[2])
    at = (*lead, i, j)
    y = FN({values})
    pk.store(out, at, pk.broadcast_to(pk.astype(y, out.dtype), (1, 1, 1, BM, BN)))
"""


def working(dtype: pk.DType) -> pk.DType:
    """What an element is computed in: 16-bit and 8-bit floats in float32, rounded once at the end."""
    return pk.float32 if dtype.is_float and dtype.bits < 32 else dtype


def chain_kernel(
    fn: Callable[..., Any], given: tuple[pk.DType | None, ...], inside: frozenset[int] = frozenset()
) -> pk.Kernel:
    """The kernel that stores ``fn(x0, x1, …)``; an argument is an array, or a scalar of the dtype ``given``.

    All arrays have five dimensions and the shape of out. The arguments numbered in ``inside`` are out itself.
    """
    params = [f"x{i}" for i in range(len(given)) if i not in inside]
    scope: dict[str, object] = {
        "FN": fn,
        "working": working,
        "tile_of": tile_of,
        "NAME": getattr(fn, "__name__", "chain").strip("<>"),
    }
    values = []
    for i, dtype in enumerate(given):
        if dtype is None:
            name = "out" if i in inside else f"x{i}"
            values.append(f"pk.load({name}, at, (1, 1, 1, BM, BN)).astype(working({name}.dtype))")
        else:
            scope[f"T{i}"] = dtype
            values.append(f"pk.astype(x{i}, T{i})")
    text = _TEXT.format(params=", ".join([*params, "out"]), values=", ".join(values))
    return pk.kernel_from_source(text, "chain", scope)


_kernels: dict[object, pk.Kernel] = {}
_results: dict[object, pk.DType] = {}


def _globals_key(fn: Callable[..., Any]) -> object:
    """The numbers, dtypes and functions that the globals named in ``fn`` are now: the dtype of its result hangs on them."""
    if not isinstance(fn, FunctionType):
        return None
    named = [fn.__globals__.get(name) for name in fn.__code__.co_names]
    plain = tuple([pk.constant_key(x) for x in named if isinstance(x, (int, float, np.generic, pk.DType))])
    return plain, tuple([x for x in named if isinstance(x, FunctionType)])


def _result_dtype(key: object, fn: Callable[..., Any], dtypes: tuple[pk.DType, ...]) -> pk.DType:
    """The dtype of ``fn`` of elements of ``dtypes``, by one evaluation of it on ones."""
    kept = (key, _globals_key(fn), dtypes)
    found = _results.get(kept)
    if found is None:
        seen: list[pk.DType] = []

        def record(y):
            if not hasattr(y, "dtype"):
                raise ArgumentTypeError(f"elementwise(): fn: expected a function that gives a tile, got {y!r}")
            seen.append(y.dtype)

        names = ", ".join(f"x{i}" for i in range(len(dtypes)))
        loads = ", ".join(f"pk.load(x{i}, (0,), (1,))" for i in range(len(dtypes)))
        text = f"@pk.kernel\ndef probe({names}):\n    RECORD(FN({loads}))\n"
        kernel = pk.kernel_from_source(text, "probe", {"FN": fn, "RECORD": record})
        try:
            kernel.eager[(1,)](*(np.ones(1, d.np) for d in dtypes))
        except PortkernelError:
            raise
        except Exception:
            # What is no function of tiles is told by the front end, which says where in ``fn``; the rest is the caller's.
            lowered = pk.kernel_from_source(text.replace("RECORD", ""), "probe", {"FN": fn})
            lowered.ir(*(pk.TensorSpec(1, d) for d in dtypes))
            raise
        found = _results[kept] = seen[0]
    return found


def elementwise(
    fn: Callable[..., Any],
    *arrays: Any,
    out: Array | None = None,
    dtype: Any = None,
    backend: str | None = None,
    device: str | None = None,
) -> Array:
    """``fn`` of every element of the arrays, broadcast as NumPy does; ``fn`` is a function of tiles, inlined.

    ``elementwise(lambda x, y: x * pk.sigmoid(x) * y, gate, up)`` is one kernel and one pass over memory. Arrays of any
    rank up to 5 (more where memory merges them) and any strides, or Python scalars, which take the arrays' dtype.
    float16 and bfloat16 are computed in float32 and rounded once. The result has the dtype that ``fn`` gives, narrowed
    to the arrays' own 16 bits, or is cast to ``dtype``. ``out`` may be one or more of the arrays. The kernel is kept for the next call.
    Error: what the operators of ``fn`` state, then one rounding.
    """
    return applied("elementwise()", (), fn, arrays, {"backend": backend, "device": device}, out=out, dtype=dtype)


def applied(
    where: str,
    names: tuple[str, ...],
    fn: Callable[..., Any],
    arrays: tuple[Any, ...],
    route: dict[str, Any],
    *,
    out: Array | None = None,
    dtype: Any = None,
) -> Array:
    """``elementwise``, for a function that calls itself ``where`` and its arguments ``names`` (numbers without any)."""
    names = names or tuple([f"argument {i}" for i in range(len(arrays))])
    real = [(i, x) for i, x in enumerate(arrays) if hasattr(x, "shape") and not isinstance(x, np.generic)]
    if not real:
        for i, x in enumerate(arrays):
            _scalar_dtype(
                f"{where}: {names[i]}", x, pk.float32
            )  # what is no scalar either, such as a list, is told by its name
        raise ArgumentTypeError(
            f"{where}: {', '.join(names) or 'arrays'}: expected at least one array, got scalars",
            hint="pass numpy.asarray(x)",
        )
    own = {i: dtype_of(f"{where}: {names[i]}", x) for i, x in real}
    shape = broadcast_shapes(f"{where}: {', '.join(names)}", *(tuple(int(n) for n in x.shape) for _, x in real))
    _check_function(where, fn, len(arrays))
    common = _promoted(where, own.values())
    given = tuple(None if i in own else _scalar_dtype(f"{where}: {names[i]}", x, common) for i, x in enumerate(arrays))
    key = pk.constant_key(fn)
    types = tuple(working(own[i]) if g is None else g for i, g in enumerate(given))
    if dtype is not None:
        stored = named_dtype(f"{where}: dtype", dtype)
    else:
        stored = _result_dtype(key, fn, types)
        floats = [d for d in own.values() if d.is_float]
        if stored == pk.float32 and floats and all(d.bits < 32 for d in floats):
            narrow = _promoted(where, floats)
            stored = narrow if not narrow.is_storage_only else stored
    spread = [broadcast(x, shape, where) for _, x in real]
    out, order = _output(out, spread, shape, stored, where)
    inside = frozenset(i for (i, _), x in zip(real, spread, strict=True) if _same(x, out))
    kept = (key, given, inside)
    kernel = _kernels.get(kept)
    if kernel is None:
        if len(_kernels) >= KEPT:
            _kernels.clear()
            _results.clear()
        kernel = _kernels[kept] = chain_kernel(fn, given, inside)
    if 0 in shape:
        return out
    *views, target = _collapsed([*spread, out], shape, order, where)
    supply = iter(views)
    args = [
        next(supply) if g is None else _scalar(x, g) for x, g in zip(arrays, given, strict=True)
    ]  # one view for each array, in order
    launch_args = [a for i, a in enumerate(args) if i not in inside]
    a0, a1, a2, m, n = (int(k) for k in target.shape)
    kernel[lambda meta: (pk.cdiv(n, meta["BN"]) * pk.cdiv(m, meta["BM"]) * a0 * a1 * a2,)](
        *launch_args, target, **route
    )
    return out


def _check_function(where: str, fn: Any, count: int) -> None:
    code = getattr(fn, "__code__", None)
    if code is not None and code.co_argcount == count:
        return  # what most are
    if not callable(fn):
        raise ArgumentTypeError(f"{where}: fn: expected a function, got {type(fn).__name__}")
    try:
        inspect.signature(fn).bind(*[None] * count)
    except TypeError as e:
        raise ArgumentTypeError(f"{where}: fn: expected a function of {count} arguments, got one with {e}") from None
    except ValueError:  # one that does not say what it takes
        return


def _promoted(where: str, dtypes: Iterable[pk.DType]) -> pk.DType:
    try:
        return reduce(_promote, dtypes)
    except DTypeError as e:
        raise ArgumentDTypeError(f"{where}: arrays: expected dtypes that combine: {e.message}") from None


def _promote(a: pk.DType, b: pk.DType) -> pk.DType:
    try:
        return pk.dtypes.promote(a, b)
    except DTypeError:
        if a.is_storage_only or b.is_storage_only:
            return pk.float32
        raise


def _scalar_dtype(where: str, x: Any, common: pk.DType) -> pk.DType:
    if isinstance(x, np.generic):
        return dtype_of(where, x.reshape(1))
    if not isinstance(x, (bool, int, float)):
        raise ArgumentTypeError(
            f"{where}: expected an array or a scalar, got {type(x).__name__}", hint="pass numpy.asarray(x)"
        )
    try:
        return pk.dtypes.weak_dtype(x, working(common))
    except DTypeError as e:
        message = e.message.removeprefix("constant: ")
        raise ArgumentDTypeError(f"{where}: {message}", hint="cast the arrays to a wider type with astype()") from None


def _scalar(x: Any, dtype: pk.DType) -> Any:
    """A scalar as it is handed over: float64's bits need saying, the rest is cast in the kernel."""
    if isinstance(x, np.generic):
        return x if dtype.bits > 16 or not dtype.is_float else float(x)
    return np.float64(x) if dtype == pk.float64 else x


def _same(a: Array, b: Array) -> bool:
    """True where two arrays are the same elements at the same places."""
    if a is b:
        return True
    if tuple(a.shape) != tuple(b.shape) or strides_of(a) != strides_of(b) or a.dtype != b.dtype:
        return False
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.__array_interface__["data"][0] == b.__array_interface__["data"][0] and a.size > 0
    if hasattr(a, "data_ptr") and hasattr(b, "data_ptr"):
        return a.data_ptr() == b.data_ptr() and a.numel() > 0
    return False


def _output(out: Array | None, arrays: list[Array], shape: tuple[int, ...], dtype: pk.DType, where: str):
    """The output, and the order of axes in which its memory runs: the first array's, as in NumPy."""
    if out is not None:
        result(where, out, arrays[0], shape, (dtype,))
        steps = strides_of(out)
        return out, sorted(range(len(shape)), key=lambda i: -abs(steps[i]))
    like = next((a for a in arrays if 0 not in strides_of(a) or len(shape) < 2), arrays[0])
    steps = strides_of(like)
    order = sorted(range(len(shape)), key=lambda i: -abs(steps[i]))
    if 0 in steps or order == sorted(order):
        return empty(arrays[0], shape, dtype), list(range(len(shape)))
    flat = empty(arrays[0], (math.prod(shape),), dtype)
    return view(flat, shape, row_major(shape, order)), order


def _collapsed(arrays: list[Array], shape: tuple[int, ...], order: list[int], where: str) -> list[Array]:
    """All of them in five dimensions, the axes in ``order`` and merged where memory allows."""
    steps = [tuple(strides_of(a)[i] for i in order) for a in arrays]
    size, (*steps, _) = merged([shape[i] for i in order], *steps)
    lead = RANK - len(size)
    if lead < 0:
        raise ArgumentShapeError(
            f"{where}: arrays: expected at most {RANK} runs of memory, got {len(size)} dimensions", hint="copy first"
        )
    return [view(a, (1,) * lead + size, (0,) * lead + s) for a, s in zip(arrays, steps, strict=True)]


# --- a chain with its bound: an entry of the catalogue ------------------------------------------------------


def gelu(x):
    """x·Φ(x), Φ the normal distribution function (Hendrycks and Gimpel 2016), by erf."""
    return activate(x, "gelu")


@pk.kernel
def scale_shift_gelu(
    x,
    scale,
    bias,
    residual,
    out,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(32, 4096),
):
    """``out = gelu(x * scale[None, :] + bias[None, :]) + residual`` for x, residual and out ``(M, N)``, any strides.

    Broadcasting arrays have strides of 0. float16 and bfloat16 are computed in float32 and rounded once.
    Error before the last rounding: 24 ulp of |x·scale| + |bias| (erf's 16, gelu's slope 1.13), u·|residual|.
    """
    _, i, j = tile_of(out, BM, BN)
    wide = working(x.dtype)
    factor = pk.load(scale, (j,), (BN,)).astype(wide)
    shift = pk.load(bias, (j,), (BN,)).astype(wide)
    y = gelu(pk.load(x, (i, j), (BM, BN)).astype(wide) * factor[None, :] + shift[None, :])
    y = y + pk.load(residual, (i, j), (BM, BN)).astype(wide)
    pk.store(out, (i, j), y.astype(out.dtype))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _case(m: int, n: int, layout: str = ""):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x, residual = sample(rng, (m, n), dtype), sample(rng, (m, n), dtype)
        scale, bias = sample(rng, (n,), dtype), sample(rng, (n,), dtype)
        if layout == "broadcast":
            x = np.broadcast_to(sample(rng, (m, 1), dtype), (m, n))
            residual = np.broadcast_to(sample(rng, (n,), dtype), (m, n))
            scale = np.broadcast_to(sample(rng, (1,), dtype), (n,))
        elif layout == "strided":
            x, residual = sample(rng, (n, m), dtype).T[::-1], sample(rng, (2 * m, n), dtype)[::2, ::-1]

        def linear():
            return exact(x) * exact(scale) + exact(bias)

        def reference():
            y = linear()
            return {"out": y * 0.5 * (1 + _erf(y / math.sqrt(2))) + exact(residual)}

        def bound():
            size = np.abs(exact(x) * exact(scale)) + np.abs(exact(bias))
            u = unit_roundoff(working(dtype))
            return {"out": u * (48 * size + 2 * np.abs(exact(residual))) + rounding(reference()["out"], dtype)}

        return Problem(
            args={"x": x, "scale": scale, "bias": bias, "residual": residual, "out": poison((m, n), dtype)},
            grid=lambda meta: (pk.cdiv(m, meta["BM"]) * pk.cdiv(n, meta["BN"]),),
            reference=reference,
            bound=bound,
        )

    return make


def layouts(case: Callable[..., Any]) -> tuple[Case, ...]:
    """Cases of two dimensions, made by ``case(m, n, layout)``."""
    return (
        Case("500×700", case(500, 700)),
        Case("1×1", case(1, 1)),
        Case("37×129, broadcast", case(37, 129, "broadcast")),
        Case("53×101, strided", case(53, 101, "strided")),
    )


ENTRIES = (
    Entry("scale_shift_gelu", scale_shift_gelu, (pk.float32, pk.float64, pk.float16, pk.bfloat16), layouts(_case)),
)
