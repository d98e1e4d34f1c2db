"""``out=`` for operators whose host functions allocate their results: checked first, filled at the end."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentTypeError
from .library import module


def check_outputs(operator: str, out: Any, like: Any) -> None:
    """Raise unless ``out`` has the number, shapes and dtypes of ``like``, the results as they will be."""
    arrays = module("arrays")
    several = isinstance(like, (tuple, list))
    if several and (not isinstance(out, (tuple, list)) or len(out) != len(like)):
        raise ArgumentTypeError(f"{operator}(): out: expected a tuple of {len(like)} arrays, got {type(out).__name__}")
    for given, one in zip(out, like, strict=True) if several else ((out, like),):
        arrays.result(f"{operator}()", given, one, tuple(int(n) for n in one.shape), (arrays.dtype_of(operator, one),))


def fill(out: Any, results: Any) -> Any:
    """``out`` with the results copied into it."""
    copy_into = module("axes").copy_into
    for to, of in zip(out, results, strict=True) if isinstance(results, (tuple, list)) else ((out, results),):
        if 0 not in to.shape:
            copy_into(to, of)
    return out
