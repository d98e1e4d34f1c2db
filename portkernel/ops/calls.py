"""One call of an operator, completely: what is checked before it, what is noted after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .operator import Operator


def run(op: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of ``op.function(*args, **kwargs)``."""
    return op.function(*args, **kwargs)
