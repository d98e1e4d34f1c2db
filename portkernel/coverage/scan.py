"""``portkernel coverage --scan``: the GPU kernels of a source tree, what they use, and what of it this language has.

Files are parsed, never imported or executed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ArgumentError
from .outputs.words import plain_table
from .scan_names import has

SKIPPED = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", "build", "dist"})


@dataclass(frozen=True, slots=True)
class Use:
    """A built-in or a feature of the language that a kernel uses, how often, and what it is here.

    ``word`` is "" where this language has nothing, None where nobody knows the name.
    """

    name: str
    count: int
    word: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A kernel: ``dialect`` is tl or cuda. ``problem`` says why its text could not be read."""

    file: str
    line: int
    name: str
    dialect: str
    uses: tuple[Use, ...]
    problem: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(u.name for u in self.uses if not has(u.word))

    @property
    def is_covered(self) -> bool:
        return not self.problem and not self.missing


@dataclass(frozen=True, slots=True)
class Scan:
    """All kernels below ``path``; ``unread`` are the files that are no Python."""

    path: str
    files: int
    kernels: tuple[Found, ...]
    unread: tuple[str, ...]

    def names(self) -> dict[tuple[str, str], tuple[int, int, str | None]]:
        """(dialect, name) to the number of uses, that of kernels, and the word here."""
        uses: Counter[tuple[str, str]] = Counter()
        kernels: Counter[tuple[str, str]] = Counter()
        words: dict[tuple[str, str], str | None] = {}
        for kernel in self.kernels:
            for use in kernel.uses:
                key = (kernel.dialect, use.name)
                uses[key] += use.count
                kernels[key] += 1
                words[key] = use.word
        return {key: (uses[key], kernels[key], words[key]) for key in sorted(uses)}


def scan(path: str | Path) -> Scan:
    """The kernels in the Python files of a folder, or in one file. Raises ArgumentError for a path that is not there."""
    root = Path(path)
    if not root.exists():
        raise ArgumentError(f"scan(): path: expected a folder or a file, got {str(path)!r}")
    from .scan_cuda import texts
    from .scan_tiles import kernels

    found: list[Found] = []
    unread: list[str] = []
    count = 0
    for file in _python_files(root):
        count += 1
        shown = str(file.relative_to(root)) if root.is_dir() else file.name
        try:
            text = file.read_text(encoding="utf-8")
            found.extend([*kernels(text, shown), *texts(text, shown)])
        except (SyntaxError, UnicodeDecodeError, ValueError, RecursionError):
            unread.append(shown)
    return Scan(str(path), count, tuple(sorted(found, key=lambda k: (k.file, k.line))), tuple(unread))


def _python_files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for file in sorted(root.rglob("*.py")):
        if not SKIPPED & set(file.relative_to(root).parts[:-1]):
            yield file


# --- renderings ---------------------------------------------------------------------------------------------


def counts(result: Scan) -> dict[str, int]:
    """The numbers that the summary states, each with its denominator."""
    names = result.names()
    return {
        "files": result.files,
        "kernels": len(result.kernels),
        "kernels_covered": sum(k.is_covered for k in result.kernels),
        "builtins": len(names),
        "builtins_covered": sum(has(word) for _, _, word in names.values()),
        "uses": sum(n for n, _, _ in names.values()),
        "uses_covered": sum(n for n, _, word in names.values() if has(word)),
    }


def as_json(result: Scan) -> str:
    kernels = [
        {
            "file": k.file, "line": k.line, "name": k.name, "dialect": k.dialect, "covered": k.is_covered,
            "missing": list(k.missing), "problem": k.problem,
            "uses": [{"name": u.name, "count": u.count, "word": u.word} for u in k.uses],
        }
        for k in result.kernels
    ]  # fmt: skip
    whole = {"path": result.path, "counts": counts(result), "kernels": kernels, "unread": list(result.unread)}
    return json.dumps(whole, indent=1) + "\n"


def as_text(result: Scan) -> str:
    """Two tables, of kernels and of built-ins, where there are any, and a summary."""
    if not result.kernels:
        return sentence(result) + "\n"
    kernels = [
        (f"{k.file}:{k.line}", k.name, k.dialect, str(sum(u.count for u in k.uses)), k.problem or ", ".join(k.missing) or "—")
        for k in result.kernels
    ]  # fmt: skip
    names = [
        (dialect, name, str(uses), str(kernels_), "unknown" if word is None else word or "missing")
        for (dialect, name), (uses, kernels_, word) in result.names().items()
    ]
    tables = (
        plain_table([("kernel at", "name", "dialect", "uses", "not here"), *kernels]),
        plain_table([("dialect", "built-in", "uses", "kernels", "here"), *names]),
    )
    return "\n\n".join([*tables, sentence(result)]) + "\n"


def sentence(result: Scan) -> str:
    n = counts(result)
    text = (
        f"{n['kernels']} kernels in {n['files']} files. The portable language has all that "
        f"{n['kernels_covered']} of {n['kernels']} kernels use: {n['builtins_covered']} of {n['builtins']} distinct "
        f"built-ins, {n['uses_covered']} of {n['uses']} uses. Nothing was executed."
    )
    return text + (f" {len(result.unread)} files could not be parsed." if result.unread else "")
