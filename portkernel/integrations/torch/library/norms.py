"""Softmax and normalisations."""

from __future__ import annotations

from typing import Any

import torch

from portkernel.errors import GradientError

from .. import operators, pointwise
from .define import WIDE, call, composite, computes, gradient, once_only, operator

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


# --- layer, RMS and group normalisation ---------------------------------------------------------------------


def _like_gradients(grad: Tensor, x: Tensor, shape: Any, weight: Tensor | None, eps: Any) -> tuple[Tensor, ...]:
    affine = (x if weight is None else weight).new_empty(shape)
    return x, affine, affine


def _shaped(name: str) -> Any:
    """A call whose third argument, or second, is a shape."""
    return lambda *args: operators.call(name, *(tuple(a) if isinstance(a, (list, tuple)) else a for a in args))


operator(
    "layer_norm(Tensor x, SymInt[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05) -> Tensor",
    like=_like_first, autocast=WIDE,
)(_shaped("layer_norm"))  # fmt: skip
operator(
    "layer_norm_gradient(Tensor grad, Tensor x, SymInt[] normalized_shape, Tensor? weight, float eps)"
    " -> (Tensor, Tensor, Tensor)",
    like=_like_gradients,
)(_shaped("layer_norm_gradient"))
operator(
    "rms_norm(Tensor x, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor",
    like=_like_first, autocast=WIDE,
)(_shaped("rms_norm"))  # fmt: skip
operator(
    "rms_norm_gradient(Tensor grad, Tensor x, SymInt[] normalized_shape, Tensor? weight, float? eps) -> (Tensor, Tensor)",
    like=lambda *args: _like_gradients(*args)[:2],
)(_shaped("rms_norm_gradient"))
operator(
    "group_norm(Tensor x, SymInt num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05) -> Tensor",
    like=_like_first, autocast=WIDE,
)(computes("group_norm"))  # fmt: skip
operator(
    "group_norm_gradient(Tensor grad, Tensor x, SymInt num_groups, Tensor? weight, float eps) -> (Tensor, Tensor, Tensor)",
    like=lambda grad, x, groups, weight, eps: _like_gradients(grad, x, (x.shape[1],), weight, eps),
)(computes("group_norm_gradient"))
for _name in ("layer_norm", "rms_norm", "group_norm"):
    once_only(f"{_name}_gradient")


@gradient("layer_norm", "x normalized_shape weight eps")
def _layer_norm_gradient(wanted: Any, grad: Tensor, x: Tensor, shape: Any, weight: Any, eps: float) -> Any:
    dx, dw, db = call("layer_norm_gradient", grad, x, shape, weight, eps)
    return dx, None, dw if wanted[2] else None, db if wanted[3] else None


@gradient("rms_norm", "x normalized_shape weight eps")
def _rms_norm_gradient(wanted: Any, grad: Tensor, x: Tensor, shape: Any, weight: Any, eps: float | None) -> Any:
    dx, dw = call("rms_norm_gradient", grad, x, shape, weight, eps)
    return dx, None, dw if wanted[2] else None


@gradient("group_norm", "x num_groups weight eps")
def _group_norm_gradient(wanted: Any, grad: Tensor, x: Tensor, groups: int, weight: Any, eps: float) -> Any:
    dx, dw, db = call("group_norm_gradient", grad, x, groups, weight, eps)
    return dx, None, dw if wanted[2] else None, db if wanted[3] else None


# --- batch normalisation ------------------------------------------------------------------------------------


def _like_trained(x: Tensor, weight: Any, bias: Any, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    statistic = x.new_empty((x.shape[1],), dtype=torch.float64 if x.dtype is torch.float64 else torch.float32)
    return x, statistic, statistic


@operator("batch_norm_training(Tensor x, Tensor? weight, Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)",
          like=_like_trained)  # fmt: skip
def _batch_norm_training(x: Tensor, weight: Any, bias: Any, eps: float) -> Any:
    """The result, and mean and variance (of the sample) of the batch."""
    dtype = torch.float64 if x.dtype is torch.float64 else torch.float32
    mean, variance = (torch.zeros(x.shape[1], dtype=dtype, device=x.device) for _ in range(2))
    # Statistics that move all the way are those of the batch.
    return operators.call("batch_norm", x, mean, variance, weight, bias, True, 1.0, eps), mean, variance


@operator(
    "batch_norm_inference(Tensor x, Tensor running_mean, Tensor running_var, Tensor? weight, Tensor? bias, float eps)"
    " -> Tensor",
    like=_like_first,
)
def _batch_norm_inference(x: Tensor, mean: Tensor, variance: Tensor, weight: Any, bias: Any, eps: float) -> Any:
    return operators.call("batch_norm", x, mean, variance, weight, bias, False, 0.0, eps)


operator(
    "batch_norm_gradient(Tensor grad, Tensor x, Tensor? running_mean, Tensor? running_var, Tensor? weight, bool training, "
    "float eps) -> (Tensor, Tensor, Tensor)",
    like=lambda grad, x, mean, variance, weight, *rest: _like_gradients(grad, x, (x.shape[1],), weight, 0.0),
)(computes("batch_norm_gradient"))
once_only("batch_norm_gradient")


@gradient("batch_norm_training", "x weight eps", constant=(1, 2))
def _training_gradient(wanted: Any, grad: Tensor, _mean: Any, _var: Any, x: Tensor, weight: Any, eps: float) -> Any:
    dx, dw, db = call("batch_norm_gradient", grad, x, None, None, weight, True, eps)
    return dx, dw if wanted[1] else None, db if wanted[2] else None


@gradient("batch_norm_inference", "x running_mean running_var weight eps")
def _inference_gradient(wanted: Any, grad: Tensor, x: Tensor, mean: Any, var: Any, weight: Any, eps: float) -> Any:
    if wanted[1] or wanted[2]:
        raise GradientError(
            "batch_norm(): running_mean: expected statistics without gradient, got some that require it",
            hint="pass running_mean.detach() and running_var.detach()",
        )
    dx, dw, db = call("batch_norm_gradient", grad, x, mean, var, weight, False, eps)
    return dx, None, None, dw if wanted[3] else None, db if wanted[4] else None


def _moved(running: Any, new: Any, share: Any) -> Any:
    return running + (new - running) * share


@operator("move_(Tensor(a!) running, Tensor new, float share) -> ()", like=lambda *args: None)
def _move(running: Tensor, new: Tensor, share: float) -> None:
    """``running`` goes a share of the way to ``new``, in place."""
    pointwise.launch(pointwise.Bound(_moved, (running, new, share), dtype=running.dtype), running)


@composite(
    "batch_norm(Tensor x, Tensor(a!)? running_mean, Tensor(b!)? running_var, Tensor? weight=None, Tensor? bias=None, "
    "bool training=False, float momentum=0.1, float eps=1e-05) -> Tensor"
)
def _batch_norm(
    x: Tensor, mean: Any, variance: Any, weight: Any, bias: Any, training: bool, momentum: float, eps: float
) -> Any:
    if not training:
        return call("batch_norm_inference", x, mean, variance, weight, bias, eps)
    y, *found = call("batch_norm_training", x, weight, bias, eps)
    for running, new in zip((mean, variance), found, strict=True):
        if running is not None:
            call("move_", running, new, momentum)
    return y
