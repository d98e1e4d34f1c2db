"""Products under the names of neural networks: a linear layer, and attention."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError, ArgumentShapeError
from .library import module

arrays, matmul, attention = module("arrays"), module("matmul"), module("attention")
Array = Any


def linear(
    x: Array, weight: Array, bias: Array | None = None, *, activation: Any = "none", residual: Array | None = None,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``torch.nn.functional.linear``: ``activation(x @ weight.T + bias + residual)``, one kernel.

    x ``(…, K)``, weight ``(N, K)``, bias ``(N,)``, result ``(…, N)``, any strides; residual broadcasts to the result.
    ``activation``, dtypes, accumulation and error as of ``matmul``. Raises ArgumentTypeError, ArgumentDTypeError,
    ArgumentShapeError.
    """
    where = "linear()"
    arrays.dtype_of(f"{where}: x", x)
    arrays.dtype_of(f"{where}: weight", weight)
    depth = tuple(x.shape)[-1:]
    if len(weight.shape) != 2 or tuple(weight.shape)[1:] != depth:
        raise ArgumentShapeError(
            f"{where}: weight: expected shape (N, {depth[0] if depth else 'K'}), got {tuple(weight.shape)}"
        )
    rows = int(weight.shape[0])
    if bias is not None:
        arrays.dtype_of(f"{where}: bias", bias)
        if tuple(bias.shape) != (rows,):
            raise ArgumentShapeError(f"{where}: bias: expected shape ({rows},), got {tuple(bias.shape)}")
    return matmul.matmul(
        x, arrays.view(weight).swap().array(), out, bias=bias, residual=residual, activation=activation,
        backend=backend, device=device,
    )  # fmt: skip


def scaled_dot_product_attention(
    query: Array, key: Array, value: Array, attn_mask: Array | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False, *, return_lse: bool = False,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``torch.nn.functional.scaled_dot_product_attention`` in one kernel that never stores the scores.

    ``dropout_p`` must be 0: there is no dropout here. All else, ``return_lse`` (which the gradients need) too, as of
    ``portkernel.kernels.attention.scaled_dot_product_attention``.
    """
    if arrays.number("scaled_dot_product_attention(): dropout_p", dropout_p) != 0:
        raise ArgumentError(
            f"scaled_dot_product_attention(): dropout_p: expected 0, got {dropout_p!r}",
            hint="attention has no dropout here: drop weights before it, or evaluate the model",
        )
    return attention.scaled_dot_product_attention(
        query, key, value, attn_mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa, return_lse=return_lse,
        out=out, backend=backend, device=device,
    )  # fmt: skip
