"""Transposed convolution and the gradient for the input: the same map, by phases of the stride.

The outputs whose coordinates leave the same remainder by the stride see the same taps, at neighbouring inputs: each
such phase is an ordinary convolution with stride 1, negative dilation and some of the taps, stored with a stride. No
product with an inserted zero is computed, and no output is written twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import gcd
from typing import Any

import portkernel as pk
from portkernel.errors import ArgumentError, ArgumentShapeError

from .. import arrays
from ..programs import tile_of
from .forward import DTYPES, check_activation, check_bias, finish_arguments, outputs
from .geometry import Window, group_count, numbers, window
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


def _phases(size: int, kernel: int, stride: int, dilation: int, before: int) -> Iterator[tuple[slice, slice, int, int]]:
    """Along one axis: outputs, taps, and the padding and dilation of the convolution that gives them."""
    common = gcd(stride, dilation)
    step = stride // common
    for r in range(min(stride, size)):
        first = next((k for k in range(step) if (r + before - k * dilation) % stride == 0), kernel)
        shift = (r + before - first * dilation) // stride
        yield slice(r, None, stride), slice(min(first, kernel), None, step), -shift, -(dilation // common)


@pk.kernel
def conv_zeros(out, BM: pk.constexpr[int] = pk.auto(1, 64), BN: pk.constexpr[int] = pk.auto(1, 1024)):
    """out ``(A, M, N)``, any strides, becomes 0: what no tap reaches. Grid: N / BN · M / BM · A."""
    pk.store(out, tile_of(out, BM, BN), pk.zeros((1, BM, BN), out.dtype))


def fill_zeros(out: Array, route: dict[str, Any]) -> None:
    """``out[...] = 0`` for ``(N, C, D, H, W)``."""
    flat = arrays.merge(2, 5, arrays.view(out))
    if flat is None:
        for image in range(out.shape[0]):
            for plane in range(out.shape[2]):
                _launch_zeros(out[image, :, plane], route)
    else:
        _launch_zeros(flat[0].array(), route)


def _launch_zeros(out: Array, route: dict[str, Any]) -> None:
    a, m, n = out.shape
    conv_zeros[lambda meta: (pk.cdiv(n, meta["BN"]) * pk.cdiv(m, meta["BM"]) * a,)](out, **route)


def adjoint(
    x: Array, weight: Array, out: Array, geometry: Window, groups: int, bias: Array | None, residual: Array | None,
    activation: Activation, route: dict[str, Any],
) -> None:  # fmt: skip
    """Write the adjoint of the convolution ``geometry`` of x ``(N, C, …)`` with weight ``(C, O / groups, …)`` to ``out``."""
    axes = [
        tuple(_phases(n, k, s, d, before))
        for n, k, s, d, before in zip(
            out.shape[2:], geometry.kernel, geometry.stride, geometry.dilation, geometry.front, strict=True
        )
    ]
    every = (slice(None), slice(None))
    phases = tuple(product(*axes))
    if bias is None and residual is None and activation == "none" and 0 not in out.shape:
        seen = tuple(
            p for p in phases if all(taps.start < k for (_, taps, *_), k in zip(p, geometry.kernel, strict=True))
        )
        if len(seen) < len(phases):
            fill_zeros(out, route)
            phases = seen
    for phase in phases:
        places, taps, front, dilation = zip(*phase, strict=True)
        at = (*every, *places)
        Job(
            x, weight[(*every, *taps)], out[at], front, (1, 1, 1), dilation, groups, True, bias,
            None if residual is None else residual[at], activation, route,
        ).launch()  # fmt: skip


def _transposed(
    where: str, rank: int, x: Array, weight: Array, bias: Array | None, stride: Any, padding: Any, output_padding: Any,
    groups: int, dilation: Any, activation: Activation, residual: Array | None, last: bool, out: Array | None,
    route: dict[str, Any],
) -> Array:  # fmt: skip
    dtype = arrays.dtype_of(f"{where}: x", x, DTYPES)
    arrays.dtype_of(f"{where}: weight", weight, (dtype,))
    if len(x.shape) == rank + 1:
        x, residual, whole = (one_image(a) for a in (x, residual, out))
        made = _transposed(
            where, rank, x, weight, bias, stride, padding, output_padding, groups, dilation, activation, residual, last,
            whole, route,
        )  # fmt: skip
        return made[0] if out is None else out
    check_rank(f"{where}: x", x, rank + 2)
    check_rank(f"{where}: weight", weight, rank + 2)
    x = channels_first(x) if last else x
    shape = tuple(weight.shape)
    groups = group_count(where, groups)
    if shape[0] != x.shape[1] or shape[0] % groups or 0 in shape[2:]:
        raise ArgumentShapeError(
            f"{where}: weight: expected ({x.shape[1]}, O / groups, …) with groups {groups} a divisor of the first and a "
            f"kernel of at least 1, got {shape}"
        )
    channels = shape[1] * groups
    check_activation(where, activation, dtype)
    check_bias(where, bias, channels, dtype)
    if isinstance(padding, str):
        raise ArgumentError(f"{where}: padding: expected numbers, got {padding!r}")
    geometry = window(where, shape[2:], stride, padding, dilation, rank)
    extra = numbers(where, "output_padding", output_padding, rank, 0, 0)
    limits = [max(s, d) for s, d in zip(geometry.stride, geometry.dilation, strict=True)]
    if any(e >= limit for e, limit in zip(extra, limits, strict=True)):
        raise ArgumentError(f"{where}: output_padding: expected less than stride or dilation, got {output_padding!r}")
    image = (*(1,) * (3 - rank), *x.shape[2:])
    size = [
        (n - 1) * s - sum(p) + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(
            image, geometry.stride, geometry.padding, geometry.dilation, geometry.kernel, extra, strict=True
        )
    ]
    if min(size) < 0 or 0 in image:
        raise ArgumentShapeError(f"{where}: x: expected an image that gives an output, got {tuple(x.shape)}")
    out, residual = finish_arguments(where, x, out, residual, channels, size[3 - rank :], last)
    shaped = None if residual is None else spatial(residual, rank)
    adjoint(
        spatial(x, rank), spatial(weight, rank), spatial(out, rank), geometry, groups, bias, shaped, activation, route
    )
    return channels_last(out) if last else out


def conv_transpose1d(
    x: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1, *, activation: Activation = "none", residual: Array | None = None,
    channels_last: bool = False, out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``(N, O, OW)`` from x ``(N, C, W)`` and weight ``(C, O / groups, KW)``; else as :func:`conv_transpose2d`."""
    route = {"backend": backend, "device": device}
    return _transposed("conv_transpose1d()", 1, x, weight, bias, stride, padding, output_padding, groups, dilation, activation, residual, channels_last, out, route)  # fmt: skip


def conv_transpose2d(
    x: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1, *, activation: Activation = "none", residual: Array | None = None,
    channels_last: bool = False, out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The adjoint of :func:`conv2d`, with bias and activation, as ``torch.nn.functional.conv_transpose2d``.

    x is ``(N, C, H, W)`` or ``(C, H, W)``, weight ``(C, O / groups, KH, KW)``; the result has ``(H - 1)·stride - padding +
    dilation·(KH - 1) + output_padding + 1`` rows, where padding is that of both sides. Layouts, dtypes, accumulation and
    error as :func:`conv2d`, with K = C / groups times the taps that an output sees.
    """
    route = {"backend": backend, "device": device}
    return _transposed("conv_transpose2d()", 2, x, weight, bias, stride, padding, output_padding, groups, dilation, activation, residual, channels_last, out, route)  # fmt: skip


def conv_transpose3d(
    x: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1, *, activation: Activation = "none", residual: Array | None = None,
    channels_last: bool = False, out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``(N, O, OD, OH, OW)`` from x ``(N, C, D, H, W)`` and weight ``(C, O / groups, KD, KH, KW)``; else as :func:`conv_transpose2d`."""
    route = {"backend": backend, "device": device}
    return _transposed("conv_transpose3d()", 3, x, weight, bias, stride, padding, output_padding, groups, dilation, activation, residual, channels_last, out, route)  # fmt: skip


FLOATS = (pk.float32, pk.float64, pk.float16, pk.bfloat16)


def check_gradient(
    where: str, rank: int, image: Sequence[int], kernel: Sequence[int], grad_output: Array, geometry: Window, channels: int,
    last: bool,
) -> None:  # fmt: skip
    """Raise unless ``grad_output`` has the shape of the output for images ``(N, C, …)`` of shape ``image``."""
    size = geometry.size(where, (*(1,) * (3 - rank), *image[2:]))[3 - rank :]
    check_shape(f"{where}: grad_output", grad_output, shape_of(image[0], channels, size, last))


def input_gradient(
    where: str, rank: int, input_size: Sequence[int], weight: Array, grad_output: Array, stride: Any, padding: Any,
    dilation: Any, groups: int, last: bool, out: Array | None, route: dict[str, Any],
) -> Array:  # fmt: skip
    """The gradient for the input of a convolution: see :func:`portkernel.kernels.conv.conv2d_input`."""
    dtype = arrays.dtype_of(f"{where}: grad_output", grad_output, FLOATS)
    arrays.dtype_of(f"{where}: weight", weight, (dtype,))
    check_rank(f"{where}: weight", weight, rank + 2)
    shape, wanted = tuple(weight.shape), arrays.integers(f"{where}: input_size", input_size)
    if len(wanted) != rank + 2:
        raise ArgumentShapeError(f"{where}: input_size: expected {rank + 2} numbers, got {wanted}")
    image = (wanted[0], wanted[-1], *wanted[1:-1]) if last else wanted
    groups = group_count(where, groups)
    if shape[0] % groups or shape[1] * groups != image[1] or 0 in shape[2:]:
        raise ArgumentShapeError(
            f"{where}: weight: expected (O, {image[1]} / {groups}, …) with O a multiple of groups, got {shape}",
            hint=channels_hint("input_size", last),
        )
    geometry = window(where, shape[2:], stride, padding, dilation, rank)
    check_gradient(where, rank, image, shape[2:], grad_output, geometry, shape[0], last)
    grad_output = channels_first(grad_output) if last else grad_output
    if out is None:
        out = allocate(grad_output, image[1], image[2:], dtype)
    else:
        out = arrays.result(where, out, grad_output, wanted, outputs(dtype))
        out = channels_first(out) if last else out
    adjoint(
        spatial(grad_output, rank), spatial(weight, rank), spatial(out, rank), geometry, groups, None, None, "none", route
    )  # fmt: skip
    return channels_last(out) if last else out
