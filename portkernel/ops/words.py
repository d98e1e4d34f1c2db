"""The words that NumPy and PyTorch have for arguments which an operator calls otherwise."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

FIRST = frozenset({"input", "a", "self", "x", "array", "arr", "ary", "m", "tensors", "arrays"})
"""What NumPy and PyTorch call the argument that comes first."""
ALSO: dict[str, str] = {
    "axis": "dim", "dim": "axis", "keepdim": "keepdims", "keepdims": "keepdim", "correction": "ddof", "other": "y",
    "index": "indices", "src": "source", "weight": "table",
}  # fmt: skip
"""A word, and the one that some operators have instead."""


def translated(
    parameters: Iterable[inspect.Parameter], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments under the operator's own names; those that it takes by position alone are given so.

    A name that is the operator's own is never taken for another one. What fits nowhere stays, for the signature to refuse.

    >>> def softmax(x, axis=-1): ...
    >>> translated(inspect.signature(softmax).parameters.values(), (), {"input": 1, "dim": 0})
    ((), {'x': 1, 'axis': 0})
    """
    found = [*parameters]
    own = {p.name for p in found}
    by_place = [p.name for p in found if p.kind is p.POSITIONAL_ONLY]
    if not by_place and kwargs.keys() <= own:
        return args, kwargs
    named: dict[str, Any] = {}
    for word, value in kwargs.items():
        name = word
        if word not in own:
            name = found[0].name if word in FIRST and not args else ALSO.get(word, word)
            if name not in own or name in kwargs or name in named:
                name = word
        named[name] = value
    while len(args) < len(by_place) and by_place[len(args)] in named:
        args = (*args, named.pop(by_place[len(args)]))
    return args, named
