"""Convolution (cross-correlation, as in machine learning) as an implicit matrix product, in one to three dimensions."""

from __future__ import annotations

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from ..activations import activate
from ..programs import split, tile_of
from .epilogue import finished


def narrow(n):
    """The size of an axis in int32, or the number that it is known to be."""
    return n if isinstance(n, int) else n.astype(pk.int32)


def pixels_of(shape):
    """How many pixels all images of an array ``(N, O, D, H, W)`` have."""
    return shape[0] * shape[2] * shape[3] * shape[4]


def pixel_of(index, shape):
    """The image and the three coordinates of flat pixels of an array ``(N, O, D, H, W)``."""
    row = index // narrow(shape[4])
    plane = row // narrow(shape[3])
    return plane // narrow(shape[2]), plane % narrow(shape[2]), row % narrow(shape[3]), index % narrow(shape[4])


@pk.kernel
def conv(
    x,
    weight,
    bias,
    residual,
    out,
    front,
    top,
    left,
    STRIDE: pk.constexpr[tuple] = (1, 1, 1),
    DILATION: pk.constexpr[tuple] = (1, 1, 1),
    GROUPS: pk.constexpr[int] = 1,
    TRANSPOSED: pk.constexpr[bool] = False,
    FLAT: pk.constexpr[bool] = False,
    BIAS: pk.constexpr[bool] = False,
    RESIDUAL: pk.constexpr[bool] = False,
    ACTIVATION: pk.constexpr[object] = "none",
    BM: pk.constexpr[int] = pk.auto(1, 128),
    BN: pk.constexpr[int] = pk.auto(8, 256),
    BK: pk.constexpr[int] = pk.auto(8, 128),
):
    """out ``(N, O, OD, OH, OW)`` from x ``(N, C, D, H, W)`` and weight ``(O, C / GROUPS, KD, KH, KW)``, any strides.

    ``out[n, o, p] = activation(sum over c, k of weight[o, c, k]·x[n, c, p·STRIDE + k·DILATION - (front, top, left)]
    + bias[o] + residual[n, o, p])``; x is 0 outside. DILATION may be negative. TRANSPOSED reads weight as
    ``(C, O / GROUPS, …)``, the form of transposed convolution. Without BIAS or RESIDUAL, that array is not read.

    A matrix product for each group: rows are output channels, columns are pixels of all images. The sum runs over taps
    and blocks of channels; FLAT lets it run over both at once, which pads less where the channels are few. No window is
    stored in memory. Grid: pixels / BN · O / GROUPS / BM · GROUPS. Pixels are counted in int32.

    Accumulates in float64 for float64, int32 for int8, float32 else. Error before the activation: γ(K + 3)·(sum of
    |products| + |bias| + |residual|) with K = C / GROUPS · KD · KH · KW, then one rounding. An infinite or NaN weight
    makes NaN of the zeros of the padding. Implicit product: Chetlur et al. 2014, "cuDNN: Efficient Primitives for Deep
    Learning".
    """
    kd, kh, kw = weight.shape[2], weight.shape[3], weight.shape[4]
    taps = kd * kh * kw
    channels = x.shape[1] // GROUPS
    per_group = out.shape[1] // GROUPS
    j, rest = split(pk.program_id(0), narrow(pk.cdiv(pixels_of(out.shape), BN)))
    i, group = split(rest, narrow(pk.cdiv(per_group, BM)))
    row = i * BM + pk.arange(BM)
    image, oz, oy, ox = pixel_of(j * BN + pk.arange(BN), out.shape)
    z0, y0, x0 = oz * STRIDE[0] - front, oy * STRIDE[1] - top, ox * STRIDE[2] - left
    valid = (row < per_group)[:, None]
    acc = pk.zeros((BM, BN), dot_accumulator(x.dtype))
    if FLAT:
        for step in range(pk.cdiv(channels * taps, BK)):
            term = step * BK + pk.arange(BK)
            c, tap = term // taps, term % taps
            kz, ky, kx = tap // (kh * kw), tap // kw % kh, tap % kw
            cs, at = (c[None, :], c[:, None]), (kz[None, :], ky[None, :], kx[None, :])
            keep = (c < channels)[None, :] & valid
            a = pk.gather(weight, (*filters(group, row, cs[0], per_group, channels, TRANSPOSED), *at), mask=keep)
            z = z0[None, :] + (kz * DILATION[0])[:, None]
            y = y0[None, :] + (ky * DILATION[1])[:, None]
            xx = x0[None, :] + (kx * DILATION[2])[:, None]
            place = (image[None, :], group * channels + cs[1], z, y, xx)
            acc = pk.dot(a, pk.gather(x, place, mask=(c < channels)[:, None]), acc)
    else:
        for tap in range(taps):
            kz, ky, kx = tap // (kh * kw), tap // kw % kh, tap % kw
            z, y, xx = z0 + kz * DILATION[0], y0 + ky * DILATION[1], x0 + kx * DILATION[2]
            for step in range(pk.cdiv(channels, BK)):
                c = step * BK + pk.arange(BK)
                keep = (c < channels)[None, :] & valid
                where = filters(group, row, c[None, :], per_group, channels, TRANSPOSED)
                a = pk.gather(weight, (*where, kz, ky, kx), mask=keep)
                place = (image[None, :], (group * channels + c)[:, None], z[None, :], y[None, :], xx[None, :])
                acc = pk.dot(a, pk.gather(x, place, mask=(c < channels)[:, None]), acc)
    o = group * per_group + row
    place = (image[None, :], o[:, None], oz[None, :], oy[None, :], ox[None, :])
    done = finished(acc, bias, residual, o[:, None], place, valid, BIAS, RESIDUAL, ACTIVATION)
    pk.scatter(out, place, done.astype(out.dtype), mask=valid)


def filters(group, row, c, per_group, channels, TRANSPOSED):
    """Where weight keeps output channel ``row`` and input channel ``c`` of ``group``: its first two indices."""
    if TRANSPOSED:
        return group * channels + c, row[:, None]
    return group * per_group + row[:, None], c


@pk.kernel
def conv_pointwise(
    x,
    weight,
    bias,
    residual,
    out,
    BIAS: pk.constexpr[bool] = False,
    RESIDUAL: pk.constexpr[bool] = False,
    ACTIVATION: pk.constexpr[object] = "none",
    BM: pk.constexpr[int] = pk.auto(1, 256),
    BN: pk.constexpr[int] = pk.auto(1, 512),
    BK: pk.constexpr[int] = pk.auto(8, 512),
):
    """out ``(N, O, P)`` from x ``(N, C, P)`` and weight ``(O, C)``, any strides: a matrix product for each image.

    The convolution whose kernel is one pixel, with stride 1 and no padding. Grid: P / BN · O / BM · N. Dtypes, epilogue
    and error as :func:`conv`, with K = C.
    """
    n, i, j = tile_of(out, BM, BN)
    acc = pk.zeros((BM, BN), dot_accumulator(x.dtype))
    for k in range(pk.cdiv(x.shape[1], BK)):
        acc = pk.dot(pk.load(weight, (i, k), (BM, BK)), pk.load(x, (n, k, j), (1, BK, BN)).reshape((BK, BN)), acc)
    if BIAS:
        acc = acc + pk.load(bias, (i,), (BM,)).astype(acc.dtype)[:, None]
    if RESIDUAL:
        acc = acc + pk.load(residual, (n, i, j), (1, BM, BN)).reshape((BM, BN)).astype(acc.dtype)
    done = activate(acc, ACTIVATION).astype(out.dtype)
    pk.store(out, (n, i, j), done.reshape((1, BM, BN)))
