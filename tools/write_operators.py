"""Write the reference of operators in ``docs/language.md``, and the table of bounds in ``docs/numerics.md``, from docstrings.

Run from the repository root: ``python tools/write_operators.py``; with ``--check`` nothing is written and the exit
status is 1 if a page is out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from portkernel import lang
from portkernel.coverage.outputs.markdown import page_with

DOCS = Path(__file__).parents[1] / "docs"
_BOUND = re.compile(r"At most (\d+) ulp in float32 and float64")
SECTIONS: dict[str, str] = {
    "program": "The grid, compile-time values, assertions, printing",
    "memory": "Reading and writing arrays",
    "shape": "Making and reshaping tiles",
    "elementwise": "Elementwise",
    "linalg": "Products",
    "reduce": "Reductions and scans",
    "random": "Random numbers",
}


def signature(name: str, found: object) -> str:
    """``name(a, b=…)`` without annotations."""
    if name == "constexpr":
        return "constexpr[type]"
    try:
        parameters = inspect.signature(found).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return name
    shown = [str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters if p.name != "self"]
    return f"{name}({', '.join(shown)})"


def description(found: object) -> str:
    """The docstring as Markdown: roles and double backquotes become code, examples a block."""
    text = inspect.getdoc(found) or ""
    text = re.sub(r":\w+:`~?([^`]+)`", lambda m: f"`{m[1].rsplit('.', 1)[-1]}`", text).replace("``", "`")
    lines: list[str] = []
    for line in text.splitlines():
        is_example = line.startswith(">>>")
        lines.append(f"    {line}" if is_example or (lines and lines[-1].startswith("    >>>") and line) else line)
    return "\n".join(lines)


def module_of(found: object) -> str:
    return str(getattr(found, "__module__", "")).rsplit(".", 1)[-1]


def reference() -> str:
    """The Markdown of all sections. Every name of ``lang.OPERATORS`` appears once."""
    grouped: dict[str, list[str]] = {section: [] for section in SECTIONS}
    for name in lang.OPERATORS:
        section = module_of(getattr(lang, name))
        grouped[section if section in SECTIONS else "program"].append(name)
    parts: list[str] = []
    for section, title in SECTIONS.items():
        parts.append(f"### {title}\n")
        for name in grouped[section]:
            found = getattr(lang, name)
            parts.append(f"#### `{signature(name, found)}` {{#{name}}}\n\n{description(found)}\n")
    return "\n".join(parts)


def bounds() -> str:
    """The Markdown table of the functions whose docstring states a bound, the tightest first."""
    found = ((name, _BOUND.search(inspect.getdoc(getattr(lang, name)) or "")) for name in lang.OPERATORS)
    rows = sorted((int(match[1]), name) for name, match in found if match)
    lines = [f"| [`{name}`](language.md#{name}) | {ulp} |" for ulp, name in rows]
    return "\n".join(["| function | ulp in float32 and float64 |", "|---|---|", *lines, ""])


def main() -> int:
    stale = 0
    for name, part, text in (("language.md", "operators", reference()), ("numerics.md", "bounds", bounds())):
        page = (DOCS / name).read_text(encoding="utf-8")
        made = page_with(part, text, page)
        if made == page:
            continue
        stale = 1
        if "--check" in sys.argv[1:]:
            print(f"{name} is out of date: run python tools/write_operators.py")
        else:
            (DOCS / name).write_text(made, encoding="utf-8")
    return stale if "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
