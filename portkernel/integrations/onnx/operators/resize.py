"""Images at other sizes. Places and weights along each axis are tables of the host; a kernel sums along it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from portkernel import ops
from portkernel.errors import ArgumentError

from ..registry import operator
from .arrays import Array, along, copied, integers, one_of


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: ``n`` elements become ``m``; ``scale`` is what the model says, which m / n only approximates."""

    axis: int
    n: int
    m: int
    scale: float
    start: float = 0.0
    end: float = 1.0

    def origins(self, mode: str) -> Array:
        """Where in the input each place of the output lies."""
        i = np.arange(self.m, dtype=np.float64)
        n, m, s = self.n, self.m, self.scale
        match mode:
            case "half_pixel":
                return (i + 0.5) / s - 0.5
            case "half_pixel_symmetric":
                return n / 2 * (1 - m / (s * n)) + (i + 0.5) / s - 0.5
            case "pytorch_half_pixel":
                return (i + 0.5) / s - 0.5 if m > 1 else np.zeros(1)
            case "align_corners":
                width = s * n
                return i * (n - 1) / (width - 1) if width != 1 else np.zeros(m)
            case "asymmetric" | "":
                return i / s
            case "tf_half_pixel_for_nn":
                return (i + 0.5) / s
            case "tf_crop_and_resize":
                if m == 1:
                    return np.asarray([0.5 * (self.start + self.end) * (n - 1)])
                return self.start * (n - 1) + i * (self.end - self.start) * (n - 1) / (m - 1)
            case other:
                raise ArgumentError(f"onnx: coordinate_transformation_mode: expected a known one, got {other!r}")


def nearest(x: Array, mode: str, n: int) -> Array:
    return np.clip(_NEAREST[one_of("nearest_mode", mode, _NEAREST)](x), 0, n - 1).astype(np.int64)


_NEAREST: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5), "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor, "ceil": np.ceil,
}  # fmt: skip


def _triangle(distance: Array, _: float) -> Array:
    return np.clip(1 - np.abs(distance), 0, None)


def _cubic(distance: Array, a: float) -> Array:
    """Keys (1981), with the slope a."""
    d = np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def taps(x: Array, axis: Axis, cubic: bool, a: float, antialias: bool, exclude: bool) -> tuple[Array, Array]:
    """(indices, weights), both ``(T, M)``."""
    radius = 2 if cubic else 1
    shrink = min(axis.scale, 1.0) if antialias else 1.0
    reach = math.ceil(radius / shrink)
    places = np.floor(x).astype(np.int64) + np.arange(1 - reach, reach + 1)[:, None]
    weights = (_cubic if cubic else _triangle)((places - x) * shrink, a)
    if exclude:
        weights = np.where((places >= 0) & (places < axis.n), weights, 0)
    if exclude or antialias:
        weights = weights / weights.sum(axis=0)
    return np.clip(places, 0, axis.n - 1), weights


@operator("Resize", since=11)
def resize(
    x: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Array:
    one_of("mode", mode, ("nearest", "linear", "cubic"))
    one_of("keep_aspect_ratio_policy", keep_aspect_ratio_policy, ("stretch", "not_larger", "not_smaller"))
    named = [a % x.ndim for a in axes] if axes is not None else list(range(x.ndim))
    crop = coordinate_transformation_mode == "tf_crop_and_resize"
    found = _axes(x, named, roi if crop else None, scales, sizes, keep_aspect_ratio_policy)
    y = x
    for axis in found:
        if axis.n == axis.m and axis.scale == 1 and not crop:
            continue
        places = axis.origins(coordinate_transformation_mode)
        if mode == "nearest":
            y = ops.take(y, nearest(places, nearest_mode, axis.n), axis.axis)
        else:
            index, weight = taps(places, axis, mode == "cubic", cubic_coeff_a, bool(antialias), bool(exclude_outside))
            real = y if y.dtype.kind == "f" else ops.astype(y, np.float32)
            y = ops.resample(real, index, weight.astype(np.float64 if y.dtype == np.float64 else np.float32), axis.axis)
        outside = (places < 0) | (places > axis.n - 1)
        if crop and outside.any():
            y = ops.where(along(outside, axis.axis, x.ndim), np.asarray(extrapolation_value, y.dtype), y)
    if y is x:
        return copied(x)
    return y if y.dtype == x.dtype else ops.astype(ops.round(y), x.dtype)


def _axes(
    x: Array, named: Sequence[int], roi: Array | None, scales: Array | None, sizes: Array | None, policy: str
) -> list[Axis]:
    """What the inputs say of each axis; roi, scales and sizes are metadata that the host reads."""
    lengths = [x.shape[a] for a in named]
    bounds = [(0.0, 1.0)] * len(named)
    if roi is not None and roi.size:
        values = [float(v) for v in roi]
        bounds = list(zip(values[: len(named)], values[len(named) :], strict=True))
    if scales is not None and scales.size:
        factors = [float(s) for s in scales]
        wanted = [math.floor(n * (b - a) * s) for n, s, (a, b) in zip(lengths, factors, bounds, strict=True)]
    else:
        if sizes is None or not sizes.size:
            raise ArgumentError("onnx: scales: expected scales or sizes, got neither")
        wanted = integers(sizes)
        factors = [m / n for m, n in zip(wanted, lengths, strict=True)]
        if policy != "stretch":
            one = min(factors) if policy == "not_larger" else max(factors)
            factors = [one] * len(named)
            wanted = [math.floor(one * n + 0.5) for n in lengths]
    return [Axis(a, n, m, s, *pair) for a, n, m, s, pair in zip(named, lengths, wanted, factors, bounds, strict=True)]


@operator("Resize", since=10, until=10)
@operator("Upsample", since=9)
def resize_scales(x: Array, scales: Array, mode: str = "nearest") -> Array:
    return resize(x, None, scales, None, coordinate_transformation_mode="asymmetric", mode=mode, nearest_mode="floor")


@operator("Upsample", since=7, until=8)
def upsample(x: Array, scales: Sequence[float], mode: str = "nearest") -> Array:
    return resize_scales(x, np.asarray(scales, np.float32), mode)
