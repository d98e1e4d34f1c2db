"""Matrix products and attention."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from portkernel.errors import ArgumentError, GradientError

from .. import operators
from .define import LOW, call, composite, computes, gradient, operator, sum_to

Tensor = torch.Tensor

operator("matmul(Tensor a, Tensor b) -> Tensor", like=torch.matmul, autocast=LOW)(computes("matmul"))
operator("linear(Tensor x, Tensor weight, Tensor? bias=None) -> Tensor", like=F.linear, autocast=LOW)(
    computes("linear")
)


@gradient("matmul", "a b")
def _matmul_gradient(wanted: Any, grad: Tensor, a: Tensor, b: Tensor) -> Any:
    rows = a if a.ndim > 1 else a.unsqueeze(0)
    columns = b if b.ndim > 1 else b.unsqueeze(1)
    if b.ndim == 1:
        grad = grad.unsqueeze(-1)
    if a.ndim == 1:
        grad = grad.unsqueeze(-2)
    da = db = None
    if wanted[0]:
        da = sum_to(call("matmul", grad, columns.mT), rows.shape).view(a.shape)
    if wanted[1]:
        if columns.ndim == 2 and rows.ndim > 2:  # one product over all rows, instead of many and their sum
            db = call("matmul", rows.reshape(-1, rows.shape[-1]).mT, grad.reshape(-1, grad.shape[-1]))
        else:
            db = sum_to(call("matmul", rows.mT, grad), columns.shape)
        db = db.view(b.shape)
    return da, db


@gradient("linear", "x weight")
def _linear_gradient(wanted: Any, grad: Tensor, x: Tensor, weight: Tensor) -> Any:
    flat = grad.reshape(-1, grad.shape[-1]) if weight.ndim == 2 else grad.reshape(-1, 1)
    dx = dw = db = None
    if wanted[0]:
        dx = call("matmul", flat, weight.view(-1, weight.shape[-1])).view(x.shape)
    if wanted[1]:
        dw = call("matmul", flat.mT, x.reshape(-1, x.shape[-1])).view(weight.shape)
    if wanted[2]:
        db = call("sum", flat, [0]).view(weight.shape[:-1])
    return dx, dw, db


# --- attention ----------------------------------------------------------------------------------------------

_INPUTS = "Tensor query, Tensor key, Tensor value"
_OPTIONS = "bool is_causal=False, float? scale=None, bool enable_gqa=False"


def _like_attention(query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    shape = query.shape[:-1]
    wide = torch.float64 if query.dtype is torch.float64 else torch.float32
    return query.new_empty((*shape, value.shape[-1])), query.new_empty(shape, dtype=wide)


@operator(f"scaled_dot_product_attention_lse({_INPUTS}, Tensor? attn_mask=None, {_OPTIONS}) -> (Tensor, Tensor)",
          like=_like_attention, autocast=LOW)  # fmt: skip
def _attention_lse(query: Tensor, key: Tensor, value: Tensor, mask: Any, causal: bool, scale: Any, gqa: bool) -> Any:
    """The result, and the logarithm of each row's sum of exponentials, which the gradients need."""
    return operators.call(
        "scaled_dot_product_attention", query, key, value, mask, 0.0, causal, scale, gqa, return_lse=True
    )


@operator(
    f"scaled_dot_product_attention_backward(Tensor grad, {_INPUTS}, Tensor out, Tensor lse, Tensor? attn_mask=None, "
    f"{_OPTIONS}) -> (Tensor, Tensor, Tensor)",
    like=lambda grad, query, key, value, *rest: (query, key, value),
)
def _attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, mask: Any, causal: bool,
    scale: Any, gqa: bool,
) -> Any:  # fmt: skip
    return operators.call(
        "scaled_dot_product_attention_backward", grad, query, key, value, out, lse, mask, is_causal=causal, scale=scale,
        enable_gqa=gqa,
    )  # fmt: skip


@operator(
    f"scaled_dot_product_attention_mask_gradient(Tensor grad, {_INPUTS}, Tensor result, Tensor lse, Tensor attn_mask, "
    f"{_OPTIONS}) -> Tensor",
    like=lambda grad, query, key, value, result, lse, mask, *rest: mask,
)
def _attention_mask_gradient(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, result: Tensor, lse: Tensor, mask: Tensor, causal: bool,
    scale: Any, gqa: bool,
) -> Any:  # fmt: skip
    return operators.call(
        "scaled_dot_product_attention_mask_gradient", grad, query, key, value, result, lse, mask, is_causal=causal,
        scale=scale, enable_gqa=gqa,
    )  # fmt: skip


def _once_only(name: str) -> None:
    """The operator ``name``, itself a gradient, is not differentiated; who tries is told so."""

    def formula(wanted: Any, *rest: Any) -> Any:
        raise GradientError(
            f"{name}(): expected no gradient to be taken through it, got a second derivative",
            hint="leave create_graph=True off, or compose attention of torch.ops.portkernel.matmul and softmax",
        )

    gradient(name, "")(formula)


_once_only("scaled_dot_product_attention_backward")
_once_only("scaled_dot_product_attention_mask_gradient")


@gradient(
    "scaled_dot_product_attention_lse",
    "query key value result0 result1 attn_mask is_causal scale enable_gqa",
    constant=(1,),
)
def _attention_gradient(wanted: Any, grad: Tensor, _lse: Any, *kept: Any) -> Any:
    inputs: Any = (None, None, None)
    if any(wanted[:3]):
        inputs = call("scaled_dot_product_attention_backward", grad, *kept)
    return *inputs, call("scaled_dot_product_attention_mask_gradient", grad, *kept) if wanted[3] else None


@composite(
    f"scaled_dot_product_attention({_INPUTS}, Tensor? attn_mask=None, float dropout_p=0.0, {_OPTIONS}) -> Tensor"
)
def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Any, dropout: float, *options: Any) -> Any:
    if dropout:
        raise ArgumentError(
            f"scaled_dot_product_attention(): dropout_p: expected 0, got {dropout!r}",
            hint="attention has no dropout here: drop weights before it, or evaluate the model",
        )
    return call("scaled_dot_product_attention_lse", query, key, value, mask, *options)[0]
