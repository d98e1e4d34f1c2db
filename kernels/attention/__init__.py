"""Scaled dot product attention, forward and backward."""

from .backward import delta_kernel, key_kernel, mask_kernel, query_kernel
from .entries import ENTRIES
from .forward import attention_kernel
from .operator import (
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
    scaled_dot_product_attention_mask_gradient,
)

__all__ = [
    "ENTRIES", "attention_kernel", "delta_kernel", "key_kernel", "mask_kernel", "query_kernel",
    "scaled_dot_product_attention", "scaled_dot_product_attention_backward",
    "scaled_dot_product_attention_mask_gradient",
]  # fmt: skip
