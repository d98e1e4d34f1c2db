"""What the printer writes is read back as the same function, and what it would not write is refused at its line."""

from __future__ import annotations

from dataclasses import replace

import pytest

import portkernel as pk
from portkernel import dtypes as d
from portkernel import errors, passes
from portkernel.ir import Func, Tensor, Tile, parse_func, print_func, walk
from portkernel.testing import CASES
from portkernel.testing.case import Case


def lowered(case: Case) -> Func:
    item = case.launch(case.dtypes[0])
    params = item.kernel.parsed.params
    types: dict[str, Tensor | Tile] = {}
    for p in params:
        if not p.constexpr:
            x = item.args[p.name]
            shape = getattr(x, "shape", None)
            if shape is None:
                types[p.name] = Tile((), d.weak_dtype(x))
            else:
                types[p.name] = Tensor(len(shape), d.as_dtype(x.dtype), (None,) * len(shape), (None,) * len(shape))
    defaults = {p.name: p.default for p in params if p.constexpr}
    return item.kernel.parsed.lower(types, defaults | dict(item.constants))


@pytest.mark.parametrize("case", [c for c in CASES if not c.dense], ids=lambda case: case.name)
def test_round_trip(case: Case) -> None:
    for func in (lowered(case), passes.optimize(lowered(case))):
        text = print_func(func)
        found = parse_func(text, func, "stage.ir")
        assert print_func(found) == text
        assert [type(op) for op in walk(found.body)] == [type(op) for op in walk(func.body)]


@pk.kernel
def total(x, out, n, B: pk.constexpr[int] = 16):
    acc = pk.zeros((B,), pk.float32)
    for i in range(n):
        acc = acc + pk.load(x, (i,), (B,), pad=float("-inf"))
    pk.device_assert(acc > -1.5, "odd: %acc, '(\"")
    pk.store(out, (0,), acc.sum().reshape(1))


@pytest.fixture
def func() -> Func:
    array = pk.TensorSpec(1, "float32").type
    return total.parsed.lower({"x": array, "out": array, "n": Tile((), d.int32)}, {"B": 16})


def test_locations_are_those_of_the_file(func: Func) -> None:
    text = print_func(func)
    for op in walk(parse_func(text, func, "stage.ir").body):
        assert op.loc.file == "stage.ir"
        assert f"{type(op).__name__}(" in text.splitlines()[op.loc.line - 1][op.loc.col : op.loc.end_col]


@pytest.mark.parametrize(
    ("old", "new", "match", "at"),
    [
        ("func total(", "func other(", "expected func total", "func other"),
        ("B = 16", "B = 17", "expected   const B = 16", "B = 17"),
        ("Binary(", "Binari(", "expected an operation, got", "Binari"),
        (", fn='add'", "", "expected Binary with fn, got one without", "Binary("),
        ("fn='add'", "fn='add', fast=True", "got fast", "fast=True"),
        ("fn='add'", "fn=add", "expected a value or a literal, got add", "fn=add"),
        ("fn='add'", "fn='add", "expected an operation, got", "fn='add"),
        ("Binary(x=%acc", "Binary(x=%nothing", "defined above, got %nothing", "%nothing"),
        ("yield %", "yield %none", "defined above, got %none", "yield"),
        ("body(", "boby(", "expected For with body, got one without", "For("),
        ("pad=", "pad=%x, was=", "got was", "Load("),
        (": float32[16] = Binary(", ": float32[17] = Binary(", "expected valid IR", "Binary("),
    ],
)
def test_what_is_refused(old: str, new: str, match: str, at: str, func: Func) -> None:
    text = print_func(func)
    assert old in text
    changed = text.replace(old, new, 1)
    with pytest.raises(errors.StageError) as caught:
        parse_func(changed, func, "stage.ir")
    assert match in caught.value.message
    assert caught.value.loc.file == "stage.ir"
    assert at in changed.splitlines()[caught.value.loc.line - 1]


@pk.kernel
def pieces(x, out):
    tile = pk.load(x, (0, 0), (4, 8))
    both = pk.concatenate((tile, pk.load(x, (1, 0), (2, 8))), 0)
    place = pk.argmax(both, axis=1)
    pk.scatter(out, (pk.arange(6),), place)
    pk.atomic_cas(out, (pk.arange(6),), place, place)


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ("int32[6] = ArgReduce", "int32[8] = ArgReduce", "ArgReduce("),
        ("float32[6, 8] = Concat", "float32[6, 9] = Concat", "Concat("),
        ("float32[6, 8] = Concat", "float64[6, 8] = Concat", "Concat("),
        ("expected=%place", "expected=%both", "AtomicCAS("),
    ],
)
def test_types_that_do_not_fit_are_refused(old: str, new: str, at: str) -> None:
    types = {"x": pk.TensorSpec(2, "float32").type, "out": pk.TensorSpec(1, "int32").type}
    func = pieces.parsed.lower(types, {})
    text = print_func(func)
    assert old in text, text
    changed = text.replace(old, new, 1)
    with pytest.raises(errors.StageError, match="expected valid IR") as caught:
        parse_func(changed, func, "stage.ir")
    assert at in changed.splitlines()[caught.value.loc.line - 1]


def test_a_header_of_another_signature(func: Func) -> None:
    other = replace(func, params=tuple(replace(p) for p in func.params[:2]))
    with pytest.raises(errors.StageError, match="expected func total"):
        parse_func(print_func(func), other, "stage.ir")
