"""Pooling as PyTorch has it: of images, or of one image without the axis of images."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..errors import ArgumentShapeError
from .library import module

arrays, pooling = module("arrays"), module("pooling")
Function = Callable[..., Any]
_WITH_IMAGES = ("x", "out")
"""Arguments that have an axis of images, like the result."""


def _of_one(function: Function, rank: int, name: str) -> Function:
    """``function`` over ``rank`` spatial axes, for x with or without the axis of images."""
    signature = inspect.signature(function)

    def operator(x: Any, /, *args: Any, **options: Any) -> Any:
        arrays.dtype_of(f"{name}(): x", x)
        if len(x.shape) == rank + 2:
            return function(x, *args, **options)
        if len(x.shape) != rank + 1:
            raise ArgumentShapeError(
                f"{name}(): x: expected {rank + 2} dimensions, or {rank + 1} for one image, got {len(x.shape)}"
            )
        given = signature.bind(x, *args, **options).arguments
        for key in _WITH_IMAGES:
            if given.get(key) is not None:
                given[key] = arrays.view(given[key]).insert(0).array()
        found = function(**given)
        if options.get("out") is not None:
            return options["out"]
        several = isinstance(found, tuple)
        single = tuple(arrays.view(one).drop(0).array() for one in (found if several else (found,)))
        return single if several else single[0]

    operator.__name__ = operator.__qualname__ = name
    operator.__signature__ = signature  # type: ignore[attr-defined]
    return operator


def _pool(function: Function, rank: int) -> Function:
    name = f"{function.__name__}{rank}d"
    found = _of_one(function, rank, name)
    found.__doc__ = (
        f"``torch.nn.functional.{name}``: ``{function.__name__}`` over {rank} spatial "
        f"{'axis' if rank == 1 else 'axes'}; x, and then the result, may lack the axis of images.\n\n"
        f"{inspect.getdoc(function)}"
    )
    return found


max_pool1d, max_pool2d, max_pool3d = (_pool(pooling.max_pool, rank) for rank in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_pool(pooling.avg_pool, rank) for rank in (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    _pool(pooling.adaptive_max_pool, rank) for rank in (1, 2, 3)
)
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (
    _pool(pooling.adaptive_avg_pool, rank) for rank in (1, 2, 3)
)
