"""Comparisons with an earlier report, and the verdicts made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from coverage_kit import EVERY_STATE, POCL, SM90, cell, make_report, states_of

from portkernel.coverage import baseline
from portkernel.coverage.document import to_json
from portkernel.coverage.states import State
from portkernel.errors import SettingError

KEY = ("k", "float32", POCL.id)


def compared(before: State | None, after: State | None, partial: bool = False) -> dict[str, int]:
    cells = [cell(State.NATIVE, "other")] + ([cell(after)] if after is not None else [])
    old = {("other", "float32", POCL.id): State.NATIVE} | ({KEY: before} if before is not None else {})
    found = baseline.compare(old, make_report(*cells), partial)
    names = ("improved", "regressed", "new", "gone", "unmeasured")
    return {name: len(getattr(found, name)) for name in names if getattr(found, name)}


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (State.NATIVE, State.NATIVE, ""),
        (State.NATIVE, State.WRONG, "regressed"),
        (State.NATIVE, State.DEGRADED, "regressed"),
        (State.NATIVE, State.EMULATED, "regressed"),
        (State.COMPILED, State.UNSUPPORTED, "regressed"),
        (State.WRONG, State.NATIVE, "improved"),
        (State.UNSUPPORTED, State.EMULATED, "improved"),
        (None, State.NATIVE, "new"),
        (State.UNTESTED, State.NATIVE, "new"),
        (None, State.UNTESTED, ""),
        (State.NATIVE, None, "gone"),
        (State.NATIVE, State.UNTESTED, "unmeasured"),
        (State.COMPILED, State.EMITTED, "unmeasured"),  # no compiler here
        (State.EMITTED, State.EMITTED, ""),
    ],
)
def test_changes(before: State | None, after: State | None, kind: str) -> None:
    assert compared(before, after) == ({kind: 1} if kind else {})


def test_what_this_machine_or_run_does_not_have_is_not_gone() -> None:
    assert compared(State.NATIVE, None, partial=True) == {"unmeasured": 1}
    old = {("k", "float32", "cuda/nvidia-h200"): State.NATIVE}
    found = baseline.compare(old, make_report(cell(State.NATIVE)))
    assert not found.gone and not found.regressed and len(found.unmeasured) == 1


def test_what_a_run_did_not_reach_is_not_gone() -> None:
    report = make_report(cell(State.NATIVE), cell(State.NATIVE, dtype="int8", column=SM90))
    found = baseline.compare({("k", "int8", POCL.id): State.NATIVE, ("k", "int16", POCL.id): State.NATIVE}, report)
    assert [c.key[1] for c in found.unmeasured] == ["int8"] and [c.key[1] for c in found.gone] == ["int16"]


def test_both_forms_are_read(tmp_path: Path) -> None:
    report = make_report(*EVERY_STATE)
    states = states_of(report)
    (tmp_path / "full.json").write_text(to_json(report))
    (tmp_path / "states.json").write_text(baseline.to_baseline(states))
    assert baseline.read(tmp_path / "full.json") == states
    kept = {key: state for key, state in states.items() if state is not State.UNTESTED}
    assert baseline.read(tmp_path / "states.json") == kept
    assert not baseline.compare(kept, report).regressed


def test_a_baseline_is_the_same_text_whatever_the_order() -> None:
    states = states_of(make_report(*EVERY_STATE))
    text = baseline.to_baseline(states)
    assert text == baseline.to_baseline(dict(reversed(states.items())))
    assert json.loads(text)["format"] == baseline.FORMAT
    assert "seconds" not in text


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": "another"}', '{"format": "portkernel-coverage-baseline-1"}']
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(SettingError, match="expected a report or a baseline"):
        baseline.read(tmp_path / "old.json")


GOOD, BAD = make_report(cell(State.NATIVE)), make_report(cell(State.WRONG), cell(State.UNTESTED, column=SM90))
WORSE = baseline.compare({KEY: State.NATIVE}, BAD)


@pytest.mark.parametrize(
    ("report", "comparison", "fail_on", "under", "status"),
    [
        (GOOD, None, ("wrong", "regression", "untested"), None, 0),
        (GOOD, None, (), 75.0, 0),
        (GOOD, None, (), 75.1, baseline.UNDER),
        (BAD, None, ("wrong",), None, 1),
        (BAD, None, ("regression",), None, 0),
        (BAD, WORSE, ("regression",), None, 3),
        (BAD, WORSE, ("wrong", "regression"), None, 1),
        (BAD, None, ("untested",), None, 5),
        (BAD, None, (), None, 0),
        (make_report(cell(State.NATIVE), complete=False), None, ("wrong",), None, 130),
    ],
)
def test_verdicts(report, comparison, fail_on, under, status: int) -> None:
    found, why = baseline.verdict(report, comparison, fail_on, under)
    assert found == status and bool(why) == bool(status)


def test_a_baseline_with_what_is_not_measured_here_fails_only_when_asked() -> None:
    comparison = baseline.compare({("k", "float32", "cuda/gpu"): State.NATIVE}, GOOD)
    assert baseline.verdict(GOOD, comparison, ("regression",), None)[0] == 0
    assert baseline.verdict(GOOD, comparison, ("untested",), None)[0] == 5
