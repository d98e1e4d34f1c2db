"""The numbers of a convolution or a pooling: kernel, stride, padding and dilation along three spatial axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from portkernel.errors import ArgumentError, ArgumentShapeError

from ..arrays import integer

LARGEST = 2**31 - 1
"""Kernels count along an axis in 32 bits."""

Triple = tuple[int, int, int]
Pairs = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def numbers(where: str, name: str, value: Any, rank: int, least: int, missing: int) -> Triple:
    """An integer, or one for each spatial axis, as three."""
    found = tuple(value) if _is_several(value) else (value,)
    found = found * rank if len(found) == 1 else found
    if len(found) != rank or not all(isinstance(v, (int, np.integer)) and v >= least for v in found):
        raise ArgumentError(
            f"{where}: {name}: expected an integer of at least {least}, or {rank} of them, got {value!r}"
        )
    return (*(missing,) * (3 - rank), *(int(v) for v in found))  # type: ignore[return-value]


def group_count(where: str, groups: object) -> int:
    """``groups`` as an int of at least 1."""
    found = integer(f"{where}: groups", groups)
    if found < 1:
        raise ArgumentError(f"{where}: groups: expected an integer of at least 1, got {found}")
    return found


def _is_several(value: object) -> bool:
    return isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0


def paddings(where: str, value: Any, kernel: Triple, stride: Triple, dilation: Triple, rank: int) -> Pairs:
    """``"valid"``, ``"same"``, an integer, one for each axis, or a pair (before, after) for each axis."""
    if isinstance(value, str):
        if value == "valid":
            return ((0, 0),) * 3
        if value != "same":
            raise ArgumentError(f'{where}: padding: expected "same", "valid" or numbers, got {value!r}')
        if max(stride) > 1:
            raise ArgumentError(f'{where}: padding: expected numbers with a stride above 1, got "same"')
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)  # type: ignore[return-value]
    if not isinstance(value, Iterable) or not any(_is_several(v) for v in value):
        found = numbers(where, "padding", value, rank, 0, 0)
        return tuple((v, v) for v in found)  # type: ignore[return-value]
    pairs = [tuple(v) if _is_several(v) else (v, v) for v in value]
    if len(pairs) != rank or not all(
        len(p) == 2 and all(isinstance(v, (int, np.integer)) and v >= 0 for v in p) for p in pairs
    ):
        raise ArgumentError(f"{where}: padding: expected {rank} pairs of integers of at least 0, got {value!r}")
    return (*((0, 0),) * (3 - rank), *((int(a), int(b)) for a, b in pairs))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Window:
    """Three spatial axes of a convolution; those that the arrays lack have kernel and size 1."""

    kernel: Triple
    stride: Triple
    dilation: Triple
    padding: Pairs

    @property
    def front(self) -> Triple:
        """The padding before each axis."""
        return tuple(p[0] for p in self.padding)  # type: ignore[return-value]

    def size(self, where: str, image: Sequence[int]) -> Triple:
        """Output positions along each axis."""
        found = []
        for n, k, s, d, (before, after) in zip(
            image, self.kernel, self.stride, self.dilation, self.padding, strict=True
        ):
            room = n + before + after - d * (k - 1) - 1
            if room < 0:
                raise ArgumentShapeError(
                    f"{where}: x: expected at least {d * (k - 1) + 1} elements along each padded axis for this kernel, "
                    f"got {n + before + after}"
                )
            found.append(room // s + 1)
        return tuple(found)  # type: ignore[return-value]


def window(where: str, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any, rank: int) -> Window:
    """The geometry from what the user wrote. Raises ArgumentError."""
    if all(
        type(v) is int or (type(v) is tuple and all(type(n) is int for n in v)) for v in (stride, padding, dilation)
    ):
        return _known(where, tuple(kernel), stride, padding, dilation, rank)  # the usual forms, worked out once
    return _window(where, kernel, stride, padding, dilation, rank)


def _window(where: str, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any, rank: int) -> Window:
    full: Triple = (*(1,) * (3 - rank), *kernel)  # type: ignore[assignment]
    steps = numbers(where, "stride", stride, rank, 1, 1)
    spread = numbers(where, "dilation", dilation, rank, 1, 1)
    for name, sizes, given in (("stride", steps, stride), ("dilation", spread, dilation)):
        if max(sizes) > LARGEST:
            raise ArgumentError(f"{where}: {name}: expected at most {LARGEST}, got {given!r}")
    return Window(full, steps, spread, paddings(where, padding, full, steps, spread, rank))


_known = lru_cache(maxsize=1024)(_window)
