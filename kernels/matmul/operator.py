"""``matmul``: checks, views, the choice of a kernel, the launch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import portkernel as pk
from portkernel.dtypes import bool_, dot_accumulator, float16, float32, int8, int32, promote
from portkernel.errors import ArgumentDTypeError, ArgumentError, ArgumentShapeError, ArgumentTypeError, DTypeError

from .. import arrays
from ..activations import NAMES
from ..arrays import Shape, View
from ..programs import LIMIT
from . import sizes
from .blocked import combine_kernel, matmul_kernel
from .fused import NOTHING, Fused
from .thin import columns_kernel, rows_kernel

THIN = 1
"""Up to so many rows or columns, a product is computed as so many matrix-vector products."""
SKINNY = 16
"""Up to so many rows or columns, the other operand is read in the order in which it lies in memory."""
PRECISIONS = ("ieee", "tf32")


def matmul(
    a: Any, b: Any, out: Any = None, *, alpha: float = 1, beta: float = 0, scale: Any = None, bias: Any = None,
    residual: Any = None, activation: str | Callable[[Any], Any] = "none", dtype: pk.DType | None = None,
    precision: str = "ieee", splits: int | None = None, backend: str | None = None, device: str | None = None,
) -> Any:  # fmt: skip
    """``activation(alpha·(a @ b)·scale + beta·out + bias + residual)``; with a and b alone, NumPy's ``matmul``.

    a ``(…, M, K)`` or ``(K,)``, b ``(…, K, N)`` or ``(K,)``, any strides; leading axes broadcast, and an axis that a
    vector lacks is missing from the result. scale, bias and residual broadcast to the result; with ``beta``, ``out`` is read.
    ``activation`` is a name (none, relu, gelu, gelu_tanh, silu, sigmoid, tanh) or a function of a tile in the
    accumulator's dtype, applied element by element inside the kernel. The result has the type of a.

    dtypes: operands of different dtypes are promoted (8-bit floats to float16), bool becomes int8. Products accumulate
    in float64, float32 (float16, bfloat16 and float8 too), int32 (integers up to 32 bits, wrapping) or int64. The result
    has the operands' dtype; float32 for 8-bit floats, int32 for integers under 32 bits, bool (whether a sum is not 0)
    for bools; ``dtype`` or ``out`` may name another one. Integer products meet real operands, activations or results in float32.
    float32 products are IEEE; ``precision="tf32"`` rounds the operands to 10 fraction bits.

    ``splits`` cuts the depth into so many sums (K at most), added in a fixed order; by default where the result is small and the
    depth is large. Error: γ(K + splits + 5)·(|alpha|·(|a| @ |b|)·|scale| + |beta·out| + |bias| + |residual|), carried through
    the activation, then one rounding (Higham 2002, section 3.1); exact for integers.
    Raises ArgumentTypeError, ArgumentDTypeError, ArgumentShapeError, ArgumentError.
    """
    shared, natural = _dtypes(a, b)
    if precision not in PRECISIONS:
        raise ArgumentError(f"matmul(): precision: expected one of {PRECISIONS}, got {precision!r}")
    if not isinstance(activation, str) and not callable(activation):
        raise ArgumentTypeError(f"matmul(): activation: expected a name or a function, got {activation!r}")
    if isinstance(activation, str) and activation not in NAMES:
        raise ArgumentError(f"matmul(): activation: expected one of {NAMES} or a function, got {activation!r}")
    for name, factor in (("alpha", alpha), ("beta", beta)):
        arrays.number(f"matmul(): {name}", factor)
    if splits is not None and arrays.integer("matmul(): splits", splits) < 1:
        raise ArgumentError(f"matmul(): splits: expected at least 1, got {splits}")
    if beta != 0 and out is None:
        raise ArgumentError("matmul(): out: expected an array for beta to multiply, got none")
    shape = _shape(tuple(a.shape), tuple(b.shape))
    extra = {"scale": scale, "bias": bias, "residual": residual}
    given = {name: x for name, x in extra.items() if x is not None}
    real = _is_real(shared, given, (alpha, beta), activation)
    out = _result(out, a, shape, natural, dtype, real)
    real = real or (natural.is_integer and pk.dtypes.as_dtype(out.dtype).is_float)
    operands = {name: _operand(name, x, shape) for name, x in given.items()}
    vectors = (len(a.shape) == 1, len(b.shape) == 1)
    problem = Product(
        a=arrays.view(a).insert(0) if vectors[0] else arrays.view(a),
        b=arrays.view(b).insert(1) if vectors[1] else arrays.view(b),
        out=_matrix(arrays.view(out), vectors),
        operands={name: _matrix(x, vectors) for name, x in operands.items()},
        fused=Fused(alpha != 1, beta != 0, activation=activation, real=real and natural.is_integer),
        alpha=float(alpha) if real else int(alpha),
        beta=float(beta) if real else int(beta),
        dtype=shared if _differ(a, b, shared) else None,
        accumulator=dot_accumulator(shared),
        precision=precision if shared == float32 else "ieee",
        splits=splits,
        options={"backend": backend, "device": device},
    )
    if 0 not in shape:
        launch(problem)
    return out


# --- checks -------------------------------------------------------------------------------------------------


def _dtypes(a: Any, b: Any) -> tuple[pk.DType, pk.DType]:
    """The dtype that both operands are multiplied in, and the dtype of the result if nothing else is asked for."""
    x, y = arrays.dtype_of("matmul(): a", a), arrays.dtype_of("matmul(): b", b)
    if x == y:
        shared = x
    else:
        try:
            shared = promote(*(float16 if d.is_storage_only else d for d in (x, y)))
        except DTypeError as e:
            raise ArgumentDTypeError(f"matmul(): b: expected a dtype to combine with {x}, got {y}", hint=e.hint) from e
    if shared == bool_:
        return int8, bool_
    if x.is_storage_only and y.is_storage_only:
        return shared, float32
    return shared, int32 if shared.is_integer and shared.bits < 32 else shared


def _differ(a: Any, b: Any, shared: pk.DType) -> bool:
    return any(pk.dtypes.as_dtype(x.dtype) != shared for x in (a, b))


def _shape(a: Shape, b: Shape) -> Shape:
    """The shape of NumPy's ``matmul``."""
    for name, shape in (("a", a), ("b", b)):
        if not shape:
            raise ArgumentShapeError(f"matmul(): {name}: expected at least 1 dimension, got 0", hint="use a * b")
    depth = b[-2] if len(b) > 1 else b[0]
    if a[-1] != depth:
        raise ArgumentShapeError(f"matmul(): b: expected {a[-1]} rows for a of shape {a}, got shape {b}")
    batch = arrays.broadcast_shapes("matmul(): b", a[:-2], b[:-2])
    return (*batch, *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))


def _is_real(shared: pk.DType, given: dict[str, Any], factors: tuple[float, float], activation: object) -> bool:
    """Whether what happens to the sums needs real numbers."""
    kinds = [arrays.dtype_of(f"matmul(): {name}", x) for name, x in given.items()]
    return (
        shared.is_float
        or any(k.is_float for k in kinds)
        or any(isinstance(f, float) and not f.is_integer() for f in factors)
        or activation not in ("none", "relu")
    )


def _result(out: Any, a: Any, shape: Shape, natural: pk.DType, dtype: pk.DType | None, real: bool) -> Any:
    wanted = natural if dtype is None else arrays.named_dtype("matmul(): dtype", dtype)
    if dtype is None and real and not natural.is_float:
        wanted = float32
    kinds = [d for d in pk.dtypes.ALL if d.is_float or not real]
    if wanted not in kinds:
        raise ArgumentDTypeError(f"matmul(): dtype: expected a float for a real result, got {wanted}")
    allowed = [wanted] if dtype is not None else [wanted, *(d for d in kinds if d != wanted)]
    return arrays.result("matmul()", out, a, shape, allowed)


def _operand(name: str, x: Any, shape: Shape) -> View:
    """``x`` along the result's axes, of length 1 where it does not vary along the last two; never longer than them."""
    found = arrays.view(x)
    if len(found.shape) > len(shape) or any(
        n not in (1, m) for n, m in zip(found.shape[::-1], shape[::-1], strict=False)
    ):
        raise ArgumentShapeError(
            f"matmul(): {name}: expected a shape that broadcasts to {shape}, got {tuple(found.shape)}"
        )
    while found.ndim < len(shape):
        found = found.insert(0)
    return found


def _matrix(x: View, vectors: tuple[bool, bool]) -> View:
    """The view with the axes that vectors among the operands took away."""
    if vectors[1]:
        x = x.insert(-1)
    return x.insert(-2) if vectors[0] else x


# --- the problem as kernels see it --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Product:
    """A product with matrices in the last two axes. ``operands`` are scale, bias and residual, those that there are."""

    a: View
    b: View
    out: View
    operands: dict[str, View]
    fused: Fused
    alpha: float
    beta: float
    dtype: pk.DType | None
    accumulator: pk.DType
    precision: str
    splits: int | None
    options: dict[str, str | None]

    def transposed(self) -> Product:
        """``bᵀ @ aᵀ = outᵀ``."""
        swapped = {name: x.swap() for name, x in self.operands.items()}
        return replace(self, a=self.b.swap(), b=self.a.swap(), out=self.out.swap(), operands=swapped)

    def over(self, change: Callable[[View], View]) -> Product:
        """Every view changed alike."""
        return replace(
            self,
            a=change(self.a),
            b=change(self.b),
            out=change(self.out),
            operands={name: change(x) for name, x in self.operands.items()},
        )


def launch(p: Product) -> None:
    """Leading axes merged to two at most (what does not merge is looped over here), then the kernel for the shape."""
    batch = p.out.shape[:-2]
    if not batch:
        _launch_one(p)
        return
    p = p.over(lambda v: v.broadcast((*batch, *v.shape[-2:])))
    for axis in reversed(range(len(batch))):
        if p.out.shape[axis] == 1:
            p = p.over(lambda v, axis=axis: v.drop(axis))  # type: ignore[misc]
    axis = p.out.ndim - 4
    while axis >= 0:
        views = arrays.merge(axis, axis + 2, p.a, p.b, p.out, *p.operands.values())
        if views is not None:
            a, b, out, *rest = views
            p = replace(p, a=a, b=b, out=out, operands=dict(zip(p.operands, rest, strict=True)))
        axis -= 1
    if p.out.ndim > 4:
        for index in range(p.out.shape[0]):
            launch(p.over(lambda v, index=index: arrays.view(v.array()[index])))  # type: ignore[misc]
        return
    _launch_one(p)


def _launch_one(p: Product) -> None:
    thin = p.precision == "ieee" and min(p.out.shape[-2:]) <= THIN
    columns = False
    if min(p.out.shape[-2:]) <= SKINNY:
        if p.out.shape[-2] < p.out.shape[-1]:
            p = p.transposed()  # now a is the large operand
        columns = p.a.strides[-2] == 1 and p.a.strides[-1] != 1
        if columns:
            p = p.transposed()
    (m, n), depth = p.out.shape[-2:], p.a.shape[-1]
    matrices = math.prod(p.out.shape[:-2])
    a, b, out = p.a.array(), p.b.array(), p.out.array()
    target = pk.target_of(a, **p.options)
    splits = min(p.splits, max(depth, 1)) if p.splits else sizes.parts(m, n, depth, matrices, thin)
    if thin and columns and not p.splits:
        splits = max(splits, sizes.row_parts(target, n, depth, matrices))
    axes = {
        name: ("m" if x.shape[-2] > 1 or m == 1 else "") + ("n" if x.shape[-1] > 1 or n == 1 else "")
        for name, x in p.operands.items()
    }
    fused = replace(p.fused, **axes) if axes else p.fused
    rest = tuple(p.operands[name].array() if name in p.operands else a for name in ("scale", "bias", "residual"))
    first, stage = (out, fused) if splits == 1 else (_workspace(p, splits), NOTHING)
    constants: dict[str, Any] = {"FUSED": stage, "DTYPE": p.dtype, "SPLITS": splits, **p.options}
    operands = rest if splits == 1 else (a, a, a)
    numbers = (p.alpha, p.beta)
    if not thin:
        grid, folded = _blocks(matrices * splits, m, n)
        matmul_kernel[grid](a, b, *operands, first, *numbers, PRECISION=p.precision, FOLDED=folded, **constants)
    elif columns:
        constants |= sizes.columns(target, n, matrices * splits) if splits > 1 else {}
        grid = lambda meta: (matrices * splits * pk.cdiv(n, meta["BN"]),)  # noqa: E731
        columns_kernel[grid](a, b, *operands, first, *numbers, M=m, **constants)
    else:
        constants |= sizes.rows(target, m, depth, matrices * splits, p.accumulator.itemsize)
        grid = lambda meta: (matrices * splits * pk.cdiv(m, meta["BM"] * meta["LINES"]),)  # noqa: E731
        rows_kernel[grid](a, p.b.swap().array(), *operands, first, *numbers, N=n, **constants)
    if splits > 1:
        rest = tuple(
            p.operands[name].array() if name in p.operands else first for name in ("scale", "bias", "residual")
        )
        grid, folded = _blocks(matrices, m, n)
        combine_kernel[grid](first, *rest, out, *numbers, FUSED=fused, FOLDED=folded, **p.options)


def _blocks(matrices: int, m: int, n: int) -> tuple[Callable[[dict[str, int]], tuple[int, ...]], bool]:
    """The grid of blocks, and whether it has one axis: where there are more columns than programs along a second one."""
    if n > LIMIT:
        return lambda meta: (matrices * pk.cdiv(m, meta["BM"]) * pk.cdiv(n, meta["BN"]),), True
    return lambda meta: (matrices * pk.cdiv(m, meta["BM"]), pk.cdiv(n, meta["BN"])), False


def _workspace(p: Product, splits: int) -> Any:
    return arrays.empty(p.out.base, (splits, *p.out.shape), p.accumulator)
