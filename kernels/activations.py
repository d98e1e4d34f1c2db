"""Activations that kernels fuse into what they store, with their NumPy references and the error that they add."""

from __future__ import annotations

import math

import numpy as np

import portkernel as pk

NAMES = ("none", "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh")


def activate(x, activation):
    """Inside a kernel: one of NAMES, or the user's own function of a tile.

    gelu is x·Φ(x) by erf, gelu_tanh its approximation (Hendrycks and Gimpel 2016); silu is x·sigmoid(x).
    """
    if activation == "none":
        return x
    if activation == "relu":
        return pk.maximum(x, 0)
    if activation == "gelu":
        return x * 0.5 * (pk.erf(x * 0.7071067811865476) + 1.0)
    if activation == "gelu_tanh":
        return x * 0.5 * (pk.tanh((x + x * x * x * 0.044715) * 0.7978845608028654) + 1.0)
    if activation == "silu":
        return x * pk.sigmoid(x)
    if activation == "sigmoid":
        return pk.sigmoid(x)
    if activation == "tanh":
        return pk.tanh(x)
    y = activation(x)
    pk.static_assert(y is not None, "activation: expected a function that gives a tile, got one that gives None")
    return y


_erf = np.vectorize(math.erf, otypes=[np.float64])


def reference(x: np.ndarray, activation: str) -> np.ndarray:
    """The activation in the dtype of ``x``: float64, or exact integers for none and relu."""
    with np.errstate(over="ignore", invalid="ignore"):
        match activation:
            case "none":
                return x
            case "relu":
                return np.maximum(x, 0)
            case "gelu":
                return x * 0.5 * (1 + _erf(x / math.sqrt(2)))
            case "gelu_tanh":
                return x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
            case "silu":
                return x / (1 + np.exp(-x))
            case "sigmoid":
                return 1 / (1 + np.exp(-x))
            case "tanh":
                return np.tanh(x)
    raise ValueError(activation)


_SLOPE = {"gelu": 1.13, "gelu_tanh": 1.13, "silu": 1.1, "sigmoid": 0.25}
"""The steepest that each gets; the others have slope 1."""


def error(x: np.ndarray, of_x: np.ndarray, activation: str, dtype: pk.DType) -> np.ndarray:
    """The error of ``activate(x)`` computed in ``dtype``, if x has the error ``of_x``.

    The steepest slope times ``of_x``, and the functions' own: erf 16 ulp, sigmoid 8 and tanh 5, with some operations around.
    """
    size = np.abs(x) * 0.5 if activation in ("gelu", "gelu_tanh", "silu") else np.ones(x.shape)
    own = {"none": 0, "relu": 0, "tanh": 6, "sigmoid": 10}.get(activation, 20) * dtype.eps
    return np.asarray(_SLOPE.get(activation, 1.0) * of_x + own * size)
