"""Operations that compute values from values alone: elementwise, shape, dot. ``(programs or 1, *tile shape)`` each."""

from __future__ import annotations

import numpy as np

from ...dtypes import DType
from ...errors import InternalError
from ...ir import (
    Arange,
    Binary,
    Bitcast,
    BroadcastTo,
    Cast,
    Concat,
    Const,
    Dot,
    Extract,
    Full,
    Op,
    Permute,
    Reshape,
    Select,
    Unary,
)
from ...lang import evaluate
from ...lang.functions import Array


def compute(op: Op, xs: tuple[Array, ...]) -> Array:
    """The result of a pure operation, given its operands. A program axis of 1 stands for all programs alike."""
    tile = op.result.tile
    match op:
        case Const(value=value):
            return evaluate.constant(value, tile.dtype)
        case Arange(start=start):
            return np.arange(start, start + tile.size, dtype=np.int64).astype(np.int32)[None]
        case Unary(fn=fn, x=x):
            return evaluate.unary(fn, xs[0], x.tile.dtype, tile.dtype)
        case Binary(fn=fn, x=x):
            return evaluate.binary(fn, xs[0], xs[1], x.tile.dtype, tile.dtype)
        case Select():
            return np.where(*xs)
        case Cast(x=x):
            return evaluate.convert(xs[0], x.tile.dtype, tile.dtype)
        case Bitcast():
            return xs[0].view(tile.dtype.np)
        case Dot(precision=precision, a=a):
            return _dot(precision, a.tile.dtype, *xs)
        case _:
            return _arrange(op, xs, tile.shape)


def _arrange(op: Op, xs: tuple[Array, ...], shape: tuple[int, ...]) -> Array:
    x = xs[0]
    match op:
        case Full():
            return np.broadcast_to(x.reshape((len(x),) + (1,) * len(shape)), (len(x), *shape))
        case Reshape():
            return x.reshape((len(x), *shape))
        case Permute(axes=axes):
            return x.transpose((0, *(a + 1 for a in axes)))
        case BroadcastTo():
            return np.broadcast_to(x, (len(x), *shape))
        case Concat(axis=axis):
            lead = max(len(part) for part in xs)
            return np.concatenate([np.broadcast_to(part, (lead, *part.shape[1:])) for part in xs], axis + 1)
        case Extract(offsets=offsets):
            return x[(slice(None), *(slice(o, o + n) for o, n in zip(offsets, shape, strict=True)))]
        case _:
            raise InternalError(f"the NumPy backend does not know {type(op).__name__}", loc=op.loc)


def _dot(precision: str, dtype: DType, a: Array, b: Array, acc: Array) -> Array:
    if not dtype.is_float:
        wrapped: Array = np.add(acc, _integer_product(dtype, a, b).astype(acc.dtype))
        return wrapped
    if evaluate.is_narrow(dtype):
        a, b = a.astype(np.float32), b.astype(np.float32)
    elif precision == "tf32" and dtype.bits == 32:
        a, b = evaluate.round_to_tf32(a), evaluate.round_to_tf32(b)
    product: Array = np.matmul(a, b)
    result: Array = np.add(acc, product)
    return result


def _integer_product(dtype: DType, a: Array, b: Array) -> Array:
    """``a @ b`` modulo 2**64; through float64 where that is exact, because BLAS is fast."""
    if a.shape[-1] << (2 * dtype.bits) <= 1 << 53:
        exact: Array = np.matmul(a.astype(np.float64), b.astype(np.float64))
        return exact.astype(np.int64)
    wrapped: Array = np.matmul(a.astype(np.int64), b.astype(np.int64))
    return wrapped
