"""The conformance suite itself: it covers every operation, and it sees what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

import portkernel as pk
from portkernel import dtypes as d
from portkernel.errors import UnsupportedDTypeError
from portkernel.ir import TILE_OPS, Print, walk
from portkernel.lang.functions import BINARY, UNARY
from portkernel.testing import CASES, ConformanceError, Launch, conformance
from portkernel.testing.random import philox
from portkernel.testing.suite import launcher

FEW = tuple(c for c in CASES if c.name in ("copy 10 in tiles of 3", "swap in a loop", "signs of zeros"))


def _lowered() -> list[pk.ir.Func]:
    found = []
    for case in CASES:
        item = case.launch(case.dtypes[0])
        fn = item.kernel.parsed
        types = {p.name: _type(item.args[p.name]) for p in fn.params if not p.constexpr}
        defaults = {p.name: p.default for p in fn.params if p.constexpr}
        found.append(fn.lower(types, defaults | dict(item.constants)))
    return found


def _type(x: object) -> pk.ir.Tensor | pk.ir.Tile:
    if isinstance(x, np.ndarray):
        return pk.ir.Tensor(x.ndim, d.as_dtype(x.dtype), (None,) * x.ndim, (None,) * x.ndim)
    return pk.ir.Tile((), d.weak_dtype(x))


def test_every_operation_of_the_vocabulary_has_a_case() -> None:
    ops = [op for func in _lowered() for op in walk(func.body)]
    assert set(TILE_OPS) - {type(op) for op in ops} <= {Print}
    assert {op.fn for op in ops if isinstance(op, pk.ir.Unary)} == set(UNARY)
    assert {op.fn for op in ops if isinstance(op, pk.ir.Binary)} == set(BINARY)


def test_names_are_unique() -> None:
    names = [c.name for c in CASES]
    assert len(set(names)) == len(names)


def test_numpy_conforms() -> None:
    report = conformance("numpy", cases=FEW)
    assert report.failures == ()
    assert {row.state for row in report.rows} == {"passed"}


def test_what_is_not_written_is_seen() -> None:
    with pytest.raises(ConformanceError, match="copy 10 in tiles of 3 / float32"):
        conformance("silent", cases=FEW, launch=lambda item: None)


def test_every_case_fails_a_backend_that_does_nothing() -> None:
    report = conformance("silent", launch=lambda item: None, check=False)
    passed = {row.case for row in report.rows if row.state == "passed"}
    assert passed == {"empty output"}


def test_signs_of_zeros_are_seen() -> None:
    def positive(item: Launch) -> None:
        launcher("numpy")(item)
        item.args["out"] += 0.0

    report = conformance("numpy", cases=[c for c in FEW if c.name == "signs of zeros"], launch=positive, check=False)
    assert len(report.failures) == len(report.rows)


def test_what_a_backend_declares_is_a_row() -> None:
    def refuse(item: Launch) -> None:
        raise UnsupportedDTypeError("no such dtype")

    report = conformance("small", cases=FEW, launch=refuse)
    assert {row.state for row in report.rows} == {"unsupported"}
    assert "no such dtype" in str(report)


def test_an_exception_is_a_row_and_the_run_goes_on() -> None:
    def crash(item: Launch) -> None:
        raise RuntimeError("boom")

    report = conformance("bad", cases=FEW, launch=crash, check=False)
    assert len(report.failures) == sum(len(c.dtypes) for c in FEW)


def test_philox_known_answer() -> None:
    """The zero counter and key of the authors' own test vectors."""
    words = philox(0, np.zeros(1, np.int64))
    assert [int(w[0]) for w in words] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
