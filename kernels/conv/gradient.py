"""The gradients of a convolution for its input, weight and bias, as ``torch.nn.grad`` names them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import portkernel as pk
from portkernel.dtypes import dot_accumulator
from portkernel.errors import ArgumentShapeError

from .. import arrays
from ..programs import split
from .dense import narrow, pixel_of, pixels_of
from .forward import outputs
from .geometry import Window, group_count, window
from .shares import add_shares
from .split_gradient import weight_gradient_in_phases
from .transposed import FLOATS, check_gradient, input_gradient
from .views import Array, channels_first, channels_hint, check_rank, spatial
from .windows_gradient import weight_gradient_in_tiles


@pk.kernel
def conv_weight_gradient(
    x,
    grad,
    out,
    front,
    top,
    left,
    STRIDE: pk.constexpr[tuple] = (1, 1, 1),
    DILATION: pk.constexpr[tuple] = (1, 1, 1),
    GROUPS: pk.constexpr[int] = 1,
    SPLITS: pk.constexpr[int] = 1,
    FLAT: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = pk.auto(1, 128),
    BN: pk.constexpr[int] = pk.auto(8, 256),
    BK: pk.constexpr[int] = pk.auto(8, 128),
):
    """out ``(SPLITS·O, C / GROUPS, KD, KH, KW)`` from x ``(N, C, D, H, W)`` and grad ``(N, O, OD, OH, OW)``, any strides.

    ``out[s, o, c, k] = sum over images n and pixels p of share s of grad[n, o, p]·x[n, c, p·STRIDE + k·DILATION -
    (front, top, left)]``; the shares added up are the gradient for the weight. A matrix product for each group, share
    and tap: rows are output channels, columns are channels; FLAT takes channels and taps as columns of one product, which
    pads less where the channels are few. Grid: the product of KD · KH · KW · (C / GROUPS / BN), or with FLAT C / GROUPS ·
    KD · KH · KW / BN; O / GROUPS / BM; GROUPS · SPLITS. Accumulates in float64 for float64, float32 else.
    Error: γ(P)·(sum of |products|), P = N · OD · OH · OW, then one rounding.
    """
    kd, kh, kw = out.shape[2], out.shape[3], out.shape[4]
    taps = kd * kh * kw
    channels, per_group = out.shape[1], grad.shape[1] // GROUPS
    blocks = pk.cdiv(channels, BN)
    j, rest = split(pk.program_id(0), narrow(pk.cdiv(channels * taps, BN) if FLAT else taps * blocks))
    i, rest = split(rest, narrow(pk.cdiv(per_group, BM)))
    share, group = split(rest, SPLITS)
    row = i * BM + pk.arange(BM)
    if FLAT:
        column = j * BN + pk.arange(BN)
        c, tap = column // taps, column % taps
    else:
        c, tap = j % blocks * BN + pk.arange(BN), j // blocks
    kz, ky, kx = tap // (kh * kw), tap // kw % kh, tap % kw
    z0, y0, x0 = kz * DILATION[0] - front, ky * DILATION[1] - top, kx * DILATION[2] - left
    valid, there = (row < per_group)[:, None], (c < channels)[None, :]
    o = group * per_group + row
    steps = pk.cdiv(pixels_of(grad.shape), BK)
    each = pk.cdiv(steps, SPLITS)
    acc = pk.zeros((BM, BN), dot_accumulator(x.dtype))
    for step in range(share * each, pk.minimum(steps, (share + 1) * each)):
        image, oz, oy, ox = pixel_of(step * BK + pk.arange(BK), grad.shape)
        a = pk.gather(grad, (image[None, :], o[:, None], oz[None, :], oy[None, :], ox[None, :]), mask=valid)
        if FLAT:
            z, y = (oz * STRIDE[0])[:, None] + z0[None, :], (oy * STRIDE[1])[:, None] + y0[None, :]
            xx = (ox * STRIDE[2])[:, None] + x0[None, :]
        else:
            z, y = (oz * STRIDE[0] + z0)[:, None], (oy * STRIDE[1] + y0)[:, None]
            xx = (ox * STRIDE[2] + x0)[:, None]
        seen = pk.gather(x, (image[:, None], (group * channels + c)[None, :], z, y, xx), mask=there)
        acc = pk.dot(a, seen, acc)
    place = ((share * (per_group * GROUPS) + o)[:, None], c, kz, ky, kx)
    pk.scatter(out, place, acc.astype(out.dtype), mask=valid & there)


@pk.kernel
def conv_bias_gradient(grad, out, BM: pk.constexpr[int] = 1, BN: pk.constexpr[int] = pk.auto(64, 4096)):
    """out ``(O,)``: the sum of grad ``(N, O, OD, OH, OW)``, any strides, over images and pixels. Grid: (O / BM,).

    Accumulates in float64 for float64, float32 else. Error: γ(P)·(sum of |grad|), P = N · OD · OH · OW, one rounding.
    """
    o = pk.program_id(0) * BM + pk.arange(BM)
    wide = dot_accumulator(grad.dtype)
    total = pk.zeros((BM, BN), wide)
    for step in range(pk.cdiv(pixels_of(grad.shape), BN)):
        image, oz, oy, ox = pixel_of(step * BN + pk.arange(BN), grad.shape)
        place = (image[None, :], o[:, None], oz[None, :], oy[None, :], ox[None, :])
        total = total + pk.gather(grad, place).astype(wide)
    pk.scatter(out, (o,), total.sum(axis=1).astype(out.dtype))


# --- host functions -----------------------------------------------------------------------------------------


def _shares(rows: int, columns: int, groups: int, pixels: int) -> int:
    """Into how many parts to cut the sum over pixels, so that small weights still make some dozen programs."""
    programs = pk.cdiv(rows, 64) * pk.cdiv(columns, 128) * groups
    return max(1, min(16 // programs, pixels // 2048))


def _weight_gradient(x: Array, grad: Array, out: Array, geometry: Window, groups: int, route: dict[str, Any]) -> None:
    """The kernels launched on arrays with three spatial axes."""
    if 0 in out.shape:
        return
    if weight_gradient_in_tiles(x, grad, out, geometry, groups, route):
        return
    if not weight_gradient_in_phases(x, grad, out, geometry, groups, route):
        _dense_gradient(x, grad, out, geometry, groups, route)


def _dense_gradient(x: Array, grad: Array, out: Array, geometry: Window, groups: int, route: dict[str, Any]) -> None:
    channels, rows, pixels = out.shape[1], out.shape[0] // groups, grad.shape[0] * prod(grad.shape[2:])
    taps = prod(geometry.kernel)
    shares = _shares(rows, channels * taps, groups, pixels)
    flat = channels < 16 and taps > 1
    wide = dot_accumulator(arrays.dtype_of("x", x))
    whole = out if shares == 1 else arrays.empty(x, (shares * out.shape[0], *out.shape[1:]), wide)
    conv_weight_gradient[
        lambda m: (
            (pk.cdiv(channels * taps, m["BN"]) if flat else taps * pk.cdiv(channels, m["BN"]))
            * pk.cdiv(rows, m["BM"])
            * groups
            * shares,
        )
    ](
        x, grad, whole, *geometry.front, STRIDE=geometry.stride, DILATION=geometry.dilation, GROUPS=groups,
        SPLITS=shares, FLAT=flat, **route,
    )  # fmt: skip
    if shares > 1:
        size = prod(out.shape)
        add_shares[lambda m: (pk.cdiv(size, m["B"]),)](whole.reshape((shares, size)), out, **route)


def _weight(
    where: str, rank: int, x: Array, weight_size: Sequence[int], grad_output: Array, stride: Any, padding: Any,
    dilation: Any, groups: int, last: bool, out: Array | None, route: dict[str, Any],
) -> Array:  # fmt: skip
    dtype = arrays.dtype_of(f"{where}: x", x, FLOATS)
    arrays.dtype_of(f"{where}: grad_output", grad_output, (dtype,))
    check_rank(f"{where}: x", x, rank + 2)
    shape = arrays.integers(f"{where}: weight_size", weight_size)
    if len(shape) != rank + 2 or 0 in shape[2:]:
        raise ArgumentShapeError(
            f"{where}: weight_size: expected {rank + 2} numbers, the kernel's at least 1, got {shape}"
        )
    x = channels_first(x) if last else x
    groups = group_count(where, groups)
    if shape[0] % groups or shape[1] * groups != x.shape[1]:
        raise ArgumentShapeError(
            f"{where}: weight_size: expected (O, {x.shape[1]} / {groups}, …), O a multiple of groups, got {shape}",
            hint=channels_hint("x", last),
        )
    geometry = window(where, shape[2:], stride, padding, dilation, rank)
    check_gradient(where, rank, tuple(x.shape), shape[2:], grad_output, geometry, shape[0], last)
    grad_output = channels_first(grad_output) if last else grad_output
    out = arrays.result(where, out, x, shape, outputs(dtype))
    _weight_gradient(spatial(x, rank), spatial(grad_output, rank), spatial(out, rank), geometry, groups, route)
    return out


def conv_bias(
    grad_output: Array, *, channels_last: bool = False, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient for the bias, ``(O,)``: the sum of grad_output ``(N, O, …)``, of one to three spatial axes, over the rest.

    grad_output is ``(N, …, O)`` if ``channels_last``.
    float64, float32, float16, bfloat16, any strides; accumulates in float64 for float64, float32 else.
    Error: γ(P)·(sum of |grad_output|), P images times pixels, then one rounding.
    """
    dtype = arrays.dtype_of("conv_bias(): grad_output", grad_output, FLOATS)
    rank = len(grad_output.shape) - 2
    if not 1 <= rank <= 3:
        raise ArgumentShapeError(
            f"conv_bias(): grad_output: expected 3 to 5 axes, got shape {tuple(grad_output.shape)}"
        )
    grad_output = channels_first(grad_output) if channels_last else grad_output
    out = arrays.result("conv_bias()", out, grad_output, (grad_output.shape[1],), outputs(dtype))
    if 0 not in out.shape:
        conv_bias_gradient[lambda m: (pk.cdiv(out.shape[0], m["BM"]),)](
            spatial(grad_output, rank), out, backend=backend, device=device
        )
    return out


def conv1d_input(
    input_size: Sequence[int], weight: Array, grad_output: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, channels_last: bool = False, out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient of ``conv1d`` for its input; else as :func:`conv2d_input`."""
    route = {"backend": backend, "device": device}
    return input_gradient("conv1d_input()", 1, input_size, weight, grad_output, stride, padding, dilation, groups, channels_last, out, route)  # fmt: skip


def conv2d_input(
    input_size: Sequence[int], weight: Array, grad_output: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, channels_last: bool = False, out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient of ``conv2d`` for its input, of shape ``input_size`` ``(N, C, H, W)``, as ``torch.nn.grad.conv2d_input``.

    weight is ``(O, C / groups, KH, KW)``, grad_output ``(N, O, OH, OW)``, any strides; padding as ``conv2d`` takes it. With
    ``channels_last``, input_size is ``(N, H, W, C)``, and grad_output, ``out`` and the result have their channels last.
    float64, float32, float16, bfloat16; accumulates in float64 for float64, float32 else.
    Error: γ(K + 3)·(sum of |products|) with K = O / groups times the taps that an input feeds, then one rounding.
    """
    route = {"backend": backend, "device": device}
    return input_gradient("conv2d_input()", 2, input_size, weight, grad_output, stride, padding, dilation, groups, channels_last, out, route)  # fmt: skip


def conv3d_input(
    input_size: Sequence[int], weight: Array, grad_output: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, channels_last: bool = False, out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient of ``conv3d`` for its input; else as :func:`conv2d_input`."""
    route = {"backend": backend, "device": device}
    return input_gradient("conv3d_input()", 3, input_size, weight, grad_output, stride, padding, dilation, groups, channels_last, out, route)  # fmt: skip


def conv1d_weight(
    x: Array, weight_size: Sequence[int], grad_output: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, channels_last: bool = False, out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient of ``conv1d`` for its weight; else as :func:`conv2d_weight`."""
    route = {"backend": backend, "device": device}
    return _weight("conv1d_weight()", 1, x, weight_size, grad_output, stride, padding, dilation, groups, channels_last, out, route)  # fmt: skip


def conv2d_weight(
    x: Array, weight_size: Sequence[int], grad_output: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, channels_last: bool = False, out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient of ``conv2d`` for its weight, of shape ``weight_size``, as ``torch.nn.grad.conv2d_weight``.

    x is ``(N, C, H, W)``, grad_output ``(N, O, OH, OW)``, both with their channels last if ``channels_last``, any strides;
    the result is ``(O, C / groups, KH, KW)`` always; padding as ``conv2d`` takes it. Summed in the same order every time:
    no atomics. float64, float32, float16, bfloat16; accumulates in float64 for float64, float32 else.
    Error: γ(P + 16)·(sum of |products|) with P images times output pixels, then one rounding.
    """
    route = {"backend": backend, "device": device}
    return _weight("conv2d_weight()", 2, x, weight_size, grad_output, stride, padding, dilation, groups, channels_last, out, route)  # fmt: skip


def conv3d_weight(
    x: Array, weight_size: Sequence[int], grad_output: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, channels_last: bool = False, out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient of ``conv3d`` for its weight; else as :func:`conv2d_weight`."""
    route = {"backend": backend, "device": device}
    return _weight("conv3d_weight()", 3, x, weight_size, grad_output, stride, padding, dilation, groups, channels_last, out, route)  # fmt: skip
