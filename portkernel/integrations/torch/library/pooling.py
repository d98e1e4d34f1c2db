"""Pooling over windows, and its gradients, which are differentiated themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from .. import operators
from .convolution import batched
from .define import call, gradient, operator

Tensor = torch.Tensor


def _like_size(size: Any, grad: Tensor, *rest: Any) -> Tensor:
    return grad.new_empty(size)


def _input(name: str, arguments: str) -> None:
    """The gradient of a pooling for its input."""
    operator(f"{name}(SymInt[] input_size, Tensor grad_output{arguments}) -> Tensor", like=_like_size)(
        lambda size, *rest: operators.call(name, tuple(size), *rest)
    )


_input(
    "max_pool_input",
    ", Tensor indices, int[] kernel_size, int[]? stride, int[] padding, int[] dilation, bool ceil_mode",
)
_input("adaptive_max_pool_input", ", Tensor indices")
_input("avg_pool_input", ", int[] kernel_size, int[]? stride, int[] padding, bool ceil_mode, bool count_include_pad, int? divisor_override")  # fmt: skip
_input("adaptive_avg_pool_input", "")


def _picked(wanted: Any, grad: Tensor, indices: Tensor) -> Any:
    found = call("gather", grad.flatten(2), 2, indices.flatten(2))
    return None, found.view(indices.shape)


gradient("max_pool_input", "indices")(_picked)
gradient("adaptive_max_pool_input", "indices")(_picked)


@gradient("avg_pool_input", "kernel_size stride padding ceil_mode count_include_pad divisor_override")
def _avg_pool_again(wanted: Any, grad: Tensor, *numbers: Any) -> Any:
    return None, call(f"avg_pool{grad.ndim - 2}d", grad, *numbers)


@gradient("adaptive_avg_pool_input", "grad_output.shape")
def _adaptive_avg_pool_again(wanted: Any, grad: Tensor, shape: Any) -> Any:
    return None, call(f"adaptive_avg_pool{grad.ndim - 2}d", grad, shape[2:])


def _whole(n: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors with their batch axis."""
    return tuple(t if t.ndim == n + 2 else t.unsqueeze(0) for t in tensors)


def _define(n: int) -> None:
    """The poolings of ``n`` axes."""
    each = f"int[{n}]"
    windows = f"Tensor x, {each} kernel_size, {each}? stride=None, {each} padding=0, "
    most = f"max_pool{n}d"
    like: Any = getattr(F, f"{most}_with_indices")
    given = f"({windows}{each} dilation=1, bool ceil_mode=False)"
    operator(f"{most}{given} -> Tensor", like=lambda *args: like(*args)[0])(
        batched(lambda *args: operators.call("max_pool", *args), n + 2)
    )
    operator(f"{most}_with_indices{given} -> (Tensor, Tensor)", like=like)(
        batched(lambda *args: operators.call("max_pool", *args, True), n + 2)
    )
    operator(
        f"avg_pool{n}d({windows}bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
        like=(lambda *args: torch.avg_pool1d(*_strided(args[:-1]))) if n == 1 else getattr(F, f"avg_pool{n}d"),
    )(batched(lambda *args: operators.call("avg_pool", *args), n + 2))

    @gradient(most, "x kernel_size stride padding dilation ceil_mode")
    def _(wanted: Any, grad: Tensor, x: Tensor, *numbers: Any) -> Any:
        """Finds the elements again: their indices would take twice the memory of the result until now."""
        whole, g = _whole(n, x, grad)
        indices = call(f"{most}_with_indices", whole, *numbers)[1]
        return call("max_pool_input", whole.shape, g, indices, *numbers).view(x.shape)

    @gradient(f"{most}_with_indices", "x.shape result1 kernel_size stride padding dilation ceil_mode")
    def _(wanted: Any, grad: Tensor, _: Any, shape: Any, indices: Tensor, *numbers: Any) -> Any:
        g, i = _whole(n, grad, indices)
        return call("max_pool_input", _batch(n, shape), g, i, *numbers).view(shape)

    @gradient(f"avg_pool{n}d", "x.shape kernel_size stride padding ceil_mode count_include_pad divisor_override")
    def _(wanted: Any, grad: Tensor, shape: Any, *numbers: Any) -> Any:
        return call("avg_pool_input", _batch(n, shape), *_whole(n, grad), *numbers).view(shape)


def _strided(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """``torch.avg_pool1d`` takes no None for a stride."""
    x, kernel, stride, *rest = args
    return x, kernel, kernel if stride is None else stride, *rest


def _batch(n: int, shape: Any) -> Any:
    return shape if len(shape) == n + 2 else (1, *shape)


def _define_adaptive(n: int) -> None:
    mean, most = f"adaptive_avg_pool{n}d", f"adaptive_max_pool{n}d"
    like: Any = getattr(F, f"{most}_with_indices")
    given = f"(Tensor x, int[{n}] output_size)"
    operator(f"{mean}{given} -> Tensor", like=getattr(F, mean))(
        batched(lambda x, size: operators.call("adaptive_avg_pool", x, tuple(size)), n + 2)
    )
    operator(f"{most}{given} -> Tensor", like=lambda x, size: like(x, size)[0])(
        batched(lambda x, size: operators.call("adaptive_max_pool", x, tuple(size)), n + 2)
    )
    operator(f"{most}_with_indices{given} -> (Tensor, Tensor)", like=like)(
        batched(lambda x, size: operators.call("adaptive_max_pool", x, tuple(size), True), n + 2)
    )

    @gradient(mean, "x.shape")
    def _(wanted: Any, grad: Tensor, shape: Any) -> Any:
        return call("adaptive_avg_pool_input", _batch(n, shape), *_whole(n, grad)).view(shape)

    @gradient(most, "x output_size")
    def _(wanted: Any, grad: Tensor, x: Tensor, size: Any) -> Any:
        whole, g = _whole(n, x, grad)
        indices = call(f"{most}_with_indices", whole, size)[1]
        return call("adaptive_max_pool_input", whole.shape, g, indices).view(x.shape)

    @gradient(f"{most}_with_indices", "x.shape result1")
    def _(wanted: Any, grad: Tensor, _: Any, shape: Any, indices: Tensor) -> Any:
        return call("adaptive_max_pool_input", _batch(n, shape), *_whole(n, grad, indices)).view(shape)


for _n in (1, 2, 3):
    _define(_n)
    _define_adaptive(_n)
