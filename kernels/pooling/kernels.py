"""The kernels of pooling: maxima and means of windows, and what the gradient of an output is to the inputs."""

from __future__ import annotations

import portkernel as pk

from ..conv.dense import narrow, pixel_of
from ..programs import split
from .windows import elements_of_windows, first_windows, windows_of


def working(dtype):
    """float32 for shorter floats, else the dtype itself."""
    return pk.float32 if dtype.is_float and dtype.bits < 32 else dtype


def lowest(dtype):
    """What every element exceeds or equals."""
    return float("-inf") if dtype.is_float else dtype.min


def elements_of(out, BM, BN):
    """Channels, images and three coordinates of the elements of out ``(N, C, D, H, W)`` that this program makes.

    Grid: pixels of out / BN · C / BM.
    """
    pixels = out.shape[0] * out.shape[2] * out.shape[3] * out.shape[4]
    p, k = split(pk.program_id(0), narrow(pk.cdiv(pixels, BN)))
    return k * BM + pk.arange(BM), *pixel_of(p * BN + pk.arange(BN), out.shape)


def extent(x):
    """D, H and W of x ``(N, C, D, H, W)``."""
    return narrow(x.shape[2]), narrow(x.shape[3]), narrow(x.shape[4])


def at(image, c, z, y, x):
    """The indices of a tile: channels by pixels."""
    return image[None, :], c[:, None], z[None, :], y[None, :], x[None, :]


@pk.kernel
def max_pool(
    x,
    out,
    indices,
    KERNEL: pk.constexpr[tuple] = (1, 1, 1),
    STRIDE: pk.constexpr[tuple] = (1, 1, 1),
    DILATION: pk.constexpr[tuple] = (1, 1, 1),
    FRONT: pk.constexpr[tuple] = (0, 0, 0),
    ADAPTIVE: pk.constexpr[bool] = False,
    INDICES: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 512),
):
    """out ``(N, C, OD, OH, OW)``: the largest element of each window of x ``(N, C, D, H, W)``, any strides; exact.

    With INDICES, ``indices`` of out's shape gets where it is, counted row-major in ``(D, H, W)``: the first of equals, or
    of NaNs. Padding never wins; a window of padding alone gives -inf (the least integer) and -1. With ADAPTIVE the
    windows divide x, and KERNEL is the longest. Grid: pixels of out / BN · C / BM.
    """
    wide = working(x.dtype)
    c, image, oz, oy, ox = elements_of(out, BM, BN)
    d, h, w = extent(x)
    start, stop = windows_of((oz, oy, ox), (d, h, w), out.shape[2:], KERNEL, STRIDE, FRONT, ADAPTIVE)
    z0, y0, x0 = start
    z1, y1, x1 = stop
    best = pk.full((BM, BN), lowest(x.dtype), wide)
    where = pk.full((BM, BN), -1, pk.int32)
    for tap in range(KERNEL[0] * KERNEL[1] * KERNEL[2]):
        z = z0 + tap // (KERNEL[1] * KERNEL[2]) * DILATION[0]
        y = y0 + tap // KERNEL[2] % KERNEL[1] * DILATION[1]
        xx = x0 + tap % KERNEL[2] * DILATION[2]
        inside = (z >= 0) & (z < d) & (y >= 0) & (y < h) & (xx >= 0) & (xx < w)
        if ADAPTIVE:
            inside = inside & (z < z1) & (y < y1) & (xx < x1)
        place = at(image, c, z, y, xx)
        value = pk.gather(x, place, mask=inside[None, :], pad=lowest(x.dtype)).astype(wide)
        if INDICES:
            better = (where < 0) | (value > best)
            if x.dtype.is_float:
                better = better | ((value != value) & (best == best))
            better = better & inside[None, :]
            best = pk.where(better, value, best)
            where = pk.where(better, ((z * h + y) * w + xx)[None, :], where)
        else:
            best = pk.maximum(best, value)
    place = at(image, c, oz, oy, ox)
    pk.scatter(out, place, best.astype(out.dtype))
    if INDICES:
        pk.scatter(indices, place, where.astype(indices.dtype))


@pk.kernel
def avg_pool(
    x,
    out,
    divisor,
    KERNEL: pk.constexpr[tuple] = (1, 1, 1),
    STRIDE: pk.constexpr[tuple] = (1, 1, 1),
    FRONT: pk.constexpr[tuple] = (0, 0, 0),
    BEHIND: pk.constexpr[tuple] = (0, 0, 0),
    ADAPTIVE: pk.constexpr[bool] = False,
    PADDED: pk.constexpr[bool] = True,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 512),
):
    """out ``(N, C, OD, OH, OW)``: the mean of each window of x ``(N, C, D, H, W)``, any strides.

    The sum is divided by ``divisor`` if that is not 0, else by the window's elements: with PADDED, those of the padding
    (FRONT before, BEHIND after) count as zeros. ADAPTIVE as in :func:`max_pool`. Grid: pixels of out / BN · C / BM.
    Accumulates in float64 for float64, float32 else. Error: γ(K + 4)·(mean of |x|), K elements, then one rounding.
    """
    wide = working(x.dtype)
    c, image, oz, oy, ox = elements_of(out, BM, BN)
    d, h, w = extent(x)
    start, stop = windows_of((oz, oy, ox), (d, h, w), out.shape[2:], KERNEL, STRIDE, FRONT, ADAPTIVE)
    z0, y0, x0 = start
    z1, y1, x1 = stop
    total = pk.zeros((BM, BN), wide)
    for tap in range(KERNEL[0] * KERNEL[1] * KERNEL[2]):
        z, y, xx = z0 + tap // (KERNEL[1] * KERNEL[2]), y0 + tap // KERNEL[2] % KERNEL[1], x0 + tap % KERNEL[2]
        place = at(image, c, z, y, xx)
        total = total + pk.gather(x, place, mask=((z < z1) & (y < y1) & (xx < x1))[None, :]).astype(wide)
    count = elements_of_windows(start, stop, (d, h, w), BEHIND, PADDED)
    count = pk.where(divisor != 0, divisor, count).astype(wide)
    pk.scatter(out, at(image, c, oz, oy, ox), (total / count[None, :]).astype(out.dtype))


@pk.kernel
def max_pool_gradient(
    grad,
    indices,
    out,
    WINDOWS: pk.constexpr[tuple] = (1, 1, 1),
    STRIDE: pk.constexpr[tuple] = (1, 1, 1),
    FRONT: pk.constexpr[tuple] = (0, 0, 0),
    ADAPTIVE: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 512),
):
    """out ``(N, C, D, H, W)``: for each input the sum of grad ``(N, C, OD, OH, OW)`` over the windows that it won.

    ``indices`` are those of :func:`max_pool`. Each input looks at the WINDOWS that can hold it, in order: no atomics.
    Grid: pixels of out / BN · C / BM. Accumulates in float64 for float64, float32 else. Error: γ(K)·(sum of |grad|),
    K windows, then one rounding.
    """
    wide = working(grad.dtype)
    c, image, z, y, x = elements_of(out, BM, BN)
    d, h, w = extent(out)
    here = ((z * h + y) * w + x).astype(indices.dtype)
    z0, y0, x0 = first_windows((z, y, x), (d, h, w), grad.shape[2:], STRIDE, FRONT, WINDOWS, ADAPTIVE)
    total = pk.zeros((BM, BN), wide)
    for step in range(WINDOWS[0] * WINDOWS[1] * WINDOWS[2]):
        oz, oy = z0 + step // (WINDOWS[1] * WINDOWS[2]), y0 + step // WINDOWS[2] % WINDOWS[1]
        place = at(image, c, oz, oy, x0 + step % WINDOWS[2])
        won = pk.gather(indices, place, pad=-1) == here[None, :]
        total = total + pk.gather(grad, place, mask=won).astype(wide)
    pk.scatter(out, at(image, c, z, y, x), total.astype(out.dtype))


@pk.kernel
def avg_pool_gradient(
    grad,
    out,
    divisor,
    WINDOWS: pk.constexpr[tuple] = (1, 1, 1),
    KERNEL: pk.constexpr[tuple] = (1, 1, 1),
    STRIDE: pk.constexpr[tuple] = (1, 1, 1),
    FRONT: pk.constexpr[tuple] = (0, 0, 0),
    BEHIND: pk.constexpr[tuple] = (0, 0, 0),
    ADAPTIVE: pk.constexpr[bool] = False,
    PADDED: pk.constexpr[bool] = True,
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 512),
):
    """out ``(N, C, D, H, W)``: for each input the sum of grad ``(N, C, OD, OH, OW)`` over its windows' divisors.

    Arguments as :func:`avg_pool`; each input looks at the WINDOWS that can hold it, in order. Grid: pixels of out / BN ·
    C / BM. Accumulates in float64 for float64, float32 else. Error: γ(K + 4)·(sum of |grad| / divisor), K windows, then
    one rounding.
    """
    wide = working(grad.dtype)
    c, image, z, y, x = elements_of(out, BM, BN)
    d, h, w = extent(out)
    z0, y0, x0 = first_windows((z, y, x), (d, h, w), grad.shape[2:], STRIDE, FRONT, WINDOWS, ADAPTIVE)
    total = pk.zeros((BM, BN), wide)
    for step in range(WINDOWS[0] * WINDOWS[1] * WINDOWS[2]):
        oz, oy = z0 + step // (WINDOWS[1] * WINDOWS[2]), y0 + step // WINDOWS[2] % WINDOWS[1]
        ox = x0 + step % WINDOWS[2]
        start, stop = windows_of((oz, oy, ox), (d, h, w), grad.shape[2:], KERNEL, STRIDE, FRONT, ADAPTIVE)
        holds = (start[0] <= z) & (z < stop[0]) & (start[1] <= y) & (y < stop[1]) & (start[2] <= x) & (x < stop[2])
        count = pk.where(divisor != 0, divisor, elements_of_windows(start, stop, (d, h, w), BEHIND, PADDED))
        count = pk.where(holds, count, 1).astype(wide)
        place = at(image, c, oz, oy, ox)
        total = total + pk.gather(grad, place, mask=holds[None, :]).astype(wide) / count[None, :]
    pk.scatter(out, at(image, c, z, y, x), total.astype(out.dtype))
