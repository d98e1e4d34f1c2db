"""Source locations: where in the user's file an operation, or a mistake, stands."""

from __future__ import annotations

import linecache
import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loc:
    """A span of source text. ``col`` and ``end_col`` count characters from 0.

    ``call_site`` is where an inlined function was called from, so a location inside it can print the
    whole chain of calls.
    """

    file: str = ""
    line: int = 0
    col: int = 0
    end_line: int = 0
    end_col: int = 0
    function: str = ""
    call_site: Loc | None = None

    @property
    def is_known(self) -> bool:
        return self.line > 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.is_known else "<unknown>"

    def excerpt(self) -> str:
        """The source line with carets below the span, then a line for each call site."""
        if not self.is_known:
            return ""
        shown = [f'  File "{self.file}", line {self.line}' + (f", in {self.function}" if self.function else "")]
        text = linecache.getline(self.file, self.line).rstrip("\n")
        if text.strip():
            indent = len(text) - len(text.lstrip())
            end = self.end_col if self.end_line == self.line else len(text.rstrip())
            lead = _width(text[indent : self.col])
            carets = max(1, _width(text[max(self.col, indent) : end]))
            shown.append("    " + text.strip())
            shown.append("    " + " " * lead + "^" * carets)
        if self.call_site is not None and self.call_site.is_known:
            shown.append("  called from")
            shown.append(self.call_site.excerpt())
        return "\n".join(shown)


def _width(text: str) -> int:
    """Terminal columns that ``text`` takes: wide East Asian characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


UNKNOWN = Loc()
