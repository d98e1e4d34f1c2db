"""Which cells there are, and which a run of each depth tries."""

from __future__ import annotations

from pathlib import Path

import pytest
from coverage_kit import HERE

from portkernel import backends
from portkernel.coverage import places
from portkernel.coverage.model import Column, Row
from portkernel.coverage.places import Found
from portkernel.coverage.states import RANK, State
from portkernel.coverage.worklist import Depth, Selection, Worklist, make_worklist
from portkernel.runtime.identity import Identity

COLUMNS = places.columns(HERE)
ROWS = [
    Row("a", dtypes=("float32", "int8")),
    Row("a", "empty", dtypes=("float32", "int8")),
    Row("a", "mask", dtypes=("float32",)),
    Row("b", "groups", dtypes=("float32",)),
    Row("b", "mask", dtypes=("float32",)),
    Row("k", kind="kernel", dtypes=("float16",)),
]


def wanted(**selection: object) -> Worklist:
    return make_worklist(ROWS, COLUMNS, Selection(**selection), Path("/nowhere"))  # type: ignore[arg-type]


def tried(worklist: Worklist) -> set[str]:
    return {s.id for b in worklist.checked for s in b.steps}


def test_columns_are_the_same_on_every_machine() -> None:
    assert [c.id for c in COLUMNS] == [
        "numpy/numpy", "opencl/pocl", "triton/interpreter", "triton/sm_90", "triton/gfx942", "triton/sm_80", "cuda/sm_90", "cuda/sm_80",
        "hip/gfx942",
    ]  # fmt: skip
    assert [c.kind for c in COLUMNS[:4]] == ["device", "device", "interpreter", "compiler"]
    assert places.missing(HERE) == {
        "triton": {"why": "no device", "hint": "a GPU"},
        "cuda": {"why": "no driver", "hint": "a GPU"},
    }


def test_a_backend_of_another_package_has_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = backends.names()
    monkeypatch.setattr(backends, "names", lambda: (*ours, "mychip"))
    found = {**HERE, "mychip": Found((Identity("my-chip", "0", "My Chip", "1", ""),))}
    assert places.columns(found)[-1] == Column("mychip/my-chip", "mychip", "device", "0", "My Chip", driver="1")


def test_every_cell_is_tried_or_left_out() -> None:
    for depth in Depth:
        worklist = wanted(depth=depth)
        assert worklist.left_out + len(tried(worklist)) == sum(len(row.dtypes) for row in ROWS) * len(COLUMNS)
    assert not wanted(depth=Depth.FULL).left_out
    assert not wanted(operators=("a",)).left_out


def test_what_says_most_comes_first() -> None:
    order = [s.id for b in wanted().checked for s in b.steps]
    places_of = [order.index(cell) for cell in (
        "a:float32@opencl/pocl", "a:float32@cuda/sm_90", "a[empty]:float32@opencl/pocl", "a[mask]:float32@numpy/numpy",
        "a:int8@opencl/pocl", "a[empty]:float32@triton/interpreter", "a:int8@cuda/sm_90", "a:float32@cuda/sm_80",
    )]  # fmt: skip
    assert places_of == sorted(places_of)
    assert "a[empty]:int8@opencl/pocl" not in order


def test_each_operator_has_one_variant_tried_before_any_has_two() -> None:
    order = [s.id for b in wanted(backends=("numpy",)).checked for s in b.steps]
    first, second = order.index("b[mask]:float32@numpy/numpy"), order.index("a[mask]:float32@numpy/numpy")
    assert order.index("a[empty]:float32@numpy/numpy") < first < second < order.index("a:int8@numpy/numpy")


def test_quick_tries_the_plain_call_on_one_dtype() -> None:
    worklist = wanted(depth=Depth.QUICK)
    assert {s.dtype for b in worklist.checked for s in b.steps if s.row == "a"} == {"float32"}
    assert not any("empty" in cell or "sm_80" in cell for cell in tried(worklist))
    assert not worklist.measured


def test_an_operator_without_a_plain_call_leads_with_its_first_variant() -> None:
    rows = [Row("g", "groups", dtypes=("float32",)), Row("g", "mask", dtypes=("float32",))]
    worklist = make_worklist(rows, COLUMNS, Selection(depth=Depth.QUICK), Path("/nowhere"))
    assert {s.row for b in worklist.checked for s in b.steps} == {"g[groups]"}


def test_only_devices_are_timed_and_only_interpreters_and_devices_probed() -> None:
    worklist = wanted()
    assert {s.column.id for b in worklist.measured for s in b.steps} == {"numpy/numpy", "opencl/pocl"}
    assert {s.column.id for b in worklist.probes for s in b.steps} == {
        "numpy/numpy",
        "opencl/pocl",
        "triton/interpreter",
    }
    for cold, warm in zip(worklist.probes[::2], worklist.probes[1::2], strict=True):
        assert {s.kind for s in cold.steps} == {"cold"} and {s.kind for s in warm.steps} == {"warm"}
        assert cold.environment == warm.environment and cold.alone and warm.alone
    folders = [b.environment["PORTKERNEL_CACHE_DIR"] for b in worklist.probes]
    assert len(set(folders)) == 3


def test_selections() -> None:
    only = wanted(operators=("a[empty]",), backends=("opencl",), dtypes=("int8",))
    assert tried(only) == {"a[empty]:int8@opencl/pocl"}
    assert {c.partition("@")[2] for c in tried(wanted(backends=("cuda/sm_90",)))} == {"cuda/sm_90"}
    one = wanted(cells=("a:float32@cuda/sm_80",), depth=Depth.QUICK)
    assert tried(one) == {"a:float32@cuda/sm_80"} and not one.left_out and not one.probes


def test_states_are_ordered() -> None:
    assert (
        RANK[State.NATIVE] > RANK[State.EMULATED] > RANK[State.FALLBACK] > RANK[State.UNSUPPORTED] > RANK[State.WRONG]
    )
