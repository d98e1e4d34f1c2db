"""The types of values. Tile IR: a tile of elements in the program, a tensor in global memory. SIMT IR: vectors and pointers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..dtypes import DType


@dataclass(frozen=True, slots=True)
class Tile:
    """A block of elements that one program holds. A scalar is a tile of shape ``()``."""

    shape: tuple[int, ...]
    dtype: DType

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]" if self.shape else str(self.dtype)


@dataclass(frozen=True, slots=True)
class Tensor:
    """An array argument in global memory: what the compiler may assume of it, never its sizes as such.

    ``shape[i]`` and ``strides[i]`` (in elements) are numbers where they are part of the specialisation
    (a dimension of 1, a stride of 0 or 1) and None where they are run-time arguments. ``align`` is 16 when the
    base address is a multiple of 16 bytes and every run-time stride is a multiple of 16 elements, otherwise 1.
    """

    rank: int
    dtype: DType
    shape: tuple[int | None, ...]
    strides: tuple[int | None, ...]
    align: int = 1

    def __str__(self) -> str:
        def show(values: tuple[int | None, ...]) -> str:
            return ", ".join("?" if v is None else str(v) for v in values)

        align = f" align {self.align}" if self.align != 1 else ""
        return f"tensor<{self.dtype}[{show(self.shape)}] strides [{show(self.strides)}]{align}>"


Space = Literal["global", "local", "private"]


@dataclass(frozen=True, slots=True)
class Vec:
    """A register value of ``lanes`` elements; ``lanes == 1`` is a scalar."""

    dtype: DType
    lanes: int = 1

    def __str__(self) -> str:
        return str(self.dtype) if self.lanes == 1 else f"{self.dtype}x{self.lanes}"


@dataclass(frozen=True, slots=True)
class Pointer:
    """The address of an array of ``dtype``: ``global`` for all, ``local`` for the group, ``private`` for the thread."""

    dtype: DType
    space: Space

    def __str__(self) -> str:
        return f"{self.space} {self.dtype}*"


Type = Tile | Tensor | Vec | Pointer
