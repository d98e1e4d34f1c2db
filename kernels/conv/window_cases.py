"""The kernels that read windows from a padded copy, in the catalogue: the same problems, seen as these kernels take them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, gamma, poison, rounding, sample
from portkernel.dtypes import dot_accumulator

from . import reference as ref
from .cases import Convolution
from .channelwise import conv_channels, conv_channels_gradient
from .forward import stored
from .geometry import Triple
from .windows import Padded, conv_windows, padded
from .windows_gradient import conv_windows_gradient

Make = Callable[[pk.DType, np.random.Generator], Problem]


def _geometry(it: Convolution) -> Padded:
    found = padded((it.batch, *it.image), it.size[2:], it.kernel, it.padding, it.dilation)
    assert found is not None
    return found


def _copy(x: np.ndarray, at: Padded, slack: int) -> np.ndarray:
    """What ``conv_arrange`` makes of x."""
    more = -(-(slack + at.reach[1]) // at.channel)
    flat = np.zeros((at.channels + 1 + more, at.images, *at.size), x.dtype)
    flat[1 : at.channels + 1, :, : x.shape[2], : x.shape[3], : x.shape[4]] = x.transpose(1, 0, 2, 3, 4)
    return flat.reshape(-1)


def strided(flat: np.ndarray, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    size = flat.dtype.itemsize
    plain = flat if flat.dtype.isbuiltin == 1 else flat.view(f"u{size}")
    found = np.lib.stride_tricks.as_strided(plain, shape, tuple(s * size for s in strides))
    return found if plain is flat else found.view(flat.dtype)


def _windows(block: tuple[int, int, int, int], bm: int, bc: int, *args: Any, **given: Any) -> Make:
    it = Convolution(*args, **given)
    at = _geometry(it)
    columns = -(-(prod(block[:3]) * block[3]) // 32) * 32
    kd, kh, kw = it.kernel

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        arrays = it.inputs(dtype, rng)
        reference, bound = it.answers(arrays, dtype)
        flat = _copy(arrays["x"], at, columns)
        strides = (1, at.channel, at.step[1], at.step[2], 1)
        starts = at.channel + (kd - 1) * at.step[0]
        filters = arrays["weight"].reshape(it.channels, it.image[0], kd, kh * kw)
        blocks = prod(-(-n // b) for n, b in zip((it.size[0], *it.size[2:]), block, strict=True))
        return Problem(
            args={
                "x": strided(flat[at.origin :], (starts, it.image[0], kh, kw, columns), strides),
                "weight": filters if kd > 1 else filters.reshape(it.channels, -1),
                "bias": arrays["bias"],
                "residual": arrays["residual"],
                "out": poison(it.size, stored(dtype)),
                "base": 0,
                "deep": at.size[0],
                "tall": at.size[1],
                "skip": at.step[0],
            },
            grid=(blocks, -(-it.channels // bm)),
            constants={
                "TAPS": it.kernel, "BLOCK": block, "ROW": at.size[2], "BM": bm, "BN": columns, "BC": bc,
                **it.epilogue(dtype),
            },
            outputs=("out",),
            reference=reference,
            bound=bound,
        )  # fmt: skip

    return make


def _channels(block: tuple[int, int, int], run_on: bool, *args: Any, **given: Any) -> Make:
    it = Convolution(*args, **given)
    at = _geometry(it)

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        arrays = it.inputs(dtype, rng)
        reference, bound = it.answers(arrays, dtype)
        return Problem(
            args={
                "x": _seen(arrays["x"], at, block, run_on),
                "weight": arrays["weight"].reshape(it.channels, prod(it.kernel)),
                "bias": arrays["bias"],
                "residual": arrays["residual"],
                "out": poison(it.size, stored(dtype)),
                "base": 0,
                "deep": at.size[0],
                "tall": at.size[1],
                "z_step": at.step[0],
                "y_step": at.step[1],
            },
            grid=(
                -(-it.size[3] // block[1]) * -(-it.size[4] // block[2]),
                it.batch * it.size[2],
                -(-it.channels // block[0]),
            ),
            constants={
                "TAPS": it.kernel, "X_STEP": at.step[2], "BLOCK": block, "FLAT": run_on, "ROW": at.size[2],
                **it.epilogue(dtype),
            },
            outputs=("out",),
            reference=reference,
            bound=bound,
        )  # fmt: skip

    return make


def _seen(x: np.ndarray, at: Padded, block: tuple[int, int, int], run_on: bool) -> np.ndarray:
    _, rows, columns = block
    shape, strides = ((1, rows * columns), (0, 1)) if run_on else ((rows, columns), (at.size[2], 1))
    flat = _copy(x, at, rows * at.size[2] + columns)
    return strided(flat[at.origin :], (at.channel + at.reach[1], at.channels, *shape), (1, at.channel, *strides))


def _gradient(
    it: Convolution, dtype: pk.DType, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Callable[[], np.ndarray], Callable[[], np.ndarray]]:
    """x, the gradient of the output; that of the weight, and its bound."""
    x, grad = it.inputs(dtype, rng)["x"], sample(rng, it.size, dtype)

    def total(of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return ref.weight_gradient(of(grad), of(x), it.kernel, it.stride, it.dilation, it.pairs, it.groups)

    def bound() -> np.ndarray:
        size = total(lambda t: np.abs(ref.wide(t)))
        return np.asarray(
            gamma(grad.size // it.channels, dot_accumulator(dtype)) * size + rounding(total(ref.wide), dtype)
        )

    return x, grad, lambda: total(ref.wide), bound


def _windows_gradient(sides: Triple, splits: int, *args: Any, **given: Any) -> Make:
    it = Convolution(*args, **given)
    at = _geometry(it)
    kd, kh, kw = it.kernel
    bc, bn, bk = sides

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x, grad, want, bound = _gradient(it, dtype, rng)
        flat = _copy(x, at, at.channel)
        turned = np.zeros((it.batch, *at.size, it.channels), grad.dtype)
        turned[:, : grad.shape[2], : grad.shape[3], : grad.shape[4]] = np.moveaxis(grad, 1, -1)
        wide = dot_accumulator(dtype)

        def shares(found: np.ndarray) -> np.ndarray:
            """All in the first share: what is checked is the sum over shares of one."""
            return found.reshape(it.channels, it.image[0], kd, kh * kw).transpose(1, 2, 3, 0)[None]

        strides = (at.step[0], at.channel, at.step[1], at.step[2], 1)
        return Problem(
            args={
                "x": strided(flat[at.origin :], (kd, it.image[0], kh, kw, at.channel), strides),
                "grad": turned.reshape(at.channel, it.channels),
                "out": poison((splits, it.image[0], kd, kh * kw, it.channels), wide),
            },
            grid=(-(-it.image[0] // bc), -(-it.channels // bn), kd * splits),
            constants={"TAPS": (kh, kw), "SPLITS": splits, "BC": bc, "BN": bn, "BK": bk},
            outputs=("out",),
            reference=lambda: {"out": shares(want())},
            bound=lambda: {"out": shares(bound())},
        )

    return make


def _channels_gradient(block: tuple[int, int], *args: Any, **given: Any) -> Make:
    it = Convolution(*args, **given)
    at = _geometry(it)
    taps = prod(it.kernel)
    _, _, deep, tall, wide = it.size
    tiles = [
        (n, slice(None), d, slice(h, h + block[0]), slice(w, w + block[1]))
        for n in range(it.batch) for d in range(deep) for h in range(0, tall, block[0]) for w in range(0, wide, block[1])
    ]  # fmt: skip

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x, grad = it.inputs(dtype, rng)["x"], sample(rng, it.size, dtype)

        def shares(of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
            found = []
            for tile in tiles:
                part = np.zeros_like(grad)
                part[tile] = grad[tile]
                y = of(part)
                found.append(ref.weight_gradient(y, of(x), it.kernel, it.stride, it.dilation, it.pairs, it.groups))
            return np.reshape(found, (len(tiles), it.channels, taps))

        def bound() -> dict[str, np.ndarray]:
            size = shares(lambda t: np.abs(ref.wide(t)))
            return {"out": gamma(prod(block), dot_accumulator(dtype)) * size + rounding(shares(ref.wide), dtype)}

        return Problem(
            args={
                "x": _seen(x, at, (1, *block), False),
                "grad": grad,
                "out": poison((len(tiles), it.channels, taps), dtype),
                "base": 0,
                "deep": at.size[0],
                "tall": at.size[1],
                "z_step": at.step[0],
                "y_step": at.step[1],
                "x_step": at.step[2],
            },
            grid=(len(tiles), it.channels),
            constants={"TAPS": it.kernel, "BLOCK": block, "ROW": at.size[2]},
            outputs=("out",),
            reference=lambda: {"out": shares(ref.wide)},
            bound=bound,
        )

    return make


FLOATS = (pk.float32, pk.float16)
ENTRIES = (
    Entry(
        "conv_windows",
        conv_windows,
        (pk.float32, pk.float16, pk.int8),
        (
            Case("2×16×12×13, 20 of 3×3, padding, bias, relu", _windows((1, 1, 4, 14), 8, 4, (16, 1, 12, 13), 20, (1, 3, 3), batch=2, padding=(0, 1, 1), bias=True, activation="relu")),
            Case("several images, dilation, residual", _windows((2, 1, 6, 7), 8, 3, (5, 1, 5, 6), 9, (1, 2, 3), batch=3, padding=(0, 1, 1), dilation=(1, 2, 1), residual=True)),
            Case("three dimensions", _windows((1, 1, 2, 8), 8, 4, (4, 4, 5, 7), 3, (2, 3, 2), padding=(1, 1, 1))),
            Case("a part of a row, one tap", _windows((1, 1, 1, 24), 16, 8, (10, 1, 1, 67), 17, (1, 1, 1))),
        ),
    ),
    Entry(
        "conv_channels",
        conv_channels,
        FLOATS,
        (
            Case("2×6×9×30, 3×3, padding, bias, relu", _channels((2, 4, 30), False, (6, 1, 9, 30), 6, (1, 3, 3), batch=2, groups=6, padding=(0, 1, 1), bias=True, activation="relu")),
            Case("rows end to end, dilation, residual", _channels((2, 3, 8), True, (3, 1, 7, 6), 3, (1, 3, 2), groups=3, padding=(0, 2, 2), dilation=(1, 2, 3), residual=True)),
        ),
    ),
    Entry(
        "conv_windows_gradient",
        conv_windows_gradient,
        (pk.float32,),
        (
            Case("2×6×7×9, 10 of 3×3, padding", _windows_gradient((2, 16, 32), 1, (6, 1, 7, 9), 10, (1, 3, 3), batch=2, padding=(0, 1, 1))),
            Case("three dimensions, dilation", _windows_gradient((3, 8, 16), 1, (4, 3, 4, 5), 5, (2, 1, 2), padding=(1, 0, 1), dilation=(1, 1, 2))),
        ),
    ),
    Entry(
        "conv_channels_gradient",
        conv_channels_gradient,
        (pk.float32,),
        (
            Case("2×5×9×30, 3×3, padding", _channels_gradient((4, 32), (5, 1, 9, 30), 5, (1, 3, 3), batch=2, groups=5, padding=(0, 1, 1))),
            Case("planes, dilation", _channels_gradient((2, 5), (3, 3, 5, 7), 3, (2, 1, 3), groups=3, dilation=(1, 1, 2))),
        ),
    ),
)  # fmt: skip
