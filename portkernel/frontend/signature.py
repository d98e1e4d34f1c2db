"""The parameters of kernels and helpers, and what is wrong with a call of one."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType
from typing import get_origin

from ..errors import CallError, UnsupportedSyntaxError
from ..lang.program import ConstexprMarker, constexpr
from ..loc import Loc

EMPTY = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """A parameter of a kernel. ``default`` is ``inspect.Parameter.empty`` where there is none."""

    name: str
    constexpr: bool
    default: object = EMPTY


@lru_cache(maxsize=1024)
def signature(fn: Callable[..., object]) -> inspect.Signature:
    """``inspect.signature``, remembered."""
    return inspect.signature(fn)


def parameters(fn: FunctionType) -> tuple[ParamSpec, ...]:
    """The parameters of a kernel function, in order."""
    found: list[ParamSpec] = []
    for p in signature(fn).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            code = fn.__code__
            raise UnsupportedSyntaxError(
                f"{fn.__name__}(): {p}: expected parameters with names, got a collecting one",
                loc=Loc(code.co_filename, code.co_firstlineno, end_line=code.co_firstlineno + 1, function=fn.__name__),
                hint="a kernel has a fixed list of parameters; write them out",
            )
        found.append(ParamSpec(p.name, is_constexpr(p.annotation, fn), p.default))
    return tuple(found)


def is_constexpr(annotation: object, fn: FunctionType) -> bool:
    """True for ``pk.constexpr[...]``, as an object or as text (as ``from __future__ import annotations`` leaves it)."""
    if annotation is EMPTY:
        return False
    while isinstance(annotation, str):  # twice where the author and the file both quote it
        resolved = _resolve(annotation, fn)
        if resolved is None:
            return _named_constexpr(annotation)
        annotation = resolved
    if annotation is constexpr:
        return True
    metadata = getattr(annotation, "__metadata__", ())
    return get_origin(annotation) is not None and any(
        m is ConstexprMarker or isinstance(m, ConstexprMarker) for m in metadata
    )


def _resolve(annotation: str, fn: FunctionType) -> object | None:
    cells: dict[str, object] = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            cells[name] = cell.cell_contents
        except ValueError:  # a closure variable that is assigned later
            continue
    try:
        found: object = eval(annotation, fn.__globals__, cells)
    except Exception:  # names that exist for type checkers only
        return None
    return found


def _named_constexpr(annotation: str) -> bool:
    try:
        return names_constexpr(ast.parse(annotation, mode="eval").body)
    except SyntaxError:
        return False


def names_constexpr(node: ast.expr | None) -> bool:
    """Whether an annotation's text is ``constexpr`` or ``constexpr[...]``, of whatever module."""
    if isinstance(node, ast.Subscript):
        node = node.value
    return (isinstance(node, ast.Attribute) and node.attr == "constexpr") or (
        isinstance(node, ast.Name) and node.id == "constexpr"
    )


def bind(
    sig: inspect.Signature, name: str, args: Sequence[object], kwargs: Mapping[str, object]
) -> inspect.BoundArguments:
    """Arguments to parameters. Raises :class:`~portkernel.errors.CallError` that names the argument."""
    try:
        return sig.bind(*args, **kwargs)
    except TypeError as e:
        raise _diagnose(sig, name, args, kwargs, str(e)) from None


def _diagnose(
    sig: inspect.Signature, name: str, args: Sequence[object], kwargs: Mapping[str, object], python: str
) -> CallError:
    params = list(sig.parameters.values())
    positional = [p for p in params if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    hint = f"the signature is {name}{_show(sig)}"
    if len(args) > len(positional) and not any(p.kind is p.VAR_POSITIONAL for p in params):
        return CallError(
            f"{name}(): expected at most {len(positional)} positional arguments, got {len(args)}", hint=hint
        )
    for p in positional[: len(args)]:
        if p.name in kwargs:
            return CallError(f"{name}(): {p.name}: expected one value, got two", hint=hint)
    known = [p.name for p in params if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in params):
        for k in kwargs:
            if k not in known:
                expected = ", ".join(known) or "no keyword"
                return CallError(f"{name}(): {k}: expected one of ({expected}), got an unknown argument", hint=hint)
    given = {p.name for p in positional[: len(args)]} | set(kwargs)
    for p in params:
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.default is EMPTY and p.name not in given:
            return CallError(f"{name}(): {p.name}: expected a value, got none", hint=hint)
    return CallError(f"{name}(): {python}", hint=hint)


def _show(sig: inspect.Signature) -> str:
    bare = [p.replace(annotation=EMPTY) for p in sig.parameters.values()]
    return str(sig.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def suggestion(name: str, known: Iterable[str]) -> str:
    """A hint with the known name nearest to ``name``, or nothing."""
    near = difflib.get_close_matches(name, [k for k in known if not k.startswith("_")], n=1)
    return f"did you mean `{near[0]}`?" if near else ""
