"""What a piece of a syntax tree assigns, reads and returns, found without running it; and a global that was read."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class GlobalRead(NamedTuple):
    """A global that was compiled into a kernel as a constant."""

    space: Mapping[str, object]
    name: str
    value: object


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """``node`` and what is below it, but not the insides of nested functions, classes and comprehensions."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*_FUNCTIONS, ast.ClassDef, *_COMPREHENSIONS)):
            yield child
        else:
            yield from _own(child)


def assigned(body: Sequence[ast.stmt]) -> tuple[str, ...]:
    """The names that ``body`` may assign, in the order of their first assignment."""
    found: dict[str, None] = {}
    for stmt in body:
        found.update(dict.fromkeys(_assigned_by(stmt)))
    return tuple(found)


@lru_cache(maxsize=4096)
def _assigned_by(stmt: ast.stmt) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for node in _own(stmt):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] = None
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = None
    return tuple(found)


@lru_cache(maxsize=4096)
def returns(stmt: ast.stmt) -> bool:
    """Whether there is a ``return`` of the same function in ``stmt``."""
    return any(isinstance(node, ast.Return) for node in _own(stmt))


@lru_cache(maxsize=4096)
def reads(node: ast.AST) -> Counter[str]:
    """How often each name is read below ``node``, nested functions included."""
    return Counter(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))


def read_outside(name: str, inner: ast.AST, function: ast.AST) -> bool:
    """Whether ``function`` reads ``name`` anywhere outside ``inner``."""
    return reads(function)[name] > reads(inner)[name]
