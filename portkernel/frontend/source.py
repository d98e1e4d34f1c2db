"""The text of a function: its syntax tree, with the lines and columns of the user's own file."""

from __future__ import annotations

import ast
import inspect
import itertools
import linecache
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, SimpleNamespace
from typing import Final

from .. import dtypes, lang
from ..errors import SourceUnavailableError
from ..loc import Loc

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True, eq=False)
class FunctionSource:
    """A function's node in the tree of its whole file."""

    file: str
    lines: list[str]
    node: FunctionNode
    name: str

    def loc(self, node: ast.AST, call_site: Loc | None = None) -> Loc:
        """Where ``node`` stands; columns in characters, not in the bytes that ``ast`` counts."""
        line: int = getattr(node, "lineno", 0)
        if not line:
            return Loc(self.file, self.node.lineno, function=self.name, call_site=call_site)
        end_line: int = getattr(node, "end_lineno", None) or line
        end: int = getattr(node, "end_col_offset", None) or 0
        start = self._column(line, getattr(node, "col_offset", 0))
        return Loc(self.file, line, start, end_line, self._column(end_line, end), self.name, call_site)

    def _column(self, line: int, offset: int) -> int:
        if not 0 < line <= len(self.lines):
            return offset
        text = self.lines[line - 1]
        return offset if text.isascii() else len(text.encode()[:offset].decode(errors="replace"))


_files: dict[str, tuple[list[str], ast.Module]] = {}
_sources: dict[tuple[str, CodeType], FunctionSource] = {}
_serial = itertools.count(1)
_MAX_SOURCES: Final = 4096


def find(fn: FunctionType) -> FunctionSource:
    """The source of ``fn``.

    Raises :class:`~portkernel.errors.SourceUnavailableError` where there is no text, or where it has changed since.
    """
    code = fn.__code__
    key = (code.co_filename, code)
    found = _sources.get(key)
    if found is None:
        if len(_sources) >= _MAX_SOURCES:
            _sources.clear()
        found = _sources[key] = _find(fn)
    return found


def _find(fn: FunctionType) -> FunctionSource:
    code, file = fn.__code__, fn.__code__.co_filename
    linecache.checkcache(file)
    lines = linecache.getlines(file, fn.__globals__)
    if not lines:
        raise SourceUnavailableError(
            f"{fn.__name__}(): expected a function with a source file, got one from {file}",
            hint="write the kernel in a file, or make it with portkernel.frontend.kernel_from_source(text, name)",
        )
    candidates = [n for n in _functions(file, lines, code.co_firstlineno) if _matches(n, fn)]
    if len(candidates) > 1:
        candidates = [n for n in candidates if _spans(n, code)]
    if len(candidates) != 1:
        raise SourceUnavailableError(
            f"{fn.__name__}(): expected its definition at line {code.co_firstlineno} of {file}, got other text",
            hint="the file has changed since it was imported: restart Python or reload the module",
        )
    return FunctionSource(file, lines, candidates[0], fn.__name__)


def _functions(file: str, lines: list[str], first: int) -> list[FunctionNode]:
    """The functions of a file whose code objects call ``first`` their first line (decorators included)."""
    cached = _files.get(file)
    if cached is None or cached[0] is not lines:
        try:
            cached = _files[file] = (lines, ast.parse("".join(lines), file))
        except SyntaxError as e:
            raise SourceUnavailableError(
                f"{file}: expected Python text, got a syntax error in line {e.lineno}"
            ) from None
    # Most of a file is not the statement of the module that is asked for: to walk it all takes as long as to parse it.
    around = [s for s in cached[1].body if _first_line(s) <= first <= (s.end_lineno or s.lineno)]
    nodes = [node for statement in around for node in ast.walk(statement)]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return [node for node in nodes if isinstance(node, kinds) and _first_line(node) == first]


def _first_line(node: ast.stmt | ast.expr) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _matches(node: FunctionNode, fn: FunctionType) -> bool:
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    code = fn.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    names = tuple(a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))
    return name == code.co_name and names == code.co_varnames[:count]


def _spans(node: FunctionNode, code: CodeType) -> bool:
    """Tell lambdas of one line apart by the columns that their instructions come from."""
    if not isinstance(node, ast.Lambda):
        return True
    places = [(line, col) for line, _, col, end in code.co_positions() if line is not None and col is not None and end]
    return not places or min(places) == (node.body.lineno, node.body.col_offset) or _inside(node, places)


def _inside(node: ast.Lambda, places: Iterable[tuple[int, int]]) -> bool:
    begin = (node.body.lineno, node.body.col_offset)
    end = (node.body.end_lineno or begin[0], node.body.end_col_offset or begin[1])
    return all(begin <= p < end for p in places if p != (node.lineno, node.col_offset) and p[1] != 0)


def kernel_from_source(text: str, name: str, namespace: Mapping[str, object] | None = None) -> FunctionType:
    """The function ``name`` that ``text`` defines, with its text known to errors and to the front-end.

    The text sees the language as ``pk``, and what ``namespace`` adds.
    """
    file = f"<portkernel source {next(_serial)}: {name}>"
    lines = text.splitlines(keepends=True)
    linecache.cache[file] = (len(text), None, lines, file)
    scope: dict[str, object] = {"pk": _language(), "__name__": file, **(namespace or {})}
    exec(compile(text, file, "exec"), scope)
    made = scope.get(name)
    if not inspect.isfunction(made):
        raise SourceUnavailableError(f"kernel_from_source(): name: expected a function of the text, got {name!r}")
    return made


def _language() -> SimpleNamespace:
    return SimpleNamespace(**{n: getattr(lang, n) for n in lang.OPERATORS}, **dtypes.BY_NAME)
