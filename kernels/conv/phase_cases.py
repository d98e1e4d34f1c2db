"""The kernels of strided convolutions in phases, in the catalogue: the copies that they make, and the products."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, poison, sample

from .cases import Convolution
from .forward import stored
from .geometry import Triple
from .split import Phase, Split, conv_phases, conv_split, conv_split_weight, split
from .split_gradient import conv_merge_weight
from .window_cases import strided

Make = Callable[[pk.DType, np.random.Generator], Problem]
NOTHING: Callable[[], dict[str, np.ndarray]] = lambda: {"out": np.zeros(1)}  # noqa: E731


def _geometry(it: Convolution) -> Split:
    found = split((it.batch, *it.image), it.size[2:], it.kernel, it.stride, it.padding, it.dilation)
    assert found is not None
    return found


def _copy(x: np.ndarray, at: Split, slack: int) -> np.ndarray:
    """What ``conv_split`` makes of x: ``(F, C + 1 + more, N, DP, HP, ROW)``."""
    more = -(-(slack + at.reach) // at.channel)
    found = np.zeros((at.count, at.channels + 1 + more, at.images, *at.size), x.dtype)
    for f, (i, j, k) in enumerate(np.ndindex(*at.stride)):
        part = x[:, :, i :: at.stride[0], j :: at.stride[1], k :: at.stride[2]].transpose(1, 0, 2, 3, 4)
        found[f, 1 : at.channels + 1, :, : part.shape[2], : part.shape[3], : part.shape[4]] = part
    return found


def _taps(phase: Phase, at: Split) -> tuple[slice, ...]:
    """The taps of ``phase`` along each axis of the kernel."""
    return tuple(slice(k, k + (n - 1) * a + 1, a) for k, n, a in zip(phase[2], phase[1], at.apart, strict=True))


def _weights(weight: np.ndarray, at: Split) -> np.ndarray:
    """What ``conv_split_weight`` makes of weight, poison where it writes nothing."""
    kd, kh, kw = at.most
    found = poison((at.count, *weight.shape[:2], kd, kh * kw), pk.dtypes.as_dtype(weight.dtype))
    for phase in at.phases:
        planes, *taps = phase[1]
        part = weight[(slice(None), slice(None), *_taps(phase, at))]
        found[phase[0], :, :, :planes, : prod(taps)] = part.reshape(*weight.shape[:2], planes, prod(taps))
    return found


def _phases(block: tuple[int, int, int, int], bm: int, bc: int, *args: Any, **given: Any) -> Make:
    it = Convolution(*args, **given)
    at = _geometry(it)
    columns = -(-(prod(block[:3]) * block[3]) // 32) * 32
    _, kh, kw = at.most

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        arrays = it.inputs(dtype, rng)
        reference, bound = it.answers(arrays, dtype)
        copy = _copy(arrays["x"], at, columns)
        each = copy[0].size
        phases = tuple((f, taps, first, f * each + base) for f, taps, first, base in at.phases)
        starts = at.channel + max(p[3] + (p[1][0] - 1) * at.step[0] for p in phases)
        blocks = prod(-(-n // b) for n, b in zip((it.size[0], *it.size[2:]), block, strict=True))
        return Problem(
            args={
                "x": strided(
                    copy.reshape(-1)[at.origin :],
                    (starts, it.image[0], kh, kw, columns),
                    (1, at.channel, at.step[1], at.step[2], 1),
                ),
                "weight": _weights(arrays["weight"], at),
                "bias": arrays["bias"],
                "residual": arrays["residual"],
                "out": poison(it.size, stored(dtype)),
                "deep": at.size[0],
                "tall": at.size[1],
                "skip": at.step[0],
            },
            grid=(blocks, -(-it.channels // bm)),
            constants={
                "PHASES": phases, "BLOCK": block, "ROW": at.size[2], "BM": bm, "BN": columns, "BC": bc,
                **it.epilogue(dtype),
            },
            outputs=("out",),
            reference=reference,
            bound=bound,
        )  # fmt: skip

    return make


def _split(block: tuple[int, int], *args: Any, **given: Any) -> Make:
    it = Convolution(*args, **given)
    at = _geometry(it)
    deep, tall, row = at.size

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x = it.inputs(dtype, rng)["x"]
        want = _copy(x, at, 1).reshape(at.count, -1, at.images * deep, tall, row)
        return Problem(
            args={"x": x, "out": poison(want.shape, dtype), "deep": deep},
            grid=(-(-tall // block[1]) * deep, at.images, -(-want.shape[1] // block[0])),
            constants={"STRIDE": at.stride, "BLOCK": block, "ROW": row},
            outputs=("out",),
            reference=lambda: {"out": want},
            bound=NOTHING,
        )

    return make


def _merge(splits: int, *args: Any, **given: Any) -> Make:
    it = Convolution(*args, **given)
    at = _geometry(it)
    channels = it.image[0]
    kd, kh, kw = at.most

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        parts = np.round(sample(rng, (len(at.phases), splits, channels, kd, kh * kw, it.channels), dtype) * 8)
        want = poison((it.channels, channels, *it.kernel), dtype)
        for part, phase in zip(parts.sum(axis=1), at.phases, strict=True):
            planes, *taps = phase[1]
            found = part[:, :planes, : prod(taps)].reshape(channels, *phase[1], it.channels)
            want[(slice(None), slice(None), *_taps(phase, at))] = np.moveaxis(found, -1, 0)
        return Problem(
            args={
                "parts": parts.reshape(len(at.phases), splits, channels, kd * kh * kw, it.channels),
                "out": poison(want.shape, dtype),
            },
            grid=(-(-it.channels // 8), -(-channels // 2)),
            constants={"STRIDE": at.apart, "PHASES": at.phases, "MOST": kh * kw, "BM": 8, "BC": 2},
            outputs=("out",),
            reference=lambda: {"out": want},
            bound=NOTHING,
        )

    return make


def _filters(*args: Any, **given: Any) -> Make:
    """With as many taps in every phase: the kernel leaves no gap."""
    it = Convolution(*args, **given)
    at = _geometry(it)

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        weight = it.inputs(dtype, rng)["weight"]
        want = _weights(weight, at)
        return Problem(
            args={"weight": weight, "out": poison(want.shape, dtype)},
            grid=(-(-it.channels // 4), -(-it.image[0] // 2)),
            constants={"STRIDE": at.apart, "PHASES": at.phases, "BM": 4, "BC": 2},
            outputs=("out",),
            reference=lambda: {"out": want},
            bound=NOTHING,
        )

    return make


_SEVEN: tuple[Any, ...] = ((3, 1, 14, 17), 10, (1, 7, 7))
_HALF: Triple = (1, 2, 2)
ENTRIES = (
    Entry(
        "conv_phases",
        conv_phases,
        (pk.float32, pk.float16, pk.int8),
        (
            Case("2×3×14×17, 10 of 7×7, stride 2, padding, bias, relu", _phases((1, 1, 3, 11), 8, 3, *_SEVEN, batch=2, stride=_HALF, padding=(0, 3, 3), bias=True, activation="relu")),
            Case("three dimensions, dilation, residual", _phases((1, 1, 2, 6), 8, 4, (5, 5, 7, 12), 3, (2, 3, 2), stride=(2, 1, 2), dilation=(1, 2, 3), padding=(1, 1, 0), residual=True)),
        ),
    ),
    Entry(
        "conv_split",
        conv_split,
        (pk.float32,),
        (
            Case("2×3×14×17, stride 2", _split((2, 3), *_SEVEN, batch=2, stride=_HALF, padding=(0, 3, 3))),
            Case("three dimensions", _split((1, 2), (4, 5, 7, 8), 2, (2, 2, 3), stride=(2, 1, 3), padding=(1, 0, 1))),
        ),
    ),
    Entry(
        "conv_split_weight",
        conv_split_weight,
        (pk.float32,),
        (
            Case("10×3 of 4×4, stride 2", _filters((3, 1, 14, 16), 10, (1, 4, 4), stride=_HALF)),
            Case("5×4 of 2×6, stride 3, dilation", _filters((4, 1, 14, 20), 5, (1, 2, 6), stride=(1, 1, 3), dilation=(1, 2, 2))),
        ),
    ),
    Entry(
        "conv_merge_weight",
        conv_merge_weight,
        (pk.float32,),
        (
            Case("10×3 of 7×7, stride 2, 3 shares", _merge(3, *_SEVEN, stride=_HALF, padding=(0, 3, 3))),
            Case("three dimensions, 1 share", _merge(1, (4, 5, 7, 8), 9, (2, 2, 3), stride=(2, 1, 3), padding=(1, 0, 1))),
        ),
    ),
)  # fmt: skip
