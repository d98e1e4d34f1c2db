"""Kernels under ``@triton.jit``: which names of its language a function uses, by the syntax tree."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from .scan import Found, Use
from .scan_names import TILE_METHODS, tile_word

_LANGUAGE = "triton.language"
_HANDED_ON = {"tl": "triton.language", "triton": "triton"}
_DECORATORS = frozenset({"triton.jit", "triton.runtime.jit", "triton.runtime.jit.jit"})
_FEATURES: dict[type[ast.AST], tuple[str, str]] = {
    ast.While: ("while", "while"), ast.IfExp: ("conditional expression", "conditional expression"),
    ast.If: ("if", "if"), ast.For: ("for", "for"), ast.Assert: ("assert", "assert"), ast.Lambda: ("lambda", "a function"),
    ast.ListComp: ("list comprehension", ""), ast.Try: ("try", ""), ast.With: ("with", ""), ast.Break: ("break", ""),
    ast.Continue: ("continue", ""), ast.Yield: ("yield", ""),
}  # fmt: skip
"""Statements and expressions, with what they are here."""


def kernels(text: str, file: str) -> Iterator[Found]:
    """Every kernel of a module's text. Raises SyntaxError."""
    tree = ast.parse(text)
    names = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and any(
            _is_jit(d, names) for d in node.decorator_list
        ):
            yield Found(file, node.lineno, node.name, "tl", tuple(_uses(node, names)))


def imported(tree: ast.AST) -> dict[str, str]:
    """What the names of a module stand for, as dotted paths: ``tl`` is ``triton.language``."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                found[a.asname or a.name.split(".")[0]] = a.name if a.asname else a.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for a in node.names:
                # A project may hand the packages on through a module of its own.
                found[a.asname or a.name] = _HANDED_ON.get(a.name, f"{node.module}.{a.name}")
    return found


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """The path that an expression such as ``tl.math.exp`` names; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return ""
    return ".".join([names[node.id], *reversed(parts)])


def _is_jit(decorator: ast.AST, names: dict[str, str]) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return dotted(target, names) in _DECORATORS


def _uses(function: ast.AST, names: dict[str, str]) -> Iterator[Use]:
    builtins: Counter[str] = Counter()
    others: Counter[tuple[str, str]] = Counter()
    inner: set[int] = set()
    for node in ast.walk(function):
        if id(node) in inner:
            continue
        if isinstance(node, (ast.Attribute, ast.Name)):
            name = _builtin(dotted(node, names))
            if name:
                builtins[name] += 1
                inner.update(id(n) for n in ast.walk(node))
            elif isinstance(node, ast.Attribute) and node.attr in TILE_METHODS and not dotted(node, names):
                others[(f".{node.attr}", TILE_METHODS[node.attr])] += 1
        elif type(node) in _FEATURES:
            others[_FEATURES[type(node)]] += 1
    for name, count in sorted(builtins.items()):
        yield Use(name, count, tile_word(name))
    for (name, word), count in sorted(others.items()):
        yield Use(name, count, word)


def _builtin(path: str) -> str:
    """The last name of a path into the language; its libraries ``math``, ``extra`` and ``libdevice`` lie in it too."""
    if path.startswith(_LANGUAGE + ".") or "libdevice." in path:
        last = path.rsplit(".", 1)[1]
        return "" if last in ("math", "extra", "libdevice", "standard", "core") else last
    return ""
