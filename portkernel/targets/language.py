"""Which version of Triton's language a text needs: its names and parameters against ``triton_language.toml``."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import ProfileError

_FILE = Path(__file__).with_name("triton_language.toml")


@dataclass(frozen=True, slots=True)
class Language:
    """What one version has: the names of ``triton.language``, and the parameters that only later versions have."""

    version: str
    names: frozenset[str]
    later: frozenset[str]
    """``function.parameter`` that this version lacks."""


@dataclass(frozen=True, slots=True)
class Uses:
    """What a text uses: names of ``triton.language``, and ``function.parameter`` of its calls by keyword."""

    names: frozenset[str]
    parameters: frozenset[str]


@cache
def versions() -> dict[str, Language]:
    """Every version that is known, oldest first."""
    data = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    names = frozenset(data["names"])
    gained = {v: frozenset(d.get("parameters", ())) for v, d in data["version"].items()}
    later: frozenset[str] = frozenset().union(*gained.values())
    found = {data["base"]: Language(data["base"], names, later)}
    for version, change in data["version"].items():
        names = (names | frozenset(change.get("added", ()))) - frozenset(change.get("removed", ()))
        later -= gained[version]
        found[version] = Language(version, names, later)
    return found


def version(name: str) -> Language:
    """The language of version ``name``; the newest that is known for a later one. Raises ProfileError for an earlier one."""
    known = versions()
    if name in known:
        return known[name]
    newest = list(known.values())[-1]
    if re.fullmatch(r"\d+(\.\d+)*", name) and _number(name) > _number(newest.version):
        return newest
    raise ProfileError(f"language: expected a version of Triton among {', '.join(known)} or later, got {name!r}")


def _number(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split("."))


def uses(text: str) -> Uses:
    """What ``text``, a Python module that imports ``triton.language as tl``, uses of it."""
    names: set[str] = set()
    parameters: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tl":
            names.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("triton.language"):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_language(node.func.value):
            parameters.update(f"{node.func.attr}.{k.arg}" for k in node.keywords if k.arg)
    return Uses(frozenset(names), frozenset(parameters))


def _is_language(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "tl"


def missing(text: str, name: str) -> tuple[str, ...]:
    """What ``text`` uses that version ``name`` lacks, as ``tl.gather`` or ``tl.sum(dtype=)``; empty if it is within it.

    >>> missing("import triton.language as tl\\nx = tl.gather(y, i, axis=0)", "3.1")
    ('tl.gather',)
    >>> missing("import triton.language as tl\\nx = tl.gather(y, i, axis=0)", "3.3")
    ()
    """
    language, found = version(name), uses(text)
    lacking = [n if "." in n else f"tl.{n}" for n in sorted(found.names - language.names)]
    for parameter in sorted(found.parameters & language.later):
        function, _, word = parameter.partition(".")
        lacking.append(f"tl.{function}({word}=)")
    return tuple(lacking)


def needed(text: str) -> str:
    """The oldest version that has all that ``text`` uses; empty if none that is known has."""
    return next((v for v in versions() if not missing(text, v)), "")
