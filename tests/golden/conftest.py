"""``--update-golden``, or PORTKERNEL_GOLDEN=write, writes the golden files anew instead of comparing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
Golden = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """``golden(name, text)``: ``text`` equals the file ``tests/golden/name``, byte for byte."""
    # The option is unknown where this folder is not named on the command line.
    update = (
        bool(request.config.getoption("--update-golden", default=False))
        or os.environ.get("PORTKERNEL_GOLDEN") == "write"
    )

    def check(name: str, text: str) -> None:
        path = FOLDER / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"{name}: no golden file; run pytest --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return check
