"""The mark that makes a function part of the kernel language."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ..errors import CallError
from ..ir import current

P = ParamSpec("P")
R = TypeVar("R")


def op(fn: Callable[P, R]) -> Callable[P, R]:
    """Mark ``fn`` as an operator: it runs where a builder is in force, and says so elsewhere."""

    @wraps(fn)
    def operator(*args: P.args, **kwargs: P.kwargs) -> R:
        if current() is None:
            raise CallError(
                f"{fn.__name__}(): expected a call inside a @pk.kernel function, got one outside of any",
                hint="launch the kernel, or step through it with kernel.eager[grid](...)",
            )
        return fn(*args, **kwargs)

    operator.__pk_operator__ = True  # type: ignore[attr-defined]  # functions take attributes
    return operator


def is_operator(fn: object) -> bool:
    """True for functions of the kernel language."""
    return getattr(fn, "__pk_operator__", False) is True
