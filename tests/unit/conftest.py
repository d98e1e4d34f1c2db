"""What launches of a test begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

import portkernel as pk
from portkernel import config


@pytest.fixture
def fresh(tmp_path: Path):
    """An empty cache, and counters at zero."""
    with config.override(cache_dir=tmp_path / "cache") as settings:
        pk.reset_stats()
        yield settings
