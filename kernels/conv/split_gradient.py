"""The gradient for the weight of a strided convolution on one thread a program: products over positions, phase by phase."""

from __future__ import annotations

from typing import Any

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from .. import arrays
from .geometry import Window
from .sizes import evenly, gradient_tiles
from .split import Split, split, split_copy
from .views import Array
from .windows import workspace
from .windows_gradient import conv_windows_gradient, turned


@pk.kernel
def conv_merge_weight(
    parts,
    out,
    STRIDE: pk.constexpr[tuple] = (1, 1, 1),
    PHASES: pk.constexpr[tuple] = (),
    MOST: pk.constexpr[int] = 1,
    BM: pk.constexpr[int] = 8,
    BC: pk.constexpr[int] = 8,
):
    """out ``(O, C, KD, KH, KW)``, any strides, from shares parts ``(P, S, C, planes of taps · MOST, O)``: their sums over S.

    PHASES are as in :func:`conv_split_weight`, its taps STRIDE apart, MOST at the most in a plane. Grid: (O / BM, C / BC).
    Accumulates in the dtype of parts. Error: γ(S - 1)·(sum of |parts|), then one rounding.
    """
    i, c = pk.program_id(0), pk.program_id(1)
    for p in pk.static_range(len(PHASES)):
        taps, first = PHASES[p][1], PHASES[p][2]
        for t in range(taps[0] * taps[1] * taps[2]):
            z, y, x = t // (taps[1] * taps[2]), t // taps[2] % taps[1], t % taps[2]
            total = pk.zeros((1, 1, BC, 1, BM), parts.dtype)
            for s in range(parts.shape[1]):
                total = total + pk.load(parts, (p, s, c, z * MOST + y * taps[2] + x, i), (1, 1, BC, 1, BM))
            place = (i, c, first[0] + z * STRIDE[0], first[1] + y * STRIDE[1], first[2] + x * STRIDE[2])
            found = total.reshape((BC, BM)).transpose().astype(out.dtype)
            pk.store(out, place, found.reshape((BM, BC, 1, 1, 1)))


def split_gradient(
    x: Array, grad: Array, out: Array, at: Split, target: pk.targets.Target, route: dict[str, Any]
) -> None:
    """``out`` is ``(O, C, KD, KH, KW)``; taps that see nothing but padding are among the phases too."""
    wide = dot_accumulator(arrays.dtype_of("x", x))
    o, c = out.shape[:2]
    depth = at.channel
    most = at.most
    plane = most[1] * most[2]
    copy, phase = split_copy(x, at, depth, route)
    turned_grad = turned(grad, at.size, route).reshape((depth, o))
    tiles = [gradient_tiles(c, k[1] * k[2], o, depth, k[0], wide.itemsize, target) for _, k, *_ in at.phases]
    splits = max(t.splits for t in tiles)
    parts = workspace(x, len(tiles) * splits * c * most[0] * plane * o, wide)
    parts = parts.reshape((len(tiles), splits, c, most[0], plane, o))
    for part, sides, (f, (kd, kh, kw), _, base) in zip(parts, tiles, at.phases, strict=True):
        view = arrays.View(
            copy[at.origin + f * phase + base :],
            (kd, c, kh, kw, depth),
            (at.step[0], at.channel, at.step[1], at.step[2], 1),
        ).array()
        conv_windows_gradient[(pk.cdiv(c, sides.rows), pk.cdiv(o, sides.columns), kd * splits)](
            view, turned_grad, part[:, :, :kd, : kh * kw], TAPS=(kh, kw), SPLITS=splits, BC=sides.rows,
            BN=sides.columns, BK=evenly(depth, splits), **route,
        )  # fmt: skip
    bm, bc = min(o, 16), min(c, 16)
    conv_merge_weight[(pk.cdiv(o, bm), pk.cdiv(c, bc))](
        parts.reshape((len(tiles), splits, c, most[0] * plane, o)), out, STRIDE=at.apart, PHASES=at.phases, MOST=plane,
        BM=bm, BC=bc, **route,
    )  # fmt: skip


def weight_gradient_in_phases(
    x: Array, grad: Array, out: Array, geometry: Window, groups: int, route: dict[str, Any]
) -> bool:
    """Compute the gradient of a strided convolution here if programs are threads and all channels meet; whether it was."""
    target = pk.target_of(x, **route)
    if target.schedule != "cpu" or target.has("whole_grid") or 0 in x.shape or 0 in grad.shape or groups > 1:
        return False
    image, size = tuple(x.shape), tuple(grad.shape[2:])
    at = split(image, size, geometry.kernel, geometry.stride, geometry.front, geometry.dilation)
    if at is None:
        return False
    split_gradient(x, grad, out, at, target, route)
    return True
