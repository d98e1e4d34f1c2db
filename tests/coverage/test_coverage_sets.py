"""The operator sets that percentages are of, and the counting."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from coverage_kit import POCL, SM90, cell

from portkernel.coverage.model import Row
from portkernel.coverage.percentages import covered, percentages
from portkernel.coverage.sets import aten_by_operator, onnx_implemented, sets
from portkernel.coverage.states import State

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def test_the_shipped_sets_are_those_of_the_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the set is PyTorch's own")
    onnx = pytest.importorskip("onnx", reason="the set is ONNX's own")
    here = f"opset {onnx.defs.onnx_opset_version()};"
    if here not in sets()["onnx"].what:
        pytest.skip(f"this onnx has {here} the shipped set is of another: {sets()['onnx'].what}")
    monkeypatch.syspath_prepend(str(TOOLS))
    import write_sets

    assert (TOOLS.parent / write_sets.PLACE).read_text() == write_sets.text()


def test_denominators() -> None:
    assert len(sets()["aten-core"].names) == 193
    assert len({name.partition(".")[0] for name in sets()["aten-core"].names}) == 164
    assert len(sets()["onnx"].names) == 201


def test_who_serves_is_read_from_the_integrations() -> None:
    pytest.importorskip("torch", reason="the table is over PyTorch's operators")
    listed = [name for names in (aten_by_operator() or {}).values() for name in names]
    served = set(listed)
    assert len(listed) == len(served)  # each overload has one operator, and operators beside aten are none of the set
    assert served <= sets()["aten-core"].names and "mm.default" in served
    assert "Gemm" in (onnx_implemented() or ["Gemm"])


ROWS = [
    Row("a", dtypes=("float32", "int8"), aten=("add.Tensor",)),
    Row("a", "empty", dtypes=("float32",)),
    Row("b", dtypes=("float32",)),
]


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        ((cell(State.NATIVE, "a"), cell(State.EMULATED, "a", "int8")), {"a"}),
        ((cell(State.NATIVE, "a"), cell(State.UNSUPPORTED, "a", "int8")), {"a"}),
        ((cell(State.NATIVE, "a"), cell(State.WRONG, "a[empty]")), set()),
        ((cell(State.NATIVE, "a"), cell(State.FALLBACK, "a", "int8"), cell(State.NATIVE, "b")), {"b"}),
        ((cell(State.NATIVE, "a"), cell(State.DEGRADED, "a", "int8")), set()),
        ((cell(State.UNTESTED, "a"), cell(State.UNSUPPORTED, "b")), set()),
        ((cell(State.NATIVE, "a"), cell(State.WRONG, "a", column=SM90)), {"a"}),
    ],
)
def test_an_operator_counts_when_all_that_was_tried_is_covered(cells, names: set[str]) -> None:
    assert covered(ROWS, cells, POCL.id) == names


@pytest.mark.parametrize(
    ("cells", "everywhere", "there"),
    [
        ((cell(State.EMITTED, "a", column=SM90),), set(), set()),
        ((cell(State.NATIVE, "a"), cell(State.EMITTED, "a", column=SM90)), {"a"}, set()),
        ((cell(State.COMPILED, "a", column=SM90), cell(State.EMITTED, "a", "int8", SM90)), {"a"}, set()),
    ],
)
def test_an_emitted_text_is_no_evidence(cells, everywhere: set[str], there: set[str]) -> None:
    assert covered(ROWS, cells, "") == everywhere and covered(ROWS, cells, SM90.id) == there


def test_shares_name_their_denominators() -> None:
    found = percentages(ROWS, [POCL, SM90], [cell(State.NATIVE, "a"), cell(State.WRONG, "b")])
    by_key = {(p.of, p.column): p for p in found}
    ours = by_key["operators", POCL.id]
    assert (ours.numerator, ours.denominator, ours.percent) == (1, 2, 50.0) and "of the 2" in ours.what
    assert (by_key["aten-core", POCL.id].numerator, by_key["aten-core", POCL.id].denominator) == (1, 193)
    assert by_key["onnx", ""].denominator == 201 and "opset 28" in by_key["onnx", ""].what
    assert ("operators", SM90.id) not in by_key  # nothing was tried there


def test_without_the_packages_there_is_no_share_of_their_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[percentages.__module__]
    monkeypatch.setattr(module, "aten_by_operator", lambda: None)
    monkeypatch.setattr(module, "onnx_implemented", lambda: None)
    assert {p.of for p in percentages(ROWS, [POCL], [cell(State.NATIVE, "a")])} == {"operators"}
