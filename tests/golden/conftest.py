"""``make golden`` (PORTKERNEL_GOLDEN=write) writes the golden files anew instead of comparing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
Golden = Callable[[str, str], None]


@pytest.fixture
def golden() -> Golden:
    """``golden(name, text)``: ``text`` equals the file ``tests/golden/name``, byte for byte."""

    def check(name: str, text: str) -> None:
        path = FOLDER / name
        if os.environ.get("PORTKERNEL_GOLDEN") == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"{name}: no golden file; run make golden"
        assert text == path.read_text(encoding="utf-8")

    return check
