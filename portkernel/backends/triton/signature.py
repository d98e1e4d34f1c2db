"""The run-time parameters of an emitted module, as Triton's compiler wants them described."""

from __future__ import annotations

from ...ir import Tensor
from ..base import Param
from .spell import POINTEE

_SCALARS: dict[str, str] = {
    "float64": "fp64", "float32": "fp32", "float16": "fp32", "bfloat16": "fp32", "bool": "i32",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
}  # fmt: skip


def open_sizes(t: Tensor) -> tuple[int, ...]:
    """The axes whose size is a run-time argument."""
    return tuple(i for i, n in enumerate(t.shape) if n is None)


def open_strides(t: Tensor) -> tuple[int, ...]:
    """The axes whose stride is a run-time argument."""
    return tuple(i for i, n in enumerate(t.strides) if n is None)


def parameter_names(param: Param, name: str) -> list[str]:
    """The names in the text of what ``param`` becomes: pointer, open sizes, open strides; or the scalar alone."""
    if not isinstance(param.type, Tensor):
        return [name]
    sizes = [f"{name}_n{i}" for i in open_sizes(param.type)]
    return [name, *sizes, *(f"{name}_s{i}" for i in open_strides(param.type))]


def signature(params: tuple[Param, ...]) -> tuple[str, ...]:
    """Triton's type of each argument of ``entry``, in order; the status pointer is last."""
    found: list[str] = []
    for param in params:
        if isinstance(param.type, Tensor):
            count = len(open_sizes(param.type)) + len(open_strides(param.type))
            found += ["*" + POINTEE[param.type.dtype.name], *["i64"] * count]
        else:
            found.append(_SCALARS[param.type.dtype.name])
    return (*found, "*i32")


def attributes(params: tuple[Param, ...]) -> dict[int, int]:
    """Argument index to the number that divides it: 16 for the pointers and strides of an aligned tensor."""
    found: dict[int, int] = {}
    place = 0
    for param in params:
        if not isinstance(param.type, Tensor):
            place += 1
            continue
        sizes, strides = len(open_sizes(param.type)), len(open_strides(param.type))
        if param.type.align == 16:
            for i in (place, *range(place + 1 + sizes, place + 1 + sizes + strides)):
                found[i] = 16
        place += 1 + sizes + strides
    return found
