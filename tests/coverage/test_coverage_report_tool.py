"""``tools/coverage_report.py``: the page, the baseline, the status."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from coverage_kit import EVERY_STATE, POCL, cell, make_report

from portkernel.coverage import baseline
from portkernel.coverage.states import State

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import coverage_report

    monkeypatch.setattr(coverage_report, "BASELINE", tmp_path / "baseline.json")
    monkeypatch.setattr(coverage_report, "PAGE", tmp_path / "coverage.md")
    return coverage_report


def test_it_writes_the_page_and_passes_the_status_on(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "measure", lambda budget: (make_report(*EVERY_STATE), 3))
    assert tool.main([]) == 3
    text = tool.PAGE.read_text()
    assert text.startswith("# Coverage\n") and "| add | 1 native" in text
    assert not tool.BASELINE.exists()


def test_it_takes_what_it_found_into_the_baseline(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {
        ("k", "float32", POCL.id): State.WRONG,  # measured anew
        ("k", "int8", "cuda/a-gpu"): State.NATIVE,  # not on this machine
        ("k", "int16", POCL.id): State.NATIVE,  # the operator takes it no more
        ("k", "int8", POCL.id): State.NATIVE,  # not reached
    }
    tool.BASELINE.write_text(baseline.to_baseline(before))
    report = make_report(cell(State.NATIVE), cell(State.UNTESTED, dtype="int8"))
    monkeypatch.setattr(tool, "measure", lambda budget: (report, 3))
    assert tool.main(["--write-baseline"]) == 0
    assert baseline.read(tool.BASELINE) == {
        ("k", "float32", POCL.id): State.NATIVE,
        ("k", "int8", "cuda/a-gpu"): State.NATIVE,
        ("k", "int8", POCL.id): State.NATIVE,
    }


def test_the_committed_baseline_can_be_read() -> None:
    states = baseline.read(ROOT / "docs" / "coverage-baseline.json")
    assert State.WRONG not in states.values()
    assert len({column for _, _, column in states}) >= 3
    assert (
        "coverage_report.py" in (ROOT / "Makefile").read_text()
        and "make coverage" in (ROOT / ".ci" / "run").read_text()
    )
