"""Softmax and normalisations."""

from __future__ import annotations

from typing import Any

import torch

from .define import WIDE, call, computes, gradient, once_only, operator

Tensor = torch.Tensor


def _like_first(x: Tensor, *rest: Any) -> Tensor:
    return x


# --- softmax ------------------------------------------------------------------------------------------------

for _name in ("softmax", "log_softmax"):
    operator(f"{_name}(Tensor x, int axis=-1) -> Tensor", like=getattr(torch, _name), autocast=WIDE)(computes(_name))
    operator(f"{_name}_gradient(Tensor grad, Tensor y, int axis=-1) -> Tensor", like=_like_first)(
        computes(f"{_name}_gradient")
    )
    once_only(f"{_name}_gradient")


@gradient("softmax", "result axis")
def _softmax_gradient(wanted: Any, grad: Tensor, y: Tensor, axis: int) -> Any:
    return call("softmax_gradient", grad, y, axis)


@gradient("log_softmax", "result axis")
def _log_softmax_gradient(wanted: Any, grad: Tensor, y: Tensor, axis: int) -> Any:
    return call("log_softmax_gradient", grad, y, axis)
