"""Convolution in one to three dimensions: forward, transposed, gradients."""

from __future__ import annotations

from . import cases, phase_cases, window_cases
from .forward import conv1d, conv2d, conv3d
from .gradient import (
    conv1d_input,
    conv1d_weight,
    conv2d_input,
    conv2d_weight,
    conv3d_input,
    conv3d_weight,
    conv_bias,
)
from .transposed import conv_transpose1d, conv_transpose2d, conv_transpose3d

ENTRIES = (*cases.ENTRIES, *window_cases.ENTRIES, *phase_cases.ENTRIES)

__all__ = [
    "ENTRIES",
    "conv1d", "conv1d_input", "conv1d_weight", "conv2d", "conv2d_input", "conv2d_weight", "conv3d", "conv3d_input",
    "conv3d_weight", "conv_bias", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
]  # fmt: skip
