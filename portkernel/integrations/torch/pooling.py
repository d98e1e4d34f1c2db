"""Pooling and its gradients."""

from __future__ import annotations

from typing import Any

import torch

from . import operators
from .rules import covers, refuse_unless_float

Tensor = torch.Tensor


def _each(value: Any, axes: int) -> Any:
    """ATen's list of one number for each axis, or of one for all; an empty list is None."""
    found = tuple(int(n) for n in value) if isinstance(value, (list, tuple)) else (int(value),)
    if not found:
        return None
    return found * axes if len(found) == 1 else found


def _batched(x: Tensor, axes: int) -> Tensor:
    return x if x.ndim == axes + 2 else x.unsqueeze(0)


def _max_pool(axes: int) -> Any:
    def run(
        x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
    ) -> Any:
        numbers = [_each(v, axes) for v in (kernel, stride, padding, dilation)]
        y, where = operators.call("max_pool", _batched(x, axes), *numbers, ceil_mode, return_indices=True)
        return (y, where) if x.ndim == axes + 2 else (y.squeeze(0), where.squeeze(0))

    return run


def max_pool(
    x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, *, out: Any = None
) -> Any:
    """The values of ``max_pool2d_with_indices`` alone, of x ``(N, C, H, W)``."""
    axes = x.ndim - 2
    numbers = [_each(v, axes) for v in (kernel, stride, padding, dilation)]
    return operators.call("max_pool", x, *numbers, ceil_mode, out=out)


def _max_pool_backward(axes: int) -> Any:
    def run(
        grad: Tensor, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, indices: Tensor
    ) -> Any:
        numbers = [_each(v, axes) for v in (kernel, stride, padding, dilation)]
        size = tuple(_batched(x, axes).shape)
        given = _batched(grad, axes), _batched(indices, axes)
        return operators.call("max_pool_input", size, *given, *numbers, ceil_mode).reshape(x.shape)

    return run


def _avg_pool(axes: int) -> Any:
    def run(
        x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: Any = None,
    ) -> Any:  # fmt: skip
        numbers = [_each(v, axes) for v in (kernel, stride, padding)]
        y = operators.call("avg_pool", _batched(x, axes), *numbers, ceil_mode, count_include_pad, divisor_override)
        return y if x.ndim == axes + 2 else y.squeeze(0)

    return run


def _avg_pool_backward(axes: int) -> Any:
    def run(
        grad: Tensor, x: Tensor, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
        divisor_override: Any,
    ) -> Any:  # fmt: skip
        numbers = [_each(v, axes) for v in (kernel, stride, padding)]
        size = tuple(_batched(x, axes).shape)
        options = ceil_mode, count_include_pad, divisor_override
        return operators.call("avg_pool_input", size, _batched(grad, axes), *numbers, *options).reshape(x.shape)

    return run


def _adaptive(name: str, axes: int) -> Any:
    def run(x: Tensor, size: Any) -> Any:
        y = operators.call(name, _batched(x, axes), _each(size, axes))
        return y if x.ndim == axes + 2 else y.squeeze(0)

    return run


def _adaptive_backward(axes: int) -> Any:
    def run(grad: Tensor, x: Tensor) -> Any:
        size = tuple(_batched(x, axes).shape)
        return operators.call("adaptive_avg_pool_input", size, _batched(grad, axes)).reshape(x.shape)

    return run


def _adaptive_max(axes: int) -> Any:
    def run(x: Tensor, size: Any) -> Any:
        y, where = operators.call("adaptive_max_pool", _batched(x, axes), _each(size, axes), True)
        return (y, where) if x.ndim == axes + 2 else (y.squeeze(0), where.squeeze(0))

    return run


def _adaptive_max_backward(axes: int) -> Any:
    def run(grad: Tensor, x: Tensor, indices: Tensor) -> Any:
        size = tuple(_batched(x, axes).shape)
        given = _batched(grad, axes), _batched(indices, axes)
        return operators.call("adaptive_max_pool_input", size, *given).reshape(x.shape)

    return run


def _refuse_pool(x: Any, *rest: Any, **kwargs: Any) -> str:
    return "no element" if x.numel() == 0 else refuse_unless_float(x)


def _register() -> None:
    for n in (1, 2, 3):
        given: list[tuple[str, str, Any]] = [
            (f"max_pool{n}d_with_indices", "max_pool", _max_pool(n)),
            (f"max_pool{n}d_with_indices_backward", "max_pool_input", _max_pool_backward(n)),
            (f"avg_pool{n}d", "avg_pool", _avg_pool(n)),
            (f"avg_pool{n}d_backward", "avg_pool_input", _avg_pool_backward(n)),
            (f"_adaptive_avg_pool{n}d", "adaptive_avg_pool", _adaptive("adaptive_avg_pool", n)),
            (f"adaptive_avg_pool{n}d", "adaptive_avg_pool", _adaptive("adaptive_avg_pool", n)),
            (f"_adaptive_avg_pool{n}d_backward", "adaptive_avg_pool_input", _adaptive_backward(n)),
            (f"adaptive_max_pool{n}d", "adaptive_max_pool", _adaptive_max(n)),
            (f"adaptive_max_pool{n}d_backward", "adaptive_max_pool_input", _adaptive_max_backward(n)),
        ]
        for name, operator, run in given:
            covers(name, operator=operator, refuse=_refuse_pool)(run)


_register()
