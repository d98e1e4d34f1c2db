"""Attention by the fused kernel, where it does what the node asks; else by the body of its definition."""

from __future__ import annotations

from typing import Any

import numpy as np

from portkernel import ops

from ..executor import Node
from ..registry import operator
from .arrays import Array, reshaped

_FUSED = frozenset({"is_causal", "scale", "q_num_heads", "kv_num_heads", "softmax_precision", "qk_matmul_output_mode"})


@operator("Attention", node=True)
def attention(q: Array, k: Array, v: Array, mask: Array | None = None, *more: Any, node: Node, **given: Any) -> Any:
    """No cache of keys, no cap, no window, and nothing asked for but the result."""
    usual = all(x is None for x in more) and not any(node.wants(i) for i in (1, 2, 3))
    if not usual or any(v for n, v in given.items() if n not in _FUSED) or q.dtype.name not in _DTYPES:
        return NotImplemented
    flat = q.ndim == 3
    if flat:
        q = heads(q, given["q_num_heads"])
        k, v = (heads(t, given["kv_num_heads"]) for t in (k, v))
    if mask is not None and (mask.shape[-1] != k.shape[2] or mask.dtype.name not in ("bool", q.dtype.name)):
        return NotImplemented  # a mask that covers a part of the keys is padded
    y = ops.scaled_dot_product_attention(
        q,
        k,
        v,
        mask,
        is_causal=bool(given.get("is_causal", 0)),
        scale=given.get("scale") or None,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    if not flat:
        return y
    b, h, s, d = y.shape
    return reshaped(np.moveaxis(y, 1, 2), (b, s, h * d))


_DTYPES = ("float32", "float64", "float16", "bfloat16")


def heads(x: Array, count: int) -> Array:
    """``(B, H, S, D)`` from ``(B, S, H·D)``: a view."""
    b, s, width = x.shape
    return reshaped(x, (b, s, count, width // count)).transpose(0, 2, 1, 3)
