"""Two-dimensional convolution (cross-correlation, as in machine learning) as an implicit matrix product."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, gamma, poison, rounding, sample


def accumulator(dtype):
    """float64 for float64, int32 for small integers, float32 for every other float."""
    return pk.float64 if dtype == pk.float64 else pk.float32 if dtype.is_float else pk.int32


@pk.kernel
def conv2d(
    x,
    weight,
    bias,
    out,
    STRIDE: pk.constexpr[tuple] = (1, 1),
    PADDING: pk.constexpr[tuple] = (0, 0),
    DILATION: pk.constexpr[tuple] = (1, 1),
    GROUPS: pk.constexpr[int] = 1,
    BIAS: pk.constexpr[bool] = False,
    BM: pk.constexpr[int] = pk.auto(1, 128),
    BN: pk.constexpr[int] = pk.auto(8, 256),
    BK: pk.constexpr[int] = pk.auto(8, 128),
):
    """out ``(N, O, OH, OW)`` from x ``(N, C, H, W)``, weight ``(O, C / GROUPS, KH, KW)`` and bias ``(O,)``, any strides.

    A matrix product for each group: rows are output channels, columns are pixels of all images, the sum runs over
    channels and taps; the window of x is gathered, and reads 0 in the padding. Grid: (pixels / BN, O / GROUPS / BM,
    GROUPS). Accumulates as matmul does; bias has the accumulator's dtype, or x's. Without BIAS, bias is not read.
    Error: γ(K + 2)·(sum of |products| + |bias|) with K = C / GROUPS · KH · KW, then one rounding.
    """
    oh, ow = out.shape[2], out.shape[3]
    channels, kh, kw = weight.shape[1], weight.shape[2], weight.shape[3]
    per_group = out.shape[1] // GROUPS
    group = pk.program_id(2)
    row = pk.program_id(1) * BM + pk.arange(BM)
    pixel = pk.program_id(0) * BN + pk.arange(BN)
    image, oy, ox = pixel // (oh * ow), pixel % (oh * ow) // ow, pixel % ow
    top, left = oy * STRIDE[0] - PADDING[0], ox * STRIDE[1] - PADDING[1]
    o = group * per_group + row
    acc = pk.zeros((BM, BN), accumulator(x.dtype))
    for step in range(pk.cdiv(channels * kh * kw, BK)):
        tap = step * BK + pk.arange(BK)
        c, ky, kx = tap // (kh * kw), tap % (kh * kw) // kw, tap % kw
        taps = pk.gather(weight, (o[:, None], c[None, :], ky[None, :], kx[None, :]), mask=(row < per_group)[:, None])
        y = top[None, :] + (ky * DILATION[0])[:, None]
        z = left[None, :] + (kx * DILATION[1])[:, None]
        window = pk.gather(x, (image[None, :], (group * channels + c)[:, None], y, z), mask=(c < channels)[:, None])
        acc = pk.dot(taps, window, acc)
    if BIAS:
        acc = acc + pk.gather(bias, (o,)).astype(acc.dtype)[:, None]
    place = (image[None, :], o[:, None], oy[None, :], ox[None, :])
    pk.scatter(out, place, acc.astype(out.dtype), mask=(row < per_group)[:, None])


def reference_conv2d(x, weight, stride, padding, dilation, groups):
    """The convolution in the dtype of the arguments, tap by tap."""
    n, c, h, w = x.shape
    o, cg, kh, kw = weight.shape
    padded = np.zeros((n, c, h + 2 * padding[0], w + 2 * padding[1]), x.dtype)
    padded[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w] = x
    oh, ow = out_size(h, kh, 0, stride, padding, dilation), out_size(w, kw, 1, stride, padding, dilation)
    out = np.zeros((n, groups, o // groups, oh, ow), x.dtype)
    for ky in range(kh):
        for kx in range(kw):
            y, z = ky * dilation[0], kx * dilation[1]
            part = padded[
                :, :, y : y + (oh - 1) * stride[0] + 1 : stride[0], z : z + (ow - 1) * stride[1] + 1 : stride[1]
            ]
            taps = weight[:, :, ky, kx].reshape(groups, o // groups, cg)
            out += np.einsum("ngchw,goc->ngohw", part.reshape(n, groups, cg, oh, ow), taps)
    return out.reshape(n, o, oh, ow)


def out_size(n: int, k: int, axis: int, stride, padding, dilation) -> int:
    """Output pixels along one axis."""
    return (n + 2 * padding[axis] - dilation[axis] * (k - 1) - 1) // stride[axis] + 1


def _case(
    image, channels: int, kernel, *, batch=1, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, bias=False,
    layout="",
):  # fmt: skip
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        inputs, (h, w), (kh, kw) = image[0], image[1:], kernel
        acc = accumulator(dtype)
        work = acc.np if acc.is_integer else np.float64
        x = sample(rng, (batch, inputs, h, w), dtype)
        weight = sample(rng, (channels, inputs // groups, kh, kw), dtype)
        if layout == "channels last":
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
            weight = weight[:, :, ::-1, ::-1]
        shift = sample(rng, (channels,), acc) if bias else np.zeros((1,), acc.np)
        stored = acc if dtype.bits == 8 else dtype
        oh, ow = out_size(h, kh, 0, stride, padding, dilation), out_size(w, kw, 1, stride, padding, dilation)
        terms = inputs // groups * kh * kw

        def total(f, s):
            found = reference_conv2d(f(x), f(weight), stride, padding, dilation, groups)
            return found + s[:, None, None] if bias else found

        def reference():
            return {"out": total(lambda t: exact(t).astype(work), exact(shift))}

        def bound():
            if acc.is_integer:
                return {"out": np.zeros((batch, channels, oh, ow))}
            size = total(lambda t: np.abs(exact(t)), np.abs(exact(shift)))
            return {"out": gamma(terms + 2, acc) * size + rounding(reference()["out"], stored)}

        return Problem(
            args={"x": x, "weight": weight, "bias": shift, "out": poison((batch, channels, oh, ow), stored)},
            grid=lambda meta: (
                pk.cdiv(batch * oh * ow, meta["BN"]),
                pk.cdiv(channels // groups, meta["BM"]),
                groups,
            ),
            constants={
                "STRIDE": stride,
                "PADDING": padding,
                "DILATION": dilation,
                "GROUPS": groups,
                "BIAS": bias,
            },
            outputs=("out",),
            reference=reference,
            bound=bound,
        )

    return make


ENTRIES = (
    Entry(
        "conv2d",
        conv2d,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16, pk.int8),
        (
            Case("2×16×28×28, 32 of 3×3, padding, bias", _case((16, 28, 28), 32, (3, 3), batch=2, padding=(1, 1), bias=True)),
            Case("1×1 of 1×1", _case((1, 1, 1), 1, (1, 1))),
            Case("pointwise", _case((17, 9, 7), 19, (1, 1), batch=2)),
            Case("stride, dilation, odd", _case((5, 19, 23), 7, (3, 5), stride=(2, 3), padding=(2, 1), dilation=(2, 1))),
            Case("3 groups", _case((9, 11, 10), 6, (3, 3), batch=2, groups=3, padding=(1, 0), bias=True)),
            Case("depthwise, channels last", _case((8, 13, 13), 8, (3, 3), groups=8, stride=(2, 2), padding=(1, 1), layout="channels last")),
        ),
    ),
)  # fmt: skip
