"""``pk.ops``: the operators of machine learning on arrays of any library, each on the route that suits its arguments.

``pk.ops.matmul(a, b)`` takes the arrays that you have and gives back the same kind. Operators are imported when they are first
named; ``dir(pk.ops)`` lists them.
"""

from __future__ import annotations

from .operator import Operator
from .registry import find, operators


def __getattr__(name: str) -> Operator:
    found = operators().get(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, *operators()])


__all__ = ["Operator", "find", "operators"]
