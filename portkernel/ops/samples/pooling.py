"""Samples of poolings and of their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ... import dtypes
from ...catalog import exact, gamma, rounding, sample
from ...dtypes import DType
from ..library import module
from .convolution import deep
from .sample import Array, Maker, Sample, sample_of

_FIXED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("plain", {"kernel_size": 2}, ""),
    ("padded", {"kernel_size": 3, "stride": 2, "padding": 1}, "padding stride"),
    ("ceil", {"kernel_size": 3, "stride": 2, "ceil_mode": True}, "ceil_mode stride"),
    ("whole", {"kernel_size": 9}, ""),
)
_ADAPTIVE: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("one", {"output_size": 1}, ""),
    ("four", {"output_size": 4}, ""),
)


def _options(kind: str, adaptive: bool) -> Iterator[tuple[str, dict[str, Any], str]]:
    if adaptive:
        yield from _ADAPTIVE
        return
    yield from _FIXED
    if kind == "max":
        yield "dilated", {"kernel_size": 2, "dilation": 3}, "dilation"
    else:
        yield "unpadded count", {"kernel_size": 3, "padding": 1, "count_include_pad": False}, "padding"


def _windows(x: Array, options: dict[str, Any], adaptive: bool) -> Any:
    host = module("pooling.host")
    image = tuple(x.shape[2:])
    if adaptive:
        return host.dividing("pool()", image, options["output_size"])
    return host.fixed(
        "pool()", image, options["kernel_size"], options.get("stride"), options.get("padding", 0),
        options.get("dilation", 1), options.get("ceil_mode", False),
    )  # fmt: skip


def _arrays(rank: int, dtype: DType, rng: np.random.Generator) -> Iterator[tuple[Array, str]]:
    yield sample(rng, (2, 3, *(9,) * rank), dtype), ""
    yield sample(rng, (2, *(9,) * rank, 3), dtype).transpose(0, rank + 1, *range(1, rank + 1)), "strided"


def _shallow(x: Array, rank: int) -> Array:
    return x.reshape(*x.shape[:2], *x.shape[5 - rank :])


def _accumulator(dtype: DType) -> DType:
    return dtypes.float64 if dtype is dtypes.float64 else dtypes.float32


def _forward(kind: str, adaptive: bool, rank: int, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    ref = module("pooling.reference")
    for x, layout in _arrays(rank, dtype, rng):
        for label, options, features in _options(kind, adaptive):
            w = _windows(x, options, adaptive)
            padded = options.get("count_include_pad", True) and not adaptive

            def reference(x: Array = x, w: Any = w, padded: bool = padded) -> Array:
                wide = deep(exact(x), rank)
                return _shallow(ref.maxima(wide, w)[0] if kind == "max" else ref.means(wide, w, padded, 0), rank)

            def bound(want: Array, x: Array = x, w: Any = w, padded: bool = padded) -> Array:
                if kind == "max":
                    return np.zeros(want.shape)
                size = _shallow(ref.means(np.abs(deep(exact(x), rank)), w, padded, 0), rank)
                return gamma(int(np.prod(w.kernel)) + 4, _accumulator(dtype)) * size + rounding(want, dtype)

            yield sample_of(
                f"{label}{', ' if layout else ''}{layout}", (x,), options, reference, bound, f"{features} {layout}"
            )


def _backward(kind: str, adaptive: bool, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    ref = module("pooling.reference")
    x = sample(rng, (2, 3, 9, 9), dtype)
    image = (1, 9, 9)
    for label, options, features in _options(kind, adaptive):
        w = _windows(x, options, adaptive)
        grad = sample(rng, (2, 3, *w.size[1:]), dtype)
        indices = ref.maxima(deep(exact(x), 2), w)[1]
        padded = options.get("count_include_pad", True) and not adaptive
        args = (x.shape, grad) if kind == "avg" else (x.shape, grad, indices.reshape(grad.shape))

        def back(g: Array, w: Any = w, indices: Array = indices, padded: bool = padded) -> Array:
            if kind == "max":
                return _shallow(ref.maxima_back(deep(g, 2), indices, image), 2)
            return _shallow(ref.means_back(deep(g, 2), w, image, padded, 0), 2)

        yield sample_of(
            label, args, {} if adaptive else options, lambda back=back, grad=grad: back(exact(grad)),
            lambda want, back=back, grad=grad, w=w: gamma(int(np.prod(w.most)) + 4, _accumulator(dtype))
            * back(np.abs(exact(grad))) + rounding(want, dtype),
            features,
        )  # fmt: skip


MAKERS: dict[str, Maker] = {}
for _kind in ("max", "avg"):
    for _adaptive in (False, True):
        _name = f"{'adaptive_' if _adaptive else ''}{_kind}_pool"
        MAKERS[_name] = partial(_forward, _kind, _adaptive, 2)
        MAKERS[f"{_name}_input"] = partial(_backward, _kind, _adaptive)
        for _rank in (1, 2, 3):
            MAKERS[f"{_name}{_rank}d"] = partial(_forward, _kind, _adaptive, _rank)
