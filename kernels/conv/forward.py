"""``conv1d``, ``conv2d``, ``conv3d``: what is asked for checked, the kernel chosen, launched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import portkernel as pk
from portkernel.dtypes import dot_accumulator
from portkernel.errors import ArgumentError, ArgumentShapeError

from .. import activations, arrays
from .geometry import Window, group_count, window
from .job import Activation, Job
from .views import (
    Array,
    allocate,
    channels_first,
    channels_hint,
    channels_last,
    check_rank,
    check_shape,
    one_image,
    shape_of,
    spatial,
)

DTYPES = (pk.float32, pk.float64, pk.float16, pk.bfloat16, pk.int8)


def check_activation(where: str, activation: Activation, dtype: pk.DType) -> None:
    """Raise unless ``activation`` is a name of ours, or a function; integers have "none" and "relu"."""
    known = activations.NAMES if dtype.is_float else ("none", "relu")
    if not callable(activation) and activation not in known:
        raise ArgumentError(
            f"{where}: activation: expected {', '.join(known)} or a function for {dtype.name}, got {activation!r}"
        )


def stored(dtype: pk.DType) -> pk.DType:
    """What a convolution of ``dtype`` is stored as: int8 widens."""
    return dot_accumulator(dtype) if dtype.is_integer else dtype


def outputs(dtype: pk.DType) -> tuple[pk.DType, ...]:
    """The dtypes that ``out`` may have, the default first."""
    return (stored(dtype),) if dtype.is_integer else (dtype, dot_accumulator(dtype))


def check_bias(where: str, bias: Array | None, channels: int, dtype: pk.DType) -> None:
    """Raise unless bias is None or ``(channels,)`` of ``dtype`` or of its accumulator."""
    if bias is not None:
        arrays.dtype_of(f"{where}: bias", bias, (dot_accumulator(dtype),) if dtype.is_integer else outputs(dtype))
        check_shape(f"{where}: bias", bias, (channels,))


def finish_arguments(
    where: str, x: Array, out: Array | None, residual: Array | None, channels: int, size: Sequence[int], last: bool
) -> tuple[Array, Array | None]:
    """``out`` and ``residual`` as ``(N, O, …)``, checked; x is ``(N, C, …)``."""
    dtype = arrays.dtype_of(where, x)
    wanted = shape_of(x.shape[0], channels, size, last)
    if residual is not None:
        arrays.dtype_of(f"{where}: residual", residual, outputs(dtype))
        check_shape(f"{where}: residual", residual, wanted)
        residual = channels_first(residual) if last else residual
    if out is None:
        return allocate(x, channels, size, stored(dtype)), residual
    out = arrays.result(where, out, x, wanted, outputs(dtype))
    return channels_first(out) if last else out, residual


def _conv(
    where: str, rank: int, x: Array, weight: Array, bias: Array | None, stride: Any, padding: Any, dilation: Any,
    groups: int, activation: Activation, residual: Array | None, last: bool, out: Array | None, route: dict[str, Any],
) -> Array:  # fmt: skip
    dtype = arrays.dtype_of(f"{where}: x", x, DTYPES)
    arrays.dtype_of(f"{where}: weight", weight, (dtype,))
    if len(x.shape) == rank + 1:
        x, residual, whole = (one_image(a) for a in (x, residual, out))
        made = _conv(where, rank, x, weight, bias, stride, padding, dilation, groups, activation, residual, last, whole, route)  # fmt: skip
        return made[0] if out is None else out
    check_rank(f"{where}: x", x, rank + 2)
    check_rank(f"{where}: weight", weight, rank + 2)
    x = channels_first(x) if last else x
    channels, shape = x.shape[1], tuple(weight.shape)
    groups = group_count(where, groups)
    if shape[0] % groups or shape[1] * groups != channels:
        raise ArgumentShapeError(
            f"{where}: weight: expected (O, {channels} / groups, …) with O a multiple of groups {groups}, got {shape}",
            hint=channels_hint("x", last),
        )
    if 0 in shape[2:]:
        raise ArgumentShapeError(f"{where}: weight: expected a kernel of at least 1 along each axis, got {shape[2:]}")
    check_activation(where, activation, dtype)
    check_bias(where, bias, shape[0], dtype)
    geometry: Window = window(where, shape[2:], stride, padding, dilation, rank)
    size = geometry.size(where, (*(1,) * (3 - rank), *x.shape[2:]))
    out, residual = finish_arguments(where, x, out, residual, shape[0], size[3 - rank :], last)
    Job(
        spatial(x, rank), spatial(weight, rank), spatial(out, rank), geometry.front, geometry.stride, geometry.dilation,
        groups, False, bias, None if residual is None else spatial(residual, rank), activation, route,
    ).launch()  # fmt: skip
    return channels_last(out) if last else out


def conv1d(
    x: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, activation: Activation = "none", residual: Array | None = None, channels_last: bool = False,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``(N, O, OW)`` from x ``(N, C, W)`` and weight ``(O, C / groups, KW)``; else as :func:`conv2d`."""
    route = {"backend": backend, "device": device}
    return _conv("conv1d()", 1, x, weight, bias, stride, padding, dilation, groups, activation, residual, channels_last, out, route)  # fmt: skip


def conv2d(
    x: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, activation: Activation = "none", residual: Array | None = None, channels_last: bool = False,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``activation(conv(x, weight) + bias + residual)``, ``(N, O, OH, OW)``, as ``torch.nn.functional.conv2d``.

    x is ``(N, C, H, W)``, or ``(N, H, W, C)`` with ``channels_last``, and then so are the result, ``residual`` and
    ``out``; for one image, all of them may come without N. weight is ``(O, C / groups, KH, KW)``; any strides. ``stride``
    and ``dilation`` are an integer or one for each axis; ``padding`` too, or pairs (before, after), or "valid" or "same"
    (the odd one after). ``activation`` is none, relu, gelu, gelu_tanh, silu, sigmoid, tanh, or a function of a tile.

    float64, float32, float16, bfloat16; int8, which gives int32. bias has the dtype of the accumulator or of x.
    Accumulates in float64 for float64, int32 for int8 (wrapping), float32 else. ``out`` and ``residual`` have the
    dtype of x or of the accumulator. Error before the activation: γ(K + 3)·(sum of |products| + |bias| + |residual|)
    with K = C / groups · KH · KW, then one rounding.
    """
    route = {"backend": backend, "device": device}
    return _conv("conv2d()", 2, x, weight, bias, stride, padding, dilation, groups, activation, residual, channels_last, out, route)  # fmt: skip


def conv3d(
    x: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, activation: Activation = "none", residual: Array | None = None, channels_last: bool = False,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``(N, O, OD, OH, OW)`` from x ``(N, C, D, H, W)`` and weight ``(O, C / groups, KD, KH, KW)``; else as :func:`conv2d`."""
    route = {"backend": backend, "device": device}
    return _conv("conv3d()", 3, x, weight, bias, stride, padding, dilation, groups, activation, residual, channels_last, out, route)  # fmt: skip
