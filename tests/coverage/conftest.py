"""Fixtures of the tests of the coverage report."""

from __future__ import annotations

from pathlib import Path

import pytest
from coverage_kit import FAKE_WORKER

from portkernel.coverage import pool


@pytest.fixture
def fake_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes that answer without doing anything: the row ``crash`` aborts, ``hang`` hangs."""
    (tmp_path / "fake_worker.py").write_text(FAKE_WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(pool, "WORKER_MODULE", "fake_worker")
