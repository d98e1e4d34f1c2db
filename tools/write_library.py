"""Write the signatures in ``docs/library.md`` from the docstrings of the kernel library.

Run from the repository root: ``python tools/write_library.py``; with ``--check`` nothing is written and the exit
status is 1 if the page is out of date. A module with host functions that no family names is an error.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator

from write_operators import DOCS, description

from portkernel import catalog
from portkernel.coverage.outputs.markdown import page_with

FAMILIES: dict[str, tuple[str, ...]] = {
    "products": ("matmul", "determinant"),
    "attention": ("attention",),
    "convolution": ("conv",),
    "pooling": ("pooling",),
    "reductions": ("reduce", "variance", "arg_reduce", "logsumexp"),
    "softmax": ("softmax",),
    "normalisation": ("layer_norm", "rms_norm", "group_norm", "batch_norm"),
    "elementwise": ("elementwise", "functions", "trigonometry"),
    "indexing": ("gather", "embedding", "scatter", "put", "resample", "suppress"),
    "copies": ("pad", "fill", "triangle"),
    "scans": ("cumsum",),
    "sorting": ("sort",),
}
SHARED = {"fold", "axes"}
"""Modules whose functions serve those of other modules and take no array of a user's."""
ROUTE = ("backend", "device")
Function = Callable[..., object]


def host_functions(module: str) -> Iterator[tuple[str, Function]]:
    """What a user calls: public functions that take ``backend`` by keyword, in the order of the source."""
    found = importlib.import_module(f"{catalog.package().__name__}.{module}")
    for name, value in vars(found).items():
        if name.startswith("_") or not inspect.isfunction(value) or home(value) != module:
            continue
        backend = inspect.signature(value).parameters.get("backend")
        if backend is not None and backend.kind is backend.KEYWORD_ONLY:
            yield name, value


def home(value: Function) -> str:
    """The module or package of the library that defines ``value``."""
    return value.__module__.removeprefix(catalog.package().__name__ + ".").partition(".")[0]


def parameters(found: Function) -> str:
    """The parameters without annotations, and without ``backend`` and ``device``, which all functions take."""
    shown: list[str] = []
    is_keyword = False
    for p in inspect.signature(found).parameters.values():
        if p.name in ROUTE:
            continue
        if p.kind is p.KEYWORD_ONLY and not is_keyword:
            is_keyword = True
            shown.append("*")
        plain = str(p.replace(annotation=inspect.Parameter.empty))
        is_keyword = is_keyword or p.kind is p.VAR_POSITIONAL
        shown.append(plain)
    return ", ".join(shown)


def is_made(found: Function) -> bool:
    """Whether ``found`` is one of the many functions that one factory makes: their docstrings are a line each."""
    return found.__code__.co_name == "function"


def section(modules: tuple[str, ...]) -> str:
    """The Markdown of one family."""
    parts: list[str] = []
    for module in modules:
        found = list(host_functions(module))
        parts.append(f"From `portkernel.kernels.{module}`:\n")
        for name, function in found:
            if not is_made(function):
                title = f"#### `{name}({parameters(function)})` {{#{module}-{name}}}"
                parts.append(f"{title}\n\n{description(function)}\n")
        lines = [f"* `{n}({parameters(f)})`: {description(f)}" for n, f in found if is_made(f)]
        if lines:
            head = f"All with `{', '.join(made_options(found))}`:"
            parts.append("\n".join([head, "", *(re.sub(r", \*, .*?\)`: ", ")`: ", line) for line in lines), ""]))
    return "\n".join(parts)


def made_options(found: list[tuple[str, Function]]) -> list[str]:
    """The keywords that the functions of one factory share."""
    first = next(f for _, f in found if is_made(f))
    given = (p for p in inspect.signature(first).parameters.values() if p.kind is p.KEYWORD_ONLY)
    return [str(p.replace(annotation=inspect.Parameter.empty)) for p in given if p.name not in ROUTE]


def entries() -> str:
    """The catalogue as a table."""
    lines = ["| kernel | dtypes | cases |", "|---|---|---|"]
    for entry in catalog.all_entries():
        lines.append(f"| `{entry.name}` | {', '.join(d.name for d in entry.dtypes)} | {len(entry.cases)} |")
    return "\n".join([*lines, ""])


def unlisted() -> set[str]:
    """Modules with host functions that no family names."""
    listed = {module for modules in FAMILIES.values() for module in modules} | SHARED
    modules = {info.name for info in pkgutil.iter_modules(catalog.package().__path__)}
    return {m for m in modules - listed if any(host_functions(m))}


def main() -> int:
    missing = unlisted()
    if missing:
        raise SystemExit(f"tools/write_library.py: FAMILIES has no {', '.join(sorted(missing))}")
    path = DOCS / "library.md"
    page = path.read_text(encoding="utf-8")
    made = page_with("catalogue", entries(), page)
    for name, modules in FAMILIES.items():
        made = page_with(name, section(modules), made)
    if made == page:
        return 0
    if "--check" in sys.argv[1:]:
        print("library.md is out of date: run python tools/write_library.py")
        return 1
    path.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
