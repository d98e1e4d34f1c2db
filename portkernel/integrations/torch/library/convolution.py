"""Convolutions. Their gradients are convolutions again, so that all of them can be differentiated as often as you like."""

from __future__ import annotations

from typing import Any

import torch

from portkernel.errors import ArgumentError

from .. import operators
from .define import LOW, call, composite, gradient, operator

Tensor = torch.Tensor


def batched(run: Any, rank: int) -> Any:
    """``run`` of x without its batch axis too: ``rank`` counts the axes of x with it."""

    def wrapped(x: Tensor, *rest: Any) -> Any:
        if x.ndim != rank - 1:
            return run(x, *rest)
        found = run(x.unsqueeze(0), *rest)
        return found.squeeze(0) if isinstance(found, Tensor) else tuple(t.squeeze(0) for t in found)

    return wrapped


def _named_padding(name: str, x: Tensor, kernel: Any, stride: Any, padding: str, dilation: Any) -> tuple[Tensor, Any]:
    """x and the numbers of its padding; where "same" is odd, x with the one element more behind, as PyTorch has it."""
    axes = len(kernel)
    if padding == "valid":
        return x, (0,) * axes
    if padding != "same":
        raise ArgumentError(f"{name}(): padding: expected 'same', 'valid' or numbers, got {padding!r}")
    if any(s != 1 for s in stride):
        raise ArgumentError(f"{name}(): padding: expected numbers with a stride above 1, got 'same'")
    total = [d * (k - 1) for d, k in zip(dilation if len(dilation) == axes else dilation * axes, kernel, strict=True)]
    if any(t % 2 for t in total):
        x = call("pad", x, [0, 0] * (x.ndim - axes) + [w for t in total for w in (0, t % 2)])
    return x, [t // 2 for t in total]


def _define(n: int) -> None:
    """The convolution of ``n`` axes, its two gradients, and the transposed one."""
    name, turned = f"conv{n}d", f"conv_transpose{n}d"
    numbers = f"int[{n}] stride=1, int[{n}] padding=0, int[{n}] dilation=1, int groups=1"

    def conv(x: Tensor, weight: Tensor, bias: Any, *where: Any) -> Any:
        return operators.call(name, x, weight, bias, *where)

    def transposed(x: Tensor, weight: Tensor, bias: Any, *where: Any) -> Any:
        return operators.call(turned, x, weight, bias, *where)

    operator(
        f"{name}(Tensor x, Tensor weight, Tensor? bias=None, {numbers}) -> Tensor",
        like=getattr(torch, name),
        autocast=LOW,
    )(batched(conv, n + 2))
    operator(
        f"{turned}(Tensor x, Tensor weight, Tensor? bias=None, int[{n}] stride=1, int[{n}] padding=0, "
        f"int[{n}] output_padding=0, int groups=1, int[{n}] dilation=1) -> Tensor",
        like=getattr(torch, turned),
        autocast=LOW,
    )(batched(transposed, n + 2))

    @composite(
        f"{name}.padding(Tensor x, Tensor weight, Tensor? bias=None, int[{n}] stride=1, str padding='valid', "
        f"int[{n}] dilation=1, int groups=1) -> Tensor"
    )
    def _(x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: str, dilation: Any, groups: int) -> Any:
        whole, numbers = _named_padding(name, x, weight.shape[2:], stride, padding, dilation)
        return call(name, whole, weight, bias, stride, numbers, dilation, groups)

    operator(
        f"{name}_input(SymInt[] input_size, Tensor weight, Tensor grad_output, {numbers}) -> Tensor",
        like=lambda size, weight, grad, *where: grad.new_empty(size),
        autocast=LOW,
    )(lambda size, *rest: operators.call(f"{name}_input", tuple(size), *rest))
    operator(
        f"{name}_weight(Tensor x, SymInt[] weight_size, Tensor grad_output, {numbers}) -> Tensor",
        like=lambda x, size, grad, *where: grad.new_empty(size),
        autocast=LOW,
    )(lambda x, size, *rest: operators.call(f"{name}_weight", x, tuple(size), *rest))

    @gradient(name, "x weight stride padding dilation groups")
    def _(wanted: Any, grad: Tensor, x: Tensor, weight: Tensor, *where: Any) -> Any:
        whole, g = (x, grad) if x.ndim == n + 2 else (x.unsqueeze(0), grad.unsqueeze(0))
        dx = call(f"{name}_input", whole.shape, weight, g, *where).view(x.shape) if wanted[0] else None
        dw = call(f"{name}_weight", whole, weight.shape, g, *where) if wanted[1] else None
        return dx, dw, call("conv_bias", g) if wanted[2] else None

    @gradient(turned, "x weight stride padding dilation groups")
    def _(wanted: Any, grad: Tensor, x: Tensor, weight: Tensor, *where: Any) -> Any:
        whole, g = (x, grad) if x.ndim == n + 2 else (x.unsqueeze(0), grad.unsqueeze(0))
        dx = call(name, grad, weight, None, *where) if wanted[0] else None
        dw = call(f"{name}_weight", g, weight.shape, whole, *where) if wanted[1] else None
        return dx, dw, call("conv_bias", g) if wanted[2] else None

    @gradient(f"{name}_input", "weight grad_output stride padding dilation groups")
    def _(wanted: Any, grad: Tensor, weight: Tensor, given: Tensor, *where: Any) -> Any:
        dw = call(f"{name}_weight", grad, weight.shape, given, *where) if wanted[1] else None
        return None, dw, call(name, grad, weight, None, *where) if wanted[2] else None

    @gradient(f"{name}_weight", "x grad_output stride padding dilation groups")
    def _(wanted: Any, grad: Tensor, x: Tensor, given: Tensor, *where: Any) -> Any:
        dx = call(f"{name}_input", x.shape, grad, given, *where) if wanted[0] else None
        return dx, None, call(name, x, grad, None, *where) if wanted[2] else None


operator("conv_bias(Tensor grad_output) -> Tensor", like=lambda grad: grad.new_empty((grad.shape[1],)))(
    lambda grad: operators.call("conv_bias", grad)
)


@gradient("conv_bias", "grad_output.shape")
def _bias_gradient(wanted: Any, grad: Tensor, shape: Any) -> Any:
    return grad.view(1, -1, *(1,) * (len(shape) - 2)).expand(shape)


for _n in (1, 2, 3):
    _define(_n)
