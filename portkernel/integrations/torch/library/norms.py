"""Softmax and normalisations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from portkernel.errors import GradientError

from .. import operators, pointwise
from .curvatures import plus, times
from .define import WIDE, call, composite, computes, gradient, operator, sum_to

Tensor = torch.Tensor


def _like_first(x: Tensor, *rest: Any) -> Tensor:
    return x


# --- softmax ------------------------------------------------------------------------------------------------

for _name in ("softmax", "log_softmax"):
    operator(f"{_name}(Tensor x, int axis=-1) -> Tensor", like=getattr(torch, _name), autocast=WIDE)(computes(_name))
    operator(f"{_name}_gradient(Tensor grad, Tensor y, int axis=-1) -> Tensor", like=_like_first)(
        computes(f"{_name}_gradient")
    )


@gradient("softmax", "result axis")
def _softmax_gradient(wanted: Any, grad: Tensor, y: Tensor, axis: int) -> Any:
    return call("softmax_gradient", grad, y, axis)


@gradient("log_softmax", "result axis")
def _log_softmax_gradient(wanted: Any, grad: Tensor, y: Tensor, axis: int) -> Any:
    return call("log_softmax_gradient", grad, y, axis)


@gradient("softmax_gradient", "grad y axis")
def _softmax_again(wanted: Any, outer: Tensor, grad: Tensor, y: Tensor, axis: int) -> Any:
    """Of ``y·(grad - Σ grad·y)``, which is linear in grad by a symmetric matrix."""
    levels = [call("sum", times(t, y), [axis], True) for t in (grad, outer)]
    parts = times(outer, call("subtract", grad, levels[0])), times(grad, levels[1])
    return call("softmax_gradient", outer, y, axis), call("subtract", *parts)


@gradient("log_softmax_gradient", "grad y axis")
def _log_softmax_again(wanted: Any, outer: Tensor, grad: Tensor, y: Tensor, axis: int) -> Any:
    """Of ``grad - exp(y)·Σ grad``."""
    weighted = times(outer, call("exp", y))
    by_grad = call("subtract", outer, call("sum", weighted, [axis], True))
    return by_grad, times(weighted, call("sum", grad, [axis], True), -1.0)


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


@dataclass(frozen=True, slots=True)
class _Normalised:
    """x less its mean over ``axes`` (where it is ``centred``), times ``scale``: the root of one over the mean square of that."""

    y: Tensor
    scale: Tensor
    axes: tuple[int, ...]
    centred: bool

    @classmethod
    def of(cls, x: Tensor, axes: tuple[int, ...], eps: float, centred: bool) -> _Normalised:
        if centred:
            x = call("subtract", x, call("mean", x, axes, True))
        scale = call("rsqrt", plus(call("mean", call("square", x), axes, True), eps))
        return cls(times(x, scale), scale, axes, centred)

    def mean(self, *factors: Tensor) -> Tensor:
        """Of the product of some tensors."""
        return call("mean", times(*factors), self.axes, True)  # type: ignore[no-any-return]

    def projected(self, t: Tensor) -> Tensor:
        """The gradient for x of what has the gradient ``t`` for y, but for the factor ``scale``."""
        rest = call("subtract", t, times(self.y, self.mean(t, self.y)))
        return call("subtract", rest, self.mean(t)) if self.centred else rest  # type: ignore[no-any-return]

    def again(self, outer: Any, grad: Tensor, weight: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients for ``grad``, x and ``weight`` of the gradients for x, weight and bias, whose own are ``outer``.

        The gradient for x is ``scale·projected(grad·weight)``: a symmetric map of ``grad·weight``, that depends on x by y and scale.
        """
        ox, ow, ob = outer
        h = grad if weight is None else times(grad, weight)
        back = times(self.projected(ox), self.scale)
        levels = self.mean(h, self.y), self.mean(ox, self.y)
        by_scale = call("subtract", self.mean(h, ox), times(*levels))
        if self.centred:
            by_scale = call("subtract", by_scale, times(self.mean(h), self.mean(ox)))
        mixed = times(plus(times(h, levels[1]), times(ox, levels[0])), self.scale)
        by_y = call("subtract", times(grad, ow), mixed)
        dx = call("subtract", times(self.projected(by_y), self.scale), times(self.y, self.scale, self.scale, by_scale))
        by_grad = plus(back if weight is None else times(back, weight), times(self.y, ow))
        return (by_grad if ob is None else plus(by_grad, ob)), dx, times(grad, back)


def _like_weight(found: tuple[Tensor, Tensor, Tensor], weight: Any) -> tuple[Tensor, Tensor, Any]:
    return *found[:2], None if weight is None else sum_to(found[2], weight.shape)


@gradient("layer_norm_gradient", "grad x normalized_shape weight eps")
def _layer_norm_again(wanted: Any, ox: Tensor, ow: Tensor, ob: Tensor, grad: Tensor, x: Tensor, shape: Any, weight: Any, eps: float) -> Any:  # fmt: skip
    found = _Normalised.of(x, tuple(range(x.ndim - len(shape), x.ndim)), eps, True).again((ox, ow, ob), grad, weight)
    dg, dx, dw = _like_weight(found, weight)
    return dg, dx, None, dw


@gradient("rms_norm_gradient", "grad x normalized_shape weight eps")
def _rms_norm_again(wanted: Any, ox: Tensor, ow: Tensor, grad: Tensor, x: Tensor, shape: Any, weight: Any, eps: float | None) -> Any:  # fmt: skip
    given = torch.finfo(x.dtype).eps if eps is None else eps
    norm = _Normalised.of(x, tuple(range(x.ndim - len(shape), x.ndim)), given, False)
    dg, dx, dw = _like_weight(norm.again((ox, ow, None), grad, weight), weight)
    return dg, dx, None, dw


@gradient("group_norm_gradient", "grad x num_groups weight eps")
def _group_norm_again(wanted: Any, ox: Tensor, ow: Tensor, ob: Tensor, grad: Tensor, x: Tensor, groups: int, weight: Any, eps: float) -> Any:  # fmt: skip
    n, channels = x.shape[:2]
    split, affine = (n, groups, channels // groups, -1), (1, groups, channels // groups, 1)
    w = None if weight is None else weight.view(affine)
    norm = _Normalised.of(x.reshape(split), (2, 3), eps, True)
    found = norm.again((ox.reshape(split), ow.view(affine), ob.view(affine)), grad.reshape(split), w)
    dg, dx, dw = _like_weight(found, w)
    return dg.reshape(x.shape), dx.reshape(x.shape), None, None if dw is None else dw.reshape(channels)


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


@gradient("batch_norm_gradient", "grad x running_mean running_var weight training eps")
def _batch_norm_again(
    wanted: Any, ox: Tensor, ow: Tensor, ob: Tensor, grad: Tensor, x: Tensor, mean: Any, var: Any, weight: Any, training: bool,
    eps: float,
) -> Any:  # fmt: skip
    def affine(t: Any) -> Any:
        return None if t is None else t.view(1, -1, *(1,) * (x.ndim - 2))

    w = affine(weight)
    if training:
        norm = _Normalised.of(x, (0, *range(2, x.ndim)), eps, True)
        dg, dx, dw = norm.again((ox, affine(ow), affine(ob)), grad, w)
    else:  # a line
        scale = call("rsqrt", plus(affine(var), eps))
        y = times(call("subtract", x, affine(mean)), scale)
        back = times(ox, scale)
        dg = plus(plus(back if w is None else times(back, w), times(y, affine(ow))), affine(ob))
        dx, dw = times(grad, scale, affine(ow)), times(grad, back)
    return dg, dx, None, None, None if w is None else sum_to(dw, w.shape).view(-1)


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
