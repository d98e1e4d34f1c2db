"""Matrix products and attention."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from .define import LOW, call, computes, gradient, operator, sum_to

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
    if len(wanted) > 2 and wanted[2]:
        db = call("sum", flat, [0]).view(weight.shape[:-1])
    return dx, dw, db
