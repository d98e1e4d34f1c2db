"""How dtypes and constants are spelled, and how a value moves between memory, register and float32.

A bfloat16 lives in a register as the float32 of the same value, an 8-bit float as its bits (Triton's interpreter does
bfloat16 arithmetic on the bit patterns, and rounds wrongly); bool is ``tl.int1``. Memory holds bits: see ``POINTEE``.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from ...dtypes import DType, Scalar

POINTEE: dict[str, str] = {
    "float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "u16", "float8_e4m3fn": "u8", "float8_e5m2": "u8",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64", "bool": "u8",
}  # fmt: skip
_REGISTER = {"bool": "int1", "bfloat16": "float32", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
_STORAGE = {"bool": "uint8", "bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}


def register(dtype: DType) -> str:
    """The Triton dtype of a register that holds ``dtype``."""
    return "tl." + _REGISTER.get(dtype.name, dtype.name)


def storage(dtype: DType) -> str:
    """The Triton dtype of an element in memory."""
    return "tl." + _STORAGE.get(dtype.name, dtype.name)


def padded_side(n: int) -> int:
    """The smallest power of two that is at least ``n``."""
    return 1 << (n - 1).bit_length()


def padded(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(padded_side(n) for n in shape)


def shape_text(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"({shape[0]},)"
    return "(" + ", ".join(map(str, shape)) + ")"


def round_bfloat16(value: float) -> float:
    """``value`` rounded to nearest even through float32, as ml_dtypes does."""
    if math.isnan(value) or math.isinf(value):
        return value
    bits = int(np.float32(value).view(np.uint32))
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return float(struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0])


def literal(value: Scalar, dtype: DType) -> str:
    """A Python literal with the value that ``dtype`` holds; of an 8-bit float, its bits."""
    if dtype.is_bool:
        return str(bool(value))
    if dtype.is_integer:
        return str(int(value))
    number = float(value)
    if dtype.is_storage_only:
        if number == 0.0:
            return "0" if math.copysign(1.0, number) > 0 else "128"
        return str(int(np.array(number, dtype.np).view(np.uint8)))
    with np.errstate(over="ignore"):
        if dtype.name == "bfloat16":
            number = round_bfloat16(number)
        elif dtype.name != "float64":
            number = float(dtype.np.type(number))
    if math.isnan(number):
        return 'float("nan")'
    if math.isinf(number):
        return 'float("inf")' if number > 0 else 'float("-inf")'
    return repr(number)


def typed(value: Scalar, dtype: DType, shape: tuple[int, ...] = ()) -> str:
    """A constant tile of ``dtype``."""
    return f"tl.full({shape_text(shape) if shape else '()'}, {literal(value, dtype)}, {register(dtype)})"


def range_of(n: int) -> str:
    return f"tl.arange(0, {padded_side(n)})"


def along(text: str, axis: int, rank: int) -> str:
    """The rank-1 tile ``text`` as a tile of ``rank`` that varies along ``axis``."""
    if rank == 1:
        return text
    return f"{text}[{', '.join(':' if i == axis else 'None' for i in range(rank))}]"
