"""Pooling under PyTorch's names, which say over how many axes: ``max_pool1d`` to ``3d``, and so on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..errors import ArgumentShapeError
from .library import module

arrays, pooling = module("arrays"), module("pooling")
Function = Callable[..., Any]


def _over(function: Function, rank: int) -> Function:
    """``function`` for arrays of ``rank`` spatial axes, with or without the axis of images."""
    name = f"{function.__name__}{rank}d"

    def pool(
        x: Any, /, *args: Any, channels_last: bool = False, out: Any = None, backend: str | None = None,
        device: str | None = None, **options: Any,
    ) -> Any:  # fmt: skip
        arrays.dtype_of(f"{name}(): x", x)
        if len(x.shape) not in (rank + 1, rank + 2):
            raise ArgumentShapeError(
                f"{name}(): x: expected {rank + 2} dimensions, or {rank + 1} for one image, got {len(x.shape)}"
            )
        single = len(x.shape) == rank + 1
        x, out = (arrays.view(t).insert(0).array() if single and t is not None else t for t in (x, out))
        found = function(x, *args, channels_last=channels_last, out=out, backend=backend, device=device, **options)
        if not single:
            return found
        if isinstance(found, tuple):
            return tuple(arrays.view(t).drop(0).array() for t in found)
        return arrays.view(found).drop(0).array()

    pool.__name__ = pool.__qualname__ = name
    pool.__doc__ = (
        f"``torch.nn.functional.{name}``: ``{function.__name__}`` over {rank} spatial "
        f"{'axis' if rank == 1 else 'axes'}; x may lack the axis of images.\n\n{inspect.getdoc(function)}"
    )
    pool.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return pool


max_pool1d, max_pool2d, max_pool3d = (_over(pooling.max_pool, rank) for rank in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_over(pooling.avg_pool, rank) for rank in (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    _over(pooling.adaptive_max_pool, rank) for rank in (1, 2, 3)
)
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (
    _over(pooling.adaptive_avg_pool, rank) for rank in (1, 2, 3)
)
