"""Matrix products, attention and convolutions."""

from __future__ import annotations

from typing import Any

import torch

from . import operators
from .pointwise import new
from .rules import covers, refuse_mixed, tensors_in

Tensor = torch.Tensor


def _refuse_product(*args: Any, **kwargs: Any) -> str:
    """Floats of one dtype. PyTorch's integer products keep their narrow dtype, which ours widen."""
    found = tensors_in(*args)
    if found and all(t.dtype is torch.int64 for t in found):
        return "a factor that is no integer" if any(isinstance(f, float) for f in kwargs.values()) else ""
    return refuse_mixed(*args)


@covers("mm", "bmm", operator="matmul", refuse=_refuse_product, takes_out=True)
def _mm(a: Tensor, b: Tensor, *, out: Tensor | None = None) -> Any:
    return operators.call("matmul", a, b, out)


@covers("mv", "dot", "vdot", operator="matmul", refuse=_refuse_product)
def _mv(a: Tensor, b: Tensor) -> Any:
    return operators.call("matmul", a, b)


def _scaled(bias: Tensor, a: Tensor, b: Tensor, beta: float, alpha: float, out: Tensor | None) -> Any:
    """``beta·bias + alpha·(a @ b)``, the bias in the epilogue where it needs no factor."""
    if beta == 0:
        return operators.call("matmul", a, b, out, alpha=alpha)
    if beta != 1:
        bias = operators.call("multiply", bias, beta)
    return operators.call("matmul", a, b, out, alpha=alpha, bias=bias)


@covers("addmm", "baddbmm", operator="matmul", refuse=_refuse_product, takes_out=True)
def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Any:
    return _scaled(bias, a, b, beta, alpha, out)


@covers("addmv", operator="matmul", refuse=_refuse_product)
def _addmv(bias: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return _scaled(bias, a, b, beta, alpha, None)


@covers("linear", operator="linear", refuse=_refuse_product, takes_out=True)
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, out: Tensor | None = None, **fused: Any) -> Any:
    """``x @ weightᵀ + bias``, with a residual and an activation fused where they are given."""
    return operators.call("matmul", x, weight.t(), out, bias=bias, **fused)


# --- attention ----------------------------------------------------------------------------------------------


def _refuse_attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> str:
    dropout = args[0] if args and not isinstance(args[0], Tensor) else kwargs.get("dropout_p", 0.0)
    return "dropout inside attention" if dropout else refuse_mixed(query, key, value)


def attention(
    query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0, is_causal: bool = False, *,
    attn_mask: Tensor | None = None, scale: float | None = None, return_lse: bool = False,
) -> Any:  # fmt: skip
    """The first result of ATen's attention on the CPU, or with ``return_lse`` both."""
    batch, heads, rows, _ = query.shape
    # PyTorch lays the result out as (batch, rows, heads, depth), so that heads merge by a view.
    out = new(query, (batch, rows, heads, value.shape[-1]), query.dtype).transpose(1, 2)
    return operators.call(
        "scaled_dot_product_attention", query, key, value, attn_mask, is_causal=is_causal, scale=scale, out=out,
        return_lse=return_lse,
    )  # fmt: skip


@covers(
    "_scaled_dot_product_flash_attention_for_cpu", operator="scaled_dot_product_attention", refuse=_refuse_attention
)
def _attention(*args: Any, **kwargs: Any) -> Any:
    return attention(*args, **kwargs, return_lse=True)


def _refuse_attention_backward(grad: Any, query: Any, key: Any, value: Any, out: Any, lse: Any, *rest: Any, **kwargs: Any) -> str:  # fmt: skip
    if rest and rest[0]:
        return "dropout inside attention"
    return refuse_mixed(grad, query, key, value, out)


@covers(
    "_scaled_dot_product_flash_attention_for_cpu_backward",
    operator="scaled_dot_product_attention_backward", refuse=_refuse_attention_backward,
)  # fmt: skip
def _attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, dropout_p: float = 0.0,
    is_causal: bool = False, *, attn_mask: Tensor | None = None, scale: float | None = None,
) -> Any:  # fmt: skip
    return operators.call(
        "scaled_dot_product_attention_backward", grad, query, key, value, out, lse, attn_mask,
        is_causal=is_causal, scale=scale,
    )  # fmt: skip


# --- convolution --------------------------------------------------------------------------------------------


def _refuse_convolution(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any,
    groups: int,
) -> str:  # fmt: skip
    if x.ndim not in (3, 4, 5):
        return f"a convolution of {x.ndim} dimensions"
    return refuse_mixed(x, weight, bias)


def _axes(x: Tensor) -> int:
    return x.ndim - 2


def _each(value: Any, axes: int) -> tuple[int, ...]:
    """One number for each axis."""
    found = tuple(int(v) for v in value)
    return found * axes if len(found) == 1 else found


@covers("convolution", operator="conv2d", refuse=_refuse_convolution, takes_out=True)
def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int, *, out: Tensor | None = None, **fused: Any,
) -> Any:  # fmt: skip
    """``aten.convolution``; ``fused`` are the operator's ``activation`` and ``residual``."""
    n = _axes(x)
    stride, padding, dilation = _each(stride, n), _each(padding, n), _each(dilation, n)
    if transposed:
        return operators.call(
            f"conv_transpose{n}d", x, weight, bias, stride, padding, _each(output_padding, n), groups, dilation,
            out=out, **fused,
        )  # fmt: skip
    return operators.call(f"conv{n}d", x, weight, bias, stride, padding, dilation, groups, out=out, **fused)


def _refuse_convolution_backward(
    grad: Any, x: Any, weight: Any, bias_sizes: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int, mask: Any,
) -> str:  # fmt: skip
    if x.ndim not in (3, 4, 5):
        return f"a convolution of {x.ndim} dimensions"
    return refuse_mixed(grad, x, weight)


@covers("convolution_backward", operator="conv2d_weight", refuse=_refuse_convolution_backward)
def _convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias_sizes: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, mask: Any,
) -> Any:  # fmt: skip
    n = _axes(x)
    where = (_each(stride, n), _each(padding, n), _each(dilation, n), groups)
    dx = dw = db = None
    if transposed:
        # y is the gradient of a convolution of y to x: its own gradients are that convolution, and that for its weight.
        if mask[0]:
            dx = operators.call(f"conv{n}d", grad, weight, None, *where)
        if mask[1]:
            dw = operators.call(f"conv{n}d_weight", grad, tuple(weight.shape), x, *where)
    else:
        if mask[0]:
            dx = operators.call(f"conv{n}d_input", tuple(x.shape), weight, grad, *where)
        if mask[1]:
            dw = operators.call(f"conv{n}d_weight", x, tuple(weight.shape), grad, *where)
    if mask[2]:
        db = operators.call("conv_bias", grad)
    return dx, dw, db
