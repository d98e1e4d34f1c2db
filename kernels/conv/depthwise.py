"""Convolution of each channel by itself: sums of a few products, no matrix product."""

from __future__ import annotations

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from ..programs import split
from .dense import narrow, pixel_of, pixels_of
from .epilogue import finished


@pk.kernel
def conv_depthwise(
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
    TRANSPOSED: pk.constexpr[bool] = False,
    BIAS: pk.constexpr[bool] = False,
    RESIDUAL: pk.constexpr[bool] = False,
    ACTIVATION: pk.constexpr[object] = "none",
    BM: pk.constexpr[int] = pk.auto(1, 64),
    BN: pk.constexpr[int] = pk.auto(1, 512),
):
    """out ``(N, O, OD, OH, OW)`` from x ``(N, C, D, H, W)`` and weight ``(O, 1, KD, KH, KW)``, any strides; C divides O.

    As :func:`conv` with as many groups as channels: output channel o sees channel ``o // (O / C)`` alone. TRANSPOSED
    reads weight as ``(C, O / C, …)``. Grid: pixels / BN · O / BM. Dtypes, epilogue and error as :func:`conv`, with
    K = KD · KH · KW.
    """
    kd, kh, kw = weight.shape[2], weight.shape[3], weight.shape[4]
    multiplier = out.shape[1] // x.shape[1]
    wide = dot_accumulator(x.dtype)
    j, i = split(pk.program_id(0), narrow(pk.cdiv(pixels_of(out.shape), BN)))
    image, oz, oy, ox = pixel_of(j * BN + pk.arange(BN), out.shape)
    z0, y0, x0 = oz * STRIDE[0] - front, oy * STRIDE[1] - top, ox * STRIDE[2] - left
    o = i * BM + pk.arange(BM)
    c = (o // multiplier)[:, None]
    acc = pk.zeros((BM, BN), wide)
    for tap in range(kd * kh * kw):
        kz, ky, kx = tap // (kh * kw), tap // kw % kh, tap % kw
        if TRANSPOSED:
            a = pk.gather(weight, (o // multiplier, o % multiplier, kz, ky, kx))
        else:
            a = pk.gather(weight, (o, 0, kz, ky, kx))
        z, y, xx = z0 + kz * DILATION[0], y0 + ky * DILATION[1], x0 + kx * DILATION[2]
        seen = pk.gather(x, (image[None, :], c, z[None, :], y[None, :], xx[None, :]))
        acc = acc + a.astype(wide)[:, None] * seen.astype(wide)
    place = (image[None, :], o[:, None], oz[None, :], oy[None, :], ox[None, :])
    done = finished(acc, bias, residual, o[:, None], place, None, BIAS, RESIDUAL, ACTIVATION)
    pk.scatter(out, place, done.astype(out.dtype))
