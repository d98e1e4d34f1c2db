"""``tools/coverage_report.py``: the page, the baseline, the status."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from coverage_kit import EVERY_STATE, POCL, cell, make_report

from portkernel.coverage import baseline
from portkernel.coverage.document import to_json
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
    assert text.startswith("# Coverage\n") and "| add | 1 native" in text and "## Skipped tests" in text
    assert not tool.BASELINE.exists()


RECORD = """<?xml version="1.0"?><testsuites><testsuite name="pytest" skipped="4" tests="1600" timestamp="2026-11-20T19:23:35+00:00">
<testcase classname="" name="tests.unit.test_a"><skipped message="collection skipped">('/a/tests/unit/test_a.py', 2, 'Skipped: no x | y')</skipped></testcase>
<testcase classname="tests.unit.test_b.TestB" name="test_1"><skipped type="pytest.skip" message="no GPU">/a:2: no GPU</skipped></testcase>
<testcase classname="tests.unit.test_b" name="test_2"><skipped type="pytest.skip" message="no GPU">/a:3: no GPU</skipped></testcase>
<testcase classname="tests.unit.test_c" name="test_3"><skipped type="pytest.skip" message="no GPU">/a:3: no GPU</skipped></testcase>
<testcase classname="tests.unit.test_c" name="test_4" /></testsuite></testsuites>
"""


def test_every_skip_is_a_row_with_its_reason(tool: ModuleType, tmp_path: Path) -> None:
    record = tmp_path / "tests.xml"
    assert "No record" in tool.section(record)
    record.write_text(RECORD)
    text = tool.section(record)
    assert "2026-11-20: 4 of 1,600 tests were skipped" in text
    assert (
        "| no GPU | 3 | `tests/unit/test_b.py`, `tests/unit/test_c.py` |\n| no x / y | 1 | `tests/unit/test_a.py` |"
        in text
    )
    record.write_text(RECORD.replace('message="no GPU"', 'message=""'))
    with pytest.raises(ValueError, match=r"test_b\.py: test_1: expected a reason for the skip, got none"):
        tool.section(record)
    makefile = (ROOT / "Makefile").read_text()
    assert "--junitxml=build/tests.xml" in makefile


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


def test_an_earlier_report_does_not_stand_for_a_run_that_failed(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.json").write_text(to_json(make_report(*EVERY_STATE)))
    monkeypatch.setattr(tool, "FOLDER", tmp_path)
    monkeypatch.setattr(tool.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=2))
    with pytest.raises(SystemExit, match=r"no report was written \(exit status 2\)"):
        tool.measure(1.0)


def test_it_writes_the_page_of_an_earlier_report(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(to_json(make_report(*EVERY_STATE)))
    assert tool.main(["--from", str(tmp_path / "report.json")]) == 0
    assert "| add | 1 native" in tool.PAGE.read_text()


def test_the_committed_baseline_can_be_read() -> None:
    states = baseline.read(ROOT / "docs" / "coverage-baseline.json")
    assert State.WRONG not in states.values()
    assert len({column for _, _, column in states}) >= 3
    assert (
        "coverage_report.py" in (ROOT / "Makefile").read_text()
        and "make coverage" in (ROOT / ".ci" / "run").read_text()
    )
