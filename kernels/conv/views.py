"""Arrays with one to three spatial axes seen with three, channels last seen with channels first; checks of shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import portkernel as pk
from portkernel.errors import ArgumentShapeError

from .. import arrays

Array = Any
"""A NumPy, CuPy, PyTorch or pyopencl array."""


def channels_first(x: Array) -> Array:
    """``(N, spatial…, C)`` seen as ``(N, C, spatial…)``."""
    return arrays.view(x).permute(0, len(x.shape) - 1, *range(1, len(x.shape) - 1)).array()


def channels_last(x: Array) -> Array:
    """``(N, C, spatial…)`` seen as ``(N, spatial…, C)``."""
    return arrays.view(x).permute(0, *range(2, len(x.shape)), 1).array()


def shape_of(images: int, channels: int, size: Sequence[int], last: bool) -> tuple[int, ...]:
    """Of images with ``size`` along their spatial axes, as the user sees them: ``last`` has the channels last."""
    return (images, *size, channels) if last else (images, channels, *size)


def channels_hint(name: str, last: bool) -> str:
    """What tells the user which axis of ``name`` was taken for the channels."""
    return f"{name} has its channels in " + ("the last axis" if last else "axis 1")


def spatial(x: Array, rank: int) -> Array:
    """An array of ``rank`` spatial axes behind two others, seen with three: the missing ones have length 1."""
    return x[(slice(None), slice(None), *[None] * (3 - rank))] if rank < 3 else x


def is_channels_last(x: Array) -> bool:
    """Whether the channels of x ``(N, C, …)`` lie side by side in memory."""
    step = arrays.strides_of(x)
    return x.shape[1] > 1 and step[1] == 1 and any(n > 1 and s > 1 for n, s in zip(x.shape[2:], step[2:], strict=True))


def allocate(x: Array, channels: int, size: Sequence[int], dtype: pk.DType) -> Array:
    """An array ``(N, channels, *size)``, in memory channels last if x ``(N, C, …)`` is."""
    if is_channels_last(x):
        return channels_first(arrays.empty(x, (x.shape[0], *size, channels), dtype))
    return arrays.empty(x, (x.shape[0], channels, *size), dtype)


def one_image(x: Array | None) -> Array | None:
    """x with an axis of one image in front; None for None."""
    return None if x is None else arrays.view(x).insert(0).array()


def check_rank(where: str, x: Array, rank: int) -> None:
    """Raise unless ``x`` has ``rank`` axes; ``where`` names function and argument."""
    if len(x.shape) != rank:
        raise ArgumentShapeError(f"{where}: expected an array of {rank} axes, got shape {tuple(x.shape)}")


def check_shape(where: str, x: Array, shape: tuple[int, ...]) -> None:
    """Raise unless ``x`` has ``shape``."""
    if tuple(x.shape) != shape:
        raise ArgumentShapeError(f"{where}: expected shape {shape}, got {tuple(x.shape)}")
