"""Products of tiles."""

from __future__ import annotations

from ..dtypes import dot_accumulator
from ..errors import CallError, DTypeError, ShapeError
from ..ir import Dot
from .op import op
from .values import TileValue, as_tile, builder

PRECISIONS = ("ieee", "tf32")


@op
def dot(a: TileValue, b: TileValue, acc: TileValue, precision: str = "ieee") -> TileValue:
    """``acc + a @ b`` for tiles ``(M, K)``, ``(K, N)`` and ``(M, N)``, or all three with one batch dimension in front.

    ``acc`` is required, so that the accumulator's dtype is in the text: float32 for float16, bfloat16, float8 and
    float32; float64 for float64; int32 for integers up to 32 bits (wrapping), int64 above. float32 products are
    IEEE float32 unless ``precision="tf32"`` asks for operands rounded to 10 fraction bits.
    Error: at most γ(K)·(|a| @ |b|), γ(n) = n·u/(1 − n·u), u the accumulator's unit roundoff (Higham 2002, section 3.1).
    """
    a, b, acc = as_tile(a, "dot(): a"), as_tile(b, "dot(): b"), as_tile(acc, "dot(): acc")
    if precision not in PRECISIONS:
        raise CallError(f"dot(): precision: expected one of {PRECISIONS}, got {precision!r}")
    if a.ndim not in (2, 3) or b.ndim != a.ndim:
        raise ShapeError(f"dot(): b: expected two tiles of rank 2, or of rank 3, got {a.shape} and {b.shape}")
    if a.shape[-1] != b.shape[-2] or a.shape[:-2] != b.shape[:-2]:
        raise ShapeError(
            f"dot(): b: expected {(*a.shape[:-2], a.shape[-1])} rows for a of shape {a.shape}, got {b.shape}"
        )
    if a.dtype != b.dtype:
        raise DTypeError(
            f"dot(): b: expected {a.dtype} like a, got {b.dtype}", hint="convert one of them with astype()"
        )
    if a.dtype.is_bool:
        raise DTypeError("dot(): a: expected a number, got bool", hint="convert it: a.astype(pk.int8)")
    wanted = dot_accumulator(a.dtype)
    if acc.shape != (*a.shape[:-1], b.shape[-1]):
        raise ShapeError(f"dot(): acc: expected shape {(*a.shape[:-1], b.shape[-1])}, got {acc.shape}")
    if acc.dtype != wanted:
        raise DTypeError(f"dot(): acc: expected {wanted} for operands of {a.dtype}, got {acc.dtype}")
    made = builder().emit(Dot, (acc.type,), precision=precision, a=a.value, b=b.value, acc=acc.value)
    return TileValue(made.result)
