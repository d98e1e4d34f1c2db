"""Attach Python's operators, and NumPy's methods, to tiles."""

from __future__ import annotations

from collections.abc import Callable

from . import elementwise as e
from . import reduce as r
from . import shape as s
from .values import TileLike, TileValue

_BINARY = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floordiv", "mod": "mod", "pow": "pow",
    "and": "and", "or": "or", "xor": "xor", "lshift": "shl", "rshift": "shr",
}  # fmt: skip
_COMPARE = {"lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "eq": "eq", "ne": "ne"}
_UNARY = {"neg": "neg", "invert": "invert", "abs": "abs"}


def _forward(name: str) -> Callable[[TileValue, TileLike], TileValue]:
    return lambda self, other: e.binary(name, self, other)


def _reflected(name: str) -> Callable[[TileValue, TileLike], TileValue]:
    return lambda self, other: e.binary(name, other, self)


def _unary(name: str) -> Callable[[TileValue], TileValue]:
    return lambda self: e.unary(name, self)


for _python, _fn in (_BINARY | _COMPARE).items():
    setattr(TileValue, f"__{_python}__", _forward(_fn))
for _python, _fn in _BINARY.items():
    setattr(TileValue, f"__r{_python}__", _reflected(_fn))
for _python, _fn in _UNARY.items():
    setattr(TileValue, f"__{_python}__", _unary(_fn))
setattr(TileValue, "__pos__", lambda self: self)  # noqa: B010  # as above

METHODS: dict[str, Callable[..., object]] = {
    "astype": e.astype, "reshape": s.reshape, "transpose": s.transpose, "sum": r.sum, "prod": r.prod, "max": r.max, "min": r.min,
    "mean": r.mean, "argmax": r.argmax, "argmin": r.argmin, "any": r.any, "all": r.all, "cumsum": r.cumsum, "cumprod": r.cumprod,
}  # fmt: skip
for _name, _method in METHODS.items():
    setattr(TileValue, _name, _method)
setattr(TileValue, "T", property(s.transpose))  # noqa: B010
