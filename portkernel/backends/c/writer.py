"""Lines of text with the kernel line that each came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...loc import UNKNOWN, Loc


class Writer:
    """Collects indented lines."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, Loc]] = []
        self._depth = 1
        self.loc: Loc = UNKNOWN

    def line(self, text: str) -> None:
        self._lines.append(("  " * self._depth + text, self.loc))

    @contextmanager
    def indent(self) -> Iterator[None]:
        self._depth += 1
        yield
        self._depth -= 1

    @property
    def text(self) -> str:
        return "".join(line + "\n" for line, _ in self._lines)

    def locations(self, before: int) -> tuple[tuple[int, Loc], ...]:
        """``(line, loc)`` from 1 where the location changes, given how many lines stand before this text."""
        found: list[tuple[int, Loc]] = []
        last = UNKNOWN
        for i, (_, loc) in enumerate(self._lines):
            if loc is not last and loc.is_known and loc != last:
                found.append((before + i + 1, loc))
                last = loc
        return tuple(found)
