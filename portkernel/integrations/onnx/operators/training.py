"""Optimisers of ``ai.onnx.preview.training``, and small operators of ``ai.onnx.ml`` and of audio."""

from __future__ import annotations

import numpy as np

from portkernel import ops

from ..registry import operator
from . import formulas
from .arrays import Array
from .casts import numpy_dtype

TRAINING = "ai.onnx.preview.training"


def _groups(arrays: tuple[Array, ...], count: int) -> list[tuple[Array, ...]]:
    """Tensors, gradients and states come one kind after the other."""
    n = len(arrays) // count
    return [tuple(arrays[k * n + i] for k in range(count)) for i in range(n)]


def _scalar(x: Array) -> float:
    return float(np.asarray(x).reshape(()))


@operator("Adagrad", domain=TRAINING)
def adagrad(
    rate: Array, count: Array, *arrays: Array, norm_coefficient: float = 0.0, epsilon: float = 0.0,
    decay_factor: float = 0.0,
) -> tuple[Array, ...]:  # fmt: skip
    step = _scalar(rate) / (1 + _scalar(count) * decay_factor)
    new_x, new_h = [], []
    for x, g, h in _groups(arrays, 3):
        g = ops.elementwise(formulas.gradient_with_decay, x, g, norm_coefficient)
        h = ops.elementwise(formulas.squares_added, h, g)
        new_x.append(ops.elementwise(formulas.adagrad, x, g, h, step, epsilon))
        new_h.append(h)
    return *new_x, *new_h


@operator("Adam", domain=TRAINING)
def adam(
    rate: Array, count: Array, *arrays: Array, alpha: float = 0.9, beta: float = 0.999, epsilon: float = 0.0,
    norm_coefficient: float = 0.0, norm_coefficient_post: float = 0.0,
) -> tuple[Array, ...]:  # fmt: skip
    t, step = _scalar(count), _scalar(rate)
    if t > 0:
        step *= (1 - beta**t) ** 0.5 / (1 - alpha**t)
    new: tuple[list[Array], list[Array], list[Array]] = ([], [], [])
    for x, g, v, h in _groups(arrays, 4):
        g = ops.elementwise(formulas.gradient_with_decay, x, g, norm_coefficient)
        v = ops.elementwise(formulas.moving, v, g, alpha, 1 - alpha)
        h = ops.elementwise(formulas.adam_squares, h, g, beta)
        x = ops.elementwise(formulas.adam, x, v, h, step, epsilon, 1 - norm_coefficient_post)
        for row, value in zip(new, (x, v, h), strict=True):
            row.append(value)
    return *new[0], *new[1], *new[2]


@operator("Momentum", domain=TRAINING)
def momentum(
    rate: Array, count: Array, *arrays: Array, alpha: float, beta: float, mode: str, norm_coefficient: float
) -> tuple[Array, ...]:
    first = beta if _scalar(count) > 0 else 1.0
    new_x, new_v = [], []
    for x, g, v in _groups(arrays, 3):
        g = ops.elementwise(formulas.gradient_with_decay, x, g, norm_coefficient)
        v = ops.elementwise(formulas.moving, v, g, alpha, first)
        if mode == "nesterov":
            x = ops.elementwise(formulas.nesterov, x, g, v, _scalar(rate), alpha)
        else:
            x = ops.elementwise(formulas.stepped, x, v, _scalar(rate))
        new_x.append(x)
        new_v.append(v)
    return *new_x, *new_v


@operator("Binarizer", domain="ai.onnx.ml")
def binarizer(x: Array, threshold: float = 0.0) -> Array:
    return ops.elementwise(formulas.above, x, threshold)


@operator("MelWeightMatrix")
def mel_weight_matrix(
    num_mel_bins: Array, dft_length: Array, sample_rate: Array, lower: Array, upper: Array, output_datatype: int = 1
) -> Array:
    """The edges of the bands are one small table of the host."""
    bands, length = int(_scalar(num_mel_bins)), int(_scalar(dft_length))
    low, high = (2595 * np.log10(1 + _scalar(f) / 700) for f in (lower, upper))
    mel = np.arange(bands + 2) * ((high - low) / (bands + 2)) + low
    hertz = 700 * (np.power(10, mel / 2595) - 1)
    edges = ((length + 1) * hertz // _scalar(sample_rate)).astype(np.float32)
    k = np.arange(length // 2 + 1, dtype=np.float32)[:, None]
    found = ops.elementwise(formulas.mel_weight, k, edges[None, :-2], edges[None, 1:-1], edges[None, 2:])
    return ops.astype(found, numpy_dtype(output_datatype))
