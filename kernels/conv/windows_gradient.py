"""The gradient for the weight with stride 1, or of one tap, on one thread a program: products over positions.

One operand is read as it lies, the other from a copy with its channels last: so both are whole tiles, and the sums over
all positions of all images are the depth of one matrix product.
"""

from __future__ import annotations

from math import prod
from typing import Any

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from .. import arrays
from .channelwise import gradient_block, launch_channels_gradient, shares_of
from .geometry import Triple, Window
from .shares import add_shares, turn_shares
from .sizes import evenly, gradient_tiles
from .views import Array
from .windows import Padded, arranged, padded, workspace


@pk.kernel
def conv_turn(
    x,
    out,
    BLOCK: pk.constexpr[tuple] = (16, 1),
    ROW: pk.constexpr[int] = 8,
):
    """out ``(N, DP, HP, ROW, C)`` from x ``(N, C, D, H, W)``, any strides: channels last, zeros behind rows, planes, images.

    Grid: (HP / BLOCK[1] · DP, C / BLOCK[0], N). Exact.
    """
    BC, BH = BLOCK
    rows = pk.cdiv(out.shape[2], BH)
    d, h = pk.program_id(0) // rows, pk.program_id(0) % rows
    n, c = pk.program_id(2), pk.program_id(1)
    pk.store(out, (n, d, h, 0, c), pk.load(x, (n, c, d, h, 0), (1, BC, 1, BH, ROW)).transpose((0, 2, 3, 4, 1)))


@pk.kernel
def conv_windows_gradient(
    x,
    grad,
    out,
    TAPS: pk.constexpr[tuple] = (1, 1),
    SPLITS: pk.constexpr[int] = 1,
    BC: pk.constexpr[int] = 8,
    BN: pk.constexpr[int] = 32,
    BK: pk.constexpr[int] = 64,
):
    """out ``(SPLITS, C, KD, KH·KW, O)`` from windows x ``(KD, C, KH, KW, P)`` and grad ``(P, O)``.

    ``x[d, c, i, j, p]`` is what tap (d, i, j) of channel c sees at position p of the copy that :func:`conv_arrange` makes; grad
    is 0 where p is no output. ``out[s] = sum over share s of the positions of x·grad``. Grid: (C / BC, O / BN,
    KD · SPLITS). Accumulates in float64 for float64, float32 else. Error: γ(P)·(sum of |products|).
    """
    KH, KW = TAPS
    i, j = pk.program_id(0), pk.program_id(1)
    z, share = pk.program_id(2) // SPLITS, pk.program_id(2) % SPLITS
    steps = pk.cdiv(grad.shape[0], BK)
    each = pk.cdiv(steps, SPLITS)
    rows = BC * KH * KW
    acc = pk.zeros((rows, BN), dot_accumulator(x.dtype))
    for k in range(share * each, pk.minimum(steps, (share + 1) * each)):
        a = pk.load(x, (z, i, 0, 0, k), (1, BC, KH, KW, BK)).reshape((rows, BK))
        acc = pk.dot(a, pk.load(grad, (k, j), (BK, BN)), acc)
    pk.store(out, (share, i, z, 0, j), acc.reshape((1, BC, 1, KH * KW, BN)).astype(out.dtype))


@pk.kernel
def conv_pointwise_gradient(
    grad,
    x,
    out,
    SPLITS: pk.constexpr[int] = 1,
    BM: pk.constexpr[int] = 8,
    BN: pk.constexpr[int] = 32,
    BK: pk.constexpr[int] = 64,
):
    """out ``(SPLITS, O, C)`` from grad ``(N, O, P)`` and x ``(N, P, C)``: for each share the sum of ``grad[n] @ x[n]``.

    Grid: (O / BM, C / BN, SPLITS). Accumulates in float64 for float64, float32 else. Error: γ(N·P)·(sum of |products|).
    """
    i, j, share = pk.program_id(0), pk.program_id(1), pk.program_id(2)
    deep = pk.cdiv(grad.shape[2], BK)
    steps = grad.shape[0] * deep
    each = pk.cdiv(steps, SPLITS)
    acc = pk.zeros((BM, BN), dot_accumulator(x.dtype))
    for step in range(share * each, pk.minimum(steps, (share + 1) * each)):
        n, k = step // deep, step % deep
        a = pk.load(grad, (n, i, k), (1, BM, BK)).reshape((BM, BK))
        acc = pk.dot(a, pk.load(x, (n, k, j), (1, BK, BN)).reshape((BK, BN)), acc)
    pk.store(out, (share, i, j), acc.reshape((1, BM, BN)).astype(out.dtype))


# --- host side ----------------------------------------------------------------------------------------------


def turned(x: Array, size: Triple, route: dict[str, Any]) -> Array:
    """x ``(N, C, D, H, W)`` as a new array ``(N, *size, C)``, zeros behind."""
    n, c = x.shape[:2]
    deep, tall, row = size
    dtype = arrays.dtype_of("x", x)
    out = workspace(x, n * prod(size) * c, dtype).reshape((n, deep, tall, row, c))
    wide = min(16, c)
    rows = max(1, min(tall, 2048 // (wide * row)))
    conv_turn[(pk.cdiv(tall, rows) * deep, pk.cdiv(c, wide), n)](x, out, BLOCK=(wide, rows), ROW=row, **route)
    return out


def windows_gradient(
    x: Array, grad: Array, out: Array, at: Padded, target: pk.targets.Target, route: dict[str, Any]
) -> None:
    """``out`` is ``(O, C, KD, KH, KW)``; its last four axes are one in memory."""
    dtype = arrays.dtype_of("x", x)
    wide = dot_accumulator(dtype)
    kd, kh, kw = at.kernel
    o, c = out.shape[:2]
    depth = at.channel
    sides = gradient_tiles(c, kh * kw, o, depth, kd, wide.itemsize, target)
    copy = arranged(x, at, depth, route)
    view = arrays.View(
        copy[at.origin :], (kd, c, kh, kw, depth), (*at.step[:1], at.channel, at.step[1], at.step[2], 1)
    ).array()
    turned_grad = turned(grad, at.size, route).reshape((depth, o))
    parts = workspace(x, sides.splits * c * kd * kh * kw * o, wide).reshape((sides.splits, c, kd, kh * kw, o))
    conv_windows_gradient[(pk.cdiv(c, sides.rows), pk.cdiv(o, sides.columns), kd * sides.splits)](
        view, turned_grad, parts, TAPS=(kh, kw), SPLITS=sides.splits, BC=sides.rows, BN=sides.columns, BK=sides.depth,
        **route,
    )  # fmt: skip
    k = c * kd * kh * kw
    (flat,) = arrays.merge(1, 5, arrays.view(out)) or ()
    turn_shares[lambda m: (pk.cdiv(k, m["BM"]), pk.cdiv(o, m["BN"]))](
        parts.reshape((sides.splits, k, o)), flat.array(), **route
    )


def pointwise_gradient(x: Array, grad: Array, out: Array, target: pk.targets.Target, route: dict[str, Any]) -> bool:
    """``out`` is ``(O, C, 1, 1, 1)``, x has the pixels of grad; False where the pixels of grad are not one axis."""
    seen = arrays.merge(2, 5, arrays.view(grad))
    if seen is None:
        return False
    wide = dot_accumulator(arrays.dtype_of("x", x))
    o, c = out.shape[:2]
    n, pixels = x.shape[0], prod(x.shape[2:])
    sides = gradient_tiles(o, 1, c, n * pixels, 1, wide.itemsize, target, added=False)
    last = turned(x, tuple(x.shape[2:]), route).reshape((n, pixels, c))  # type: ignore[arg-type]
    flat = arrays.view(out).drop(4).drop(3).drop(2)
    direct = sides.splits == 1
    parts = flat.insert(0).array() if direct else workspace(x, sides.splits * o * c, wide).reshape((sides.splits, o, c))
    conv_pointwise_gradient[(pk.cdiv(o, sides.rows), pk.cdiv(c, sides.columns), sides.splits)](
        seen[0].array(), last, parts, SPLITS=sides.splits, BM=sides.rows, BN=sides.columns,
        BK=evenly(pixels), **route,
    )  # fmt: skip
    if not direct:
        add_shares[lambda m: (pk.cdiv(o * c, m["B"]),)](parts.reshape((sides.splits, o * c)), out, **route)
    return True


def weight_gradient_in_tiles(
    x: Array, grad: Array, out: Array, geometry: Window, groups: int, route: dict[str, Any]
) -> bool:
    """Compute the gradient here if programs are threads and the shape suits; whether it was."""
    target = pk.target_of(x, **route)
    if target.schedule != "cpu" or target.has("whole_grid") or 0 in x.shape or 0 in grad.shape:
        return False
    one = (1, 1, 1)
    if geometry.kernel == one and groups == 1 and not any(geometry.front):
        step = geometry.stride
        x = x[
            (
                slice(None),
                slice(None),
                *(slice(None, (n - 1) * s + 1, s) for n, s in zip(grad.shape[2:], step, strict=True)),
            )
        ]
        return pointwise_gradient(x, grad, out, target, route)
    if geometry.stride != one:
        return False
    at = padded(tuple(x.shape), tuple(grad.shape[2:]), geometry.kernel, geometry.front, geometry.dilation)
    flat = arrays.merge(1, 5, arrays.view(out))
    if at is None or flat is None:
        return False
    if groups == 1:
        windows_gradient(x, grad, out, at, target, route)
        return True
    if not groups == x.shape[1] == grad.shape[1]:
        return False
    channelwise_gradient(x, grad, out, at, flat[0].array(), route)
    return True


def channelwise_gradient(x: Array, grad: Array, out: Array, at: Padded, flat: Array, route: dict[str, Any]) -> None:
    """For kernels of one channel each; ``flat`` is ``out`` as ``(C, taps)``."""
    copy = arranged(x, at, at.plane + sum(gradient_block(*grad.shape[3:])), route)
    shares = shares_of(grad)
    if shares == 1:
        launch_channels_gradient(copy, at, grad, arrays.view(flat).insert(0).array(), route)
        return
    parts = workspace(x, shares * prod(out.shape), dot_accumulator(arrays.dtype_of("x", x)))
    launch_channels_gradient(copy, at, grad, parts.reshape((shares, *flat.shape)), route)
    size = prod(out.shape)
    add_shares[lambda m: (pk.cdiv(size, m["B"]),)](parts.reshape((shares, size)), out, **route)
