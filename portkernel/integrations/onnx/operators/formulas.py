"""Functions of tiles that ONNX defines and NumPy has no name for: each becomes one kernel by ``pk.ops.elementwise``.

Errors are those of the functions of the language that they are made of; the docstrings say where it is more.
"""

from __future__ import annotations

from typing import Any

import portkernel as pk

Tile = Any


def prelu(x: Tile, slope: Tile) -> Tile:
    return pk.where(x < 0, x * slope, x)


def celu(x: Tile, alpha: Tile) -> Tile:
    return pk.maximum(x, 0) + pk.minimum(pk.expm1(x / alpha) * alpha, 0)


def selu(x: Tile, alpha: Tile, gamma: Tile) -> Tile:
    return pk.where(x > 0, x, pk.expm1(pk.minimum(x, 0)) * alpha) * gamma


def hard_sigmoid(x: Tile, alpha: Tile, beta: Tile) -> Tile:
    return pk.minimum(pk.maximum(x * alpha + beta, 0), 1)


def swish(x: Tile, alpha: Tile) -> Tile:
    return x * pk.sigmoid(x * alpha)


def thresholded_relu(x: Tile, alpha: Tile) -> Tile:
    return pk.where(x > alpha, x, pk.zeros_like(x))


def shrink(x: Tile, bias: Tile, limit: Tile) -> Tile:
    zero = pk.zeros_like(x)
    return pk.where(x < -limit, (x + bias).astype(x.dtype), pk.where(x > limit, (x - bias).astype(x.dtype), zero))


def inverse_root(x: Tile, eps: Tile) -> Tile:
    return 1.0 / pk.sqrt(x + eps)


def nan_above(x: Tile, limit: Tile) -> Tile:
    """NaN where |x| is above ``limit``."""
    return pk.where(pk.abs(x) > limit, x - x + float("nan"), x)


def low_bits(x: Tile, mask: Tile) -> Tile:
    """An integer modulo a power of two, which is ``mask + 1``: the byte of a small integer, signed or not."""
    return (x & mask).astype(pk.uint8)


def power_of_two(x: Tile) -> Tile:
    """The exponent byte of |x|, rounded up to a power of two: 255 for what is no number."""
    bits = pk.bitcast(pk.abs(x), pk.int32)
    exponent = (bits >> 23) + pk.where((bits & 0x7FFFFF) > 0, 1, 0)
    return pk.where(pk.isfinite(x), pk.minimum(exponent, 254), 255)


def small_float(x: Tile, mantissa: int, bias: int, unsigned_zero: bool) -> Tile:
    """The bits of x as a float of ``mantissa`` fraction bits and exponent ``bias``, nearest even; x is in range.

    Scaling by a power of two puts the last kept bit at 1, so that rounding to an integer rounds the fraction.
    """
    size = pk.abs(x)
    exponent = pk.maximum((pk.bitcast(size, pk.int32) >> 23) - 127, 1 - bias)
    unit = pk.bitcast((exponent - mantissa + 127) << 23, pk.float32)
    count = pk.round(size / unit).astype(pk.int32)
    carried = count >= (2 << mantissa)
    count = pk.where(carried, count >> 1, count)
    exponent = pk.where(carried, exponent + 1, exponent)
    normal = count >= (1 << mantissa)
    code = pk.where(normal, ((exponent + bias) << mantissa) + count - (1 << mantissa), count)
    negative = pk.bitcast(x, pk.int32) < 0
    if unsigned_zero:
        negative = negative & (code != 0)
    return code, negative


def e4m3fnuz(x: Tile) -> Tile:
    code, negative = small_float(x, 3, 8, True)
    code = pk.where(negative, code + 128, code)
    return pk.where(pk.isfinite(x) & (pk.abs(x) < 248.0), code, 128)


def e5m2fnuz(x: Tile) -> Tile:
    code, negative = small_float(x, 2, 16, True)
    code = pk.where(negative, code + 128, code)
    return pk.where(pk.isfinite(x) & (pk.abs(x) < 61440.0), code, 128)


def e2m1(x: Tile) -> Tile:
    code, negative = small_float(x, 1, 1, False)
    return pk.where(negative, code + 8, code)


def quantized(x: Tile, zero: Tile, low: Tile, high: Tile) -> Tile:
    """x rounded to even, plus the zero point, within the range of the quantized type."""
    rounded = pk.round(x)
    return pk.minimum(pk.maximum(rounded + zero.astype(rounded.dtype), low), high)


def span(high: Tile, low: Tile) -> Tile:
    return (high - low) / 255.0


def zero_of(low: Tile, scale: Tile) -> Tile:
    return pk.minimum(pk.maximum(pk.round(0.0 - low / scale), 0), 255)


def blend(old: Tile, new: Tile, momentum: Tile) -> Tile:
    return old * momentum + new * (1 - momentum)


def quotient_or_zero(x: Tile, y: Tile) -> Tile:
    return pk.where(y == 0, pk.zeros_like(x), x / pk.where(y == 0, y + 1, y))


def local_response(x: Tile, total: Tile, alpha: Tile, beta: Tile, bias: Tile) -> Tile:
    return x / pk.power(total * alpha + bias, beta)


def standardized(x: Tile, mean: Tile, var: Tile) -> Tile:
    return (x - mean) / (pk.sqrt(var) + 1e-9)


def power_of_size(x: Tile, p: Tile) -> Tile:
    """|x| to the power of p."""
    return pk.power(pk.abs(x), p)


def progression(i: Tile, start: Tile, step: Tile) -> Tile:
    return i.astype(start.dtype) * step + start


def wrapped_index(i: Tile, n: Tile) -> Tile:
    """A negative index counted from the end."""
    return pk.where(i < 0, i + n, i)


def affine(x: Tile, alpha: Tile, beta: Tile) -> Tile:
    return x * alpha + beta


def multiplied_add(x: Tile, y: Tile, z: Tile) -> Tile:
    return x * y + z


def mixed(z: Tile, old: Tile, new: Tile) -> Tile:
    """``old`` where z is 1, ``new`` where it is 0."""
    return new + z * (old - new)


# --- points between pixels ----------------------------------------------------------------------------------


def corner_place(x: Tile, n: Tile) -> Tile:
    """Where -1 and 1 are the middles of the first and the last pixel."""
    return (x + 1) * 0.5 * (n - 1)


def pixel_place(x: Tile, n: Tile) -> Tile:
    """Where -1 and 1 are the outer edges of the first and the last pixel."""
    return ((x + 1) * n - 1) * 0.5


def tap_place(at: Tile, k: Tile) -> Tile:
    return pk.floor(at) + k


def neighbour(at: Tile, k: Tile, n: Tile) -> Tile:
    """The k-th pixel from the one at or before the place, brought inside."""
    return pk.minimum(pk.maximum(pk.floor(at) + k, 0), n - 1).astype(pk.int64)


def _real(at: Tile, k: Tile, n: Tile) -> Tile:
    place = pk.floor(at) + k
    return (place >= 0) & (place <= n - 1)


def one_weight(at: Tile, k: Tile, n: Tile) -> Tile:
    return pk.where(_real(at, k, n), at * 0 + 1, at * 0)


def linear_weight(at: Tile, k: Tile, n: Tile) -> Tile:
    return pk.where(_real(at, k, n), 1 - pk.abs(at - pk.floor(at) - k), at * 0)


def free_cubic_weight(at: Tile, k: Tile) -> Tile:
    """Keys (1981), with slope -0.75."""
    d = pk.abs(at - pk.floor(at) - k)
    near = (1.25 * d - 2.25) * d * d + 1
    far = ((-0.75 * d + 3.75) * d - 6) * d + 3
    return pk.where(d <= 1, near, far)


def cubic_weight(at: Tile, k: Tile, n: Tile) -> Tile:
    return pk.where(_real(at, k, n), free_cubic_weight(at, k), at * 0)


def reflected(at: Tile, low: Tile, high: Tile) -> Tile:
    """Folded back at ``low`` and ``high`` as often as it takes."""
    span_ = high - low
    rest = pk.abs(at - low) % (2 * span_)
    return low + pk.where(rest > span_, 2 * span_ - rest, rest)


def near_image(at: Tile, n: Tile) -> Tile:
    """1 for a place at most one pixel outside, else 0."""
    return pk.where((at >= -1) & (at <= n), at * 0 + 1, at * 0)


# --- boxes, digits, training --------------------------------------------------------------------------------


def beside(centre: Tile, size: Tile, part: Tile) -> Tile:
    return centre + size * part


def intersection_over_union(
    top: Tile, left: Tile, bottom: Tile, right: Tile, top2: Tile, left2: Tile, bottom2: Tile, right2: Tile
) -> Tile:
    height = pk.maximum(pk.minimum(bottom, bottom2) - pk.maximum(top, top2), 0)
    width = pk.maximum(pk.minimum(right, right2) - pk.maximum(left, left2), 0)
    both = height * width
    area = (bottom - top) * (right - left) + (bottom2 - top2) * (right2 - left2) - both
    return pk.where(area > 0, both / pk.where(area > 0, area, area * 0 + 1), both * 0)


def digit(place: Tile, step: Tile, n: Tile) -> Tile:
    """The index along an axis of ``n`` of a row-major place, ``step`` elements apart."""
    return place // step % n


def above(x: Tile, limit: Tile) -> Tile:
    return pk.where(x > limit, x * 0 + 1, x * 0)


def gradient_with_decay(x: Tile, g: Tile, decay: Tile) -> Tile:
    return x * decay + g


def squares_added(h: Tile, g: Tile) -> Tile:
    return h + g * g


def adagrad(x: Tile, g: Tile, h: Tile, rate: Tile, eps: Tile) -> Tile:
    return x - rate * g / (pk.sqrt(h) + eps)


def adam_squares(h: Tile, g: Tile, beta: Tile) -> Tile:
    return h * beta + g * g * (1 - beta)


def adam(x: Tile, v: Tile, h: Tile, rate: Tile, eps: Tile, after: Tile) -> Tile:
    return (x - rate * v / (pk.sqrt(h) + eps)) * after


def moving(v: Tile, g: Tile, alpha: Tile, beta: Tile) -> Tile:
    return v * alpha + g * beta


def stepped(x: Tile, g: Tile, rate: Tile) -> Tile:
    return x - rate * g


def nesterov(x: Tile, g: Tile, v: Tile, rate: Tile, alpha: Tile) -> Tile:
    return x - rate * (g + v * alpha)


def mel_weight(k: Tile, low: Tile, middle: Tile, high: Tile) -> Tile:
    """A triangle over the bins ``low`` to ``high``, 1 at ``middle``."""
    up = pk.where(middle == low, k * 0 + 1, (k - low) / pk.where(middle == low, middle * 0 + 1, middle - low))
    down = (high - k) / pk.where(high == middle, high * 0 + 1, high - middle)
    inside = (k >= low) & (k <= middle)
    return pk.where(inside, up, pk.where((k > middle) & (k < high), down, k * 0))
