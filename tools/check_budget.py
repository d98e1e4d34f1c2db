"""Check the size of files (500 lines) and functions (60 lines); tables do not count.

A table is a module-level assignment of a display or of a multi-line string, or a function or file marked
``# budget: table`` on its first line. Docstrings of functions do not count either; a nested function counts for itself.
Run from the repository root: ``python tools/check_budget.py``. Prints ``file:line: what``; exits 1 if it found any.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 500
FUNCTION_LINES = 60
MARKER = "# budget: table"
FOLDERS = ("portkernel", "kernels", "tools")

Function = ast.FunctionDef | ast.AsyncFunctionDef
_DISPLAYS = (
    ast.Dict,
    ast.List,
    ast.Tuple,
    ast.Set,
    ast.DictComp,
    ast.ListComp,
    ast.SetComp,
    ast.Constant,
    ast.JoinedStr,
)


def lines_of(node: ast.stmt | ast.expr) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def table_lines(tree: ast.Module) -> int:
    """Lines of module-level data."""
    total = 0
    for node in tree.body:
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        if isinstance(value, ast.Call) and value.args:  # frozenset({...}), textwrap.dedent("...")
            value = value.args[0]
        if isinstance(value, _DISPLAYS) and lines_of(node) > 2:
            total += lines_of(node)
    return total


def function_lines(node: Function) -> int:
    """Lines from ``def`` to the end, without the docstring and without the functions inside, which count for themselves."""
    first = node.body[0]
    is_doc = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    inner = sum(lines_of(n) for n in node.body if isinstance(n, Function))
    return lines_of(node) - (lines_of(first) if is_doc else 0) - inner


def check_source(name: str, text: str) -> Iterator[str]:
    """Findings in one file."""
    lines = text.splitlines()
    if lines and MARKER in lines[0]:
        return
    tree = ast.parse(text, name)
    counted = len(lines) - table_lines(tree)
    if counted > FILE_LINES:
        yield f"{name}:1: {counted} lines, at most {FILE_LINES}: split it by reason to change"
    for node in ast.walk(tree):
        if not isinstance(node, Function) or MARKER in lines[node.lineno - 1]:
            continue
        length = function_lines(node)
        if length > FUNCTION_LINES:
            yield f"{name}:{node.lineno}: {node.name}() has {length} lines, at most {FUNCTION_LINES}"


def check(root: Path) -> list[str]:
    found: list[str] = []
    for folder in FOLDERS:
        for path in sorted((root / folder).glob("**/*.py")):
            found += check_source(str(path.relative_to(root)), path.read_text(encoding="utf-8"))
    return found


def main() -> int:
    found = check(Path.cwd())
    for line in found:
        print(line)
    print(f"budget: {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
