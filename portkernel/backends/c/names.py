"""Identifiers: the user's names where C allows them."""

from __future__ import annotations

import re

from .spell import RESERVED, RESERVED_PATTERN

_RESERVED = re.compile(RESERVED_PATTERN)
_NOT_WORD = re.compile(r"[^0-9A-Za-z_]+")


def identifier(hint: str) -> str:
    """``hint`` as a C identifier that no language of the family has taken; empty if nothing of it is left."""
    text = _NOT_WORD.sub("_", hint).strip("_") if hint else ""
    if not text:
        return ""
    if text[0].isdigit():
        text = "v" + text
    return text + "_" if text in RESERVED or _RESERVED.fullmatch(text) else text


class Names:
    """Gives each name once."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def fresh(self, hint: str, default: str = "t") -> str:
        base = identifier(hint)
        if base and base not in self._next:
            self._next[base] = 1
            return base
        base = base or default
        while True:
            self._next[base] = count = self._next.get(base, 0) + 1
            name = f"{base}{count}" if base == default else f"{base}_{count}"
            if name not in self._next and name not in RESERVED:
                self._next[name] = 1
                return name
