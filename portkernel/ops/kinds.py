"""What an argument that is no array may be, by its annotation or its name: another kind would fail somewhere within."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

Check = Callable[[Any], str]
"""What was expected in place of a value; empty where the value is such."""

_BITS = 64


def _switch(value: Any) -> str:
    return "" if isinstance(value, (bool, int, np.bool_)) else "True or False"


def _word(value: Any) -> str:
    return "" if isinstance(value, str) else "a name"


def _function(value: Any) -> str:
    return "" if callable(value) else "a function"


def _activation(value: Any) -> str:
    return "" if isinstance(value, str) or callable(value) else "a name or a function"


def _number(value: Any) -> str:
    return "" if isinstance(value, (int, float, np.bool_, np.integer, np.floating)) else "a number"


def _integer(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "an integer"
    try:
        found = operator.index(value)
    except TypeError:
        return "an integer"
    return "" if -(1 << _BITS - 1) <= found < 1 << _BITS - 1 else f"an integer of at most {_BITS} bits"


def _members(value: Any) -> list[Any] | None:
    """What a sequence holds; None for what is none, as an array without dimensions or what can be gone through only once."""
    if isinstance(value, (str, dict)) or not hasattr(value, "__len__"):
        return None
    try:
        return [*value]
    except TypeError:
        return None


def _integers(value: Any) -> str:
    found = _members(value)
    return "a sequence of integers" if found is None else _first(map(_integer, found))


def _sizes(value: Any) -> str:
    """An integer or several: for each axis, or of each axis."""
    found = _members(value)
    return _integer(value) if found is None else _first(map(_integer, found))


def _sizes_or_none(value: Any) -> str:
    given = [value] if (found := _members(value)) is None else found
    return _first(_integer(n) for n in given if n is not None)


def _widths(value: Any) -> str:
    found = _members(value)
    return _integer(value) if found is None else _first(map(_sizes, found))


def _paddings(value: Any) -> str:
    return "" if isinstance(value, str) else _widths(value)


def _arrays(value: Any) -> str:
    return "a sequence of arrays" if _members(value) is None else ""


def _first(found: Iterable[str]) -> str:
    return next(filter(None, found), "")


_BY_ANNOTATION: dict[str, Check] = {
    "bool": _switch,
    "str": _word,
    "int": _integer,
    "float": _number,
    "Sequence[int]": _integers,
    "int | Sequence[int]": _sizes,
    "Axis": _sizes,
    "int | Sequence[int] | Sequence[Sequence[int]]": _widths,
    "Sequence[Array]": _arrays,
    "Sequence[Any]": _arrays,
    "Callable[..., Any]": _function,
}
_BY_NAME: dict[str, Check] = {
    "activation": _activation,
    "kernel_size": _sizes,
    "stride": _sizes,
    "padding": _paddings,
    "dilation": _sizes,
    "output_padding": _sizes,
    "output_size": _sizes_or_none,
}


def checks(signature: inspect.Signature) -> tuple[tuple[str, Check], ...]:
    """Name and check of each parameter of which more is known than that it is anything.

    >>> import portkernel as pk
    >>> [(name, check(2.5)) for name, check in checks(inspect.signature(pk.ops.softmax))]
    [('axis', 'an integer'), ('backend', 'a name'), ('device', 'a name')]
    """
    found: list[tuple[str, Check]] = []
    for p in signature.parameters.values():
        kind = str(p.annotation).removesuffix(" | None")
        check = _BY_NAME.get(p.name) or _BY_ANNOTATION.get(kind)
        if check is not None:
            optional = p.default is None or kind != p.annotation or kind == "Axis"
            found.append((p.name, partial(_unless_none, check) if optional else check))
    return tuple(found)


def _unless_none(check: Check, value: Any) -> str:
    return "" if value is None else check(value)


def shown(value: Any) -> str:
    """``value`` for a message: in one line, an array by its shape."""
    if not isinstance(value, type) and hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"{text.partition(chr(10))[0][:57]}..."
