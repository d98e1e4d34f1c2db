"""``pk.ops``: the operators of machine learning on arrays of any library, each on the route that suits its arguments.

``pk.ops.matmul(a, b)`` takes the arrays that you have and gives back the same kind. Operators are imported when they are first
named; ``dir(pk.ops)`` lists them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .operator import Operator
from .registry import find, operators

if TYPE_CHECKING:
    from .registration import register_op
    from .routes import Route, explain, supports
    from .tracing import Trace, trace

_PLACES = {
    "Route": "routes", "Trace": "tracing", "explain": "routes", "register_op": "registration", "supports": "routes",
    "trace": "tracing",
}  # fmt: skip
"""What is imported when it is first asked for, and from where."""


def __getattr__(name: str) -> Any:
    if name == "samples":
        return import_module(f"{__name__}.samples")
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    found = operators().get(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, *operators()])


__all__ = ["Operator", "Route", "Trace", "explain", "find", "operators", "register_op", "supports", "trace"]
