"""What stands for an argument where there is none: ``pk.TensorSpec``; and ``pk.Config``, constants by hand."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..dtypes import DType, as_dtype
from ..errors import ArgumentDTypeError, ArgumentShapeError, ArgumentTypeError, DTypeError
from ..ir import Tensor
from .arguments import HOST, MAX_RANK, ArrayRef, tensor_type

Sizes = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, init=False)
class TensorSpec:
    """An array argument without its memory, for ``kernel.ir``, ``kernel.source`` and ``kernel.compile``.

    ``shape`` is a shape, or a rank where the sizes are left open; ``strides`` count elements and are those of a
    contiguous array by default. The base address counts as aligned.

    >>> TensorSpec((3, 4), "float32").type
    Tensor(rank=2, dtype=portkernel.float32, shape=(None, None), strides=(None, 1), align=1)
    """

    shape: Sizes
    dtype: DType
    strides: Sizes

    def __init__(self, shape: int | Sequence[int], dtype: object, strides: Sequence[int] | None = None) -> None:
        rank = shape if isinstance(shape, int) and not isinstance(shape, bool) else None
        known: Sizes = () if rank is not None else _whole(shape, "shape")
        if (rank or 0) < 0 or any(n is not None and n < 0 for n in known):
            raise ArgumentShapeError(f"TensorSpec(): shape: expected a rank or sizes of at least 0, got {shape}")
        if (rank or len(known)) > MAX_RANK:
            raise ArgumentShapeError(
                f"TensorSpec(): shape: expected at most {MAX_RANK} dimensions, got {rank or len(known)}"
            )
        sizes = known if rank is None else (None,) * rank
        steps = _contiguous(sizes) if strides is None else _whole(strides, "strides")
        if len(steps) != len(sizes):
            raise ArgumentShapeError(f"TensorSpec(): strides: expected {len(sizes)} of them, got {len(steps)}")
        try:
            kind = as_dtype(dtype)  # type: ignore[arg-type]  # as_dtype refuses the rest
        except DTypeError as e:
            raise ArgumentDTypeError(f"TensorSpec(): dtype: {e.message}", hint=e.hint) from None
        object.__setattr__(self, "shape", sizes)
        object.__setattr__(self, "dtype", kind)
        object.__setattr__(self, "strides", steps)

    @property
    def type(self) -> Tensor:
        """The type that the kernel is specialised for."""
        if None not in self.shape and None not in self.strides:
            shape = tuple(n for n in self.shape if n is not None)
            strides = tuple(s for s in self.strides if s is not None)
            # The same rules as for an array, at an address of 0: aligned.
            strides = tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))
            return tensor_type(ArrayRef(0, shape, strides, self.dtype, HOST, False, None))
        strides_known = tuple(s if s in (0, 1) else None for s in self.strides)
        align = 16 if None not in strides_known else 1
        return Tensor(len(self.shape), self.dtype, self.shape, strides_known, align)

    @property
    def dims(self) -> tuple[int, ...]:
        """The sizes, with 0 for each that is open."""
        return tuple(n or 0 for n in self.shape)


def _whole(values: Any, what: str) -> Sizes:
    try:
        return tuple(operator.index(v) for v in values)
    except TypeError:
        raise ArgumentTypeError(
            f"TensorSpec(): {what}: expected integers, got {values!r}", hint="a rank alone leaves all sizes open"
        ) from None


def _contiguous(shape: Sizes) -> Sizes:
    strides: list[int | None] = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        inner, side = strides[i + 1], shape[i + 1]
        strides[i] = None if inner is None or side is None else inner * max(1, side)
    return tuple(strides)


def positive(where: str, value: object) -> int | None:
    """``value``, a number of warps or stages, or None where none is given. Raises ArgumentTypeError."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ArgumentTypeError(f"{where}: expected a positive integer, got {value!r}")
    return value


@dataclass(frozen=True, slots=True, init=False)
class Config:
    """Values for compile-time parameters, for ``@pk.kernel(configs=[…])``; ``num_warps`` and ``num_stages`` go to
    the compilers that take them."""

    constants: tuple[tuple[str, object], ...]
    num_warps: int | None = None
    num_stages: int | None = field(default=None)

    def __init__(self, num_warps: int | None = None, num_stages: int | None = None, **constants: object) -> None:
        for name, value in (("num_warps", num_warps), ("num_stages", num_stages)):
            positive(f"Config(): {name}", value)
        object.__setattr__(self, "constants", tuple(constants.items()))
        object.__setattr__(self, "num_warps", num_warps)
        object.__setattr__(self, "num_stages", num_stages)


@dataclass(frozen=True, slots=True)
class Options:
    """What a launch may say to the compilers; not every backend listens."""

    num_warps: int | None = None
    num_stages: int | None = None

    def given(self) -> dict[str, object]:
        pairs = (("num_warps", self.num_warps), ("num_stages", self.num_stages))
        return {name: value for name, value in pairs if value is not None}
