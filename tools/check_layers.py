"""Check that modules import downward only, and that device packages and backend names stay where they belong.

Run from the repository root: ``python tools/check_layers.py``. Prints ``file:line: what``; exits 1 if it found any.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = "portkernel"
LAYERS: dict[str, int] = {
    "loc": 0, "dtypes": 0, "config": 0, "errors": 0,
    "ir": 1, "targets": 1,
    "lang": 2,
    "frontend": 3, "passes": 3,
    "backends": 4,
    "runtime": 5,
    "tune": 6, "catalog": 6,
    "kernels": 7,
    "ops": 8,
    "testing": 9, "integrations": 9,
    "coverage": 10,
    "bench": 11,
    "cli": 12,
    "__main__": 13,
}  # fmt: skip
LEAVES = 0
"""Modules of this layer are one group: they may import each other."""
PUBLIC_FROM = 7
"""From this layer on, a module may import the package itself: ``import portkernel as pk``."""

DEVICE_PACKAGES = frozenset({"cupy", "cupyx", "pyopencl", "triton", "torch"})
DEVICE_HOME = "runtime"
FRAMEWORKS: dict[tuple[str, ...], str] = {("integrations", "torch"): "torch"}
"""A framework's package is also imported where programs written for it are met."""
NAMES = frozenset(
    {
        "cuda", "opencl", "triton", "hip", "musa", "metal", "sycl",
        "nvidia", "amd", "intel", "pocl", "moorethreads", "ascend", "cambricon", "hygon", "iluvatar", "metax", "biren",
    }
)  # fmt: skip
NAMES_ALLOWED = frozenset({"targets", "backends", "runtime"})


@dataclass(frozen=True, slots=True)
class Finding:
    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def module_parts(path: Path, root: Path) -> tuple[str, ...]:
    """The dotted name of a file below ``portkernel`` as parts; ``kernels/`` at the top is ``portkernel.kernels``."""
    parts = path.relative_to(root).with_suffix("").parts
    if parts[0] == "kernels":
        parts = (ROOT, *parts)
    return parts


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and dotted parts of everything that is imported, relative imports resolved against ``package``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            for alias in node.names:
                yield node.lineno, (*base, alias.name)
        elif isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name)):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            first = node.args[0] if node.args else None
            if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
                yield node.lineno, tuple(str(first.value).split("."))


def check_imports(path: str, parts: tuple[str, ...], tree: ast.AST) -> Iterator[Finding]:
    own = parts[1]
    package = parts[:-1]
    if own == "__init__":
        return
    if own not in LAYERS:
        yield Finding(path, 1, f"{ROOT}.{own} has no layer: give it one in {Path(__file__).name}")
        return
    for line, target in imported(tree, package):
        home = FRAMEWORKS.get(parts[1:3])
        if target[0] in DEVICE_PACKAGES and own != DEVICE_HOME and target[0] != home:
            yield Finding(path, line, f"imports {target[0]}: device packages belong in {ROOT}/{DEVICE_HOME}/")
        if target[0] != ROOT:
            continue
        other = target[1] if len(target) > 1 else ""
        if other not in LAYERS:
            if LAYERS[own] < PUBLIC_FROM:
                yield Finding(path, line, f"imports the package {ROOT} itself from layer {LAYERS[own]} ({own})")
        elif other == own or (LAYERS[own] == LAYERS[other] == LEAVES):
            continue
        elif LAYERS[other] >= LAYERS[own]:
            relation = "the same" if LAYERS[other] == LAYERS[own] else "a higher"
            yield Finding(
                path, line, f"{own} (layer {LAYERS[own]}) imports {other} (layer {LAYERS[other]}) of {relation} layer"
            )


def _strings(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def check_names(path: str, parts: tuple[str, ...], tree: ast.AST) -> Iterator[Finding]:
    """Comparisons with the name of a backend or vendor: ``==``, ``in``, ``match``, ``startswith``."""
    if parts[1] in NAMES_ALLOWED:
        return
    for node in ast.walk(tree):
        compared: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            compared = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
            compared = list(node.args)
        for text in (t for part in compared for t in _strings(part)):
            if text.lower() in NAMES:
                line = getattr(node, "lineno", 0) or getattr(compared[0], "lineno", 0)
                yield Finding(path, line, f"compares with {text!r}: only {', '.join(sorted(NAMES_ALLOWED))} may")


def check_file(path: Path, root: Path) -> list[Finding]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    parts, shown = module_parts(path, root), str(path.relative_to(root))
    if len(parts) < 2:
        return []
    found = [*check_imports(shown, parts, tree), *check_names(shown, parts, tree)]
    return list(dict.fromkeys(found))  # `from m import a, b` names m twice


def check(root: Path) -> list[Finding]:
    """Every finding below ``root``, in the order of files."""
    files = sorted(root.glob(f"{ROOT}/**/*.py")) + sorted(root.glob("kernels/**/*.py"))
    return [finding for path in files for finding in check_file(path, root)]


def main() -> int:
    findings = check(Path.cwd())
    for finding in findings:
        print(finding)
    print(f"layers: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
