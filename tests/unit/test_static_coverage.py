"""What an emitted text is told by a profile, and which version of Triton's language it needs. Nothing runs."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

import portkernel as pk
from portkernel import errors, targets
from portkernel.coverage.document import schema, to_json
from portkernel.coverage.model import Report, Row
from portkernel.coverage.states import State
from portkernel.coverage.static import WORDS, _refusal, static_report
from portkernel.coverage.static_checks import Findings, check
from portkernel.coverage.worklist import Depth, Selection
from portkernel.runtime import inspection
from portkernel.targets import language, read
from portkernel.targets.facts import Profile, Route

HEAD = "import triton\nimport triton.language as tl\n"


# --- Triton's language ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "version", "lacking"),
    [
        ("x = tl.sum(y, axis=0)", "3.1", ()),
        ("x = tl.sum(y, axis=0, dtype=tl.int32)", "3.1", ("tl.sum(dtype=)",)),
        ("x = tl.sum(y, axis=0, dtype=tl.int32)", "3.3", ()),
        ("x = tl.gather(y, i, axis=0)", "3.2", ("tl.gather",)),
        ("x = tl.dot_scaled(a, b)", "3.1", ("tl.dot_scaled",)),
        ("d = tl.make_tensor_descriptor(p)", "3.3", ("tl.make_tensor_descriptor",)),
        ("d = tl.make_tensor_descriptor(p)", "3.9", ()),
        ("x = other.gather(y, dtype=1)", "3.1", ()),
        ("from triton.language.extra import libdevice", "3.1", ("triton.language.extra.libdevice",)),
    ],
)
def test_missing(text: str, version: str, lacking: tuple[str, ...]) -> None:
    assert language.missing(HEAD + text, version) == lacking


def test_needed() -> None:
    assert language.needed(HEAD + "x = tl.load(p)") == "3.1"
    assert language.needed(HEAD + "x = tl.topk(p, 3)") == "3.4"
    assert language.needed(HEAD + "x = tl.nothing_of_the_kind(p)") == ""
    for unknown in ("2.1", "3.x", ""):
        with pytest.raises(errors.ProfileError, match=rf"among 3\.1.* or later, got '{unknown}'"):
            language.version(unknown)


# --- one text against one profile -------------------------------------------------------------------------------------


@pk.kernel
def product(a, b, out, BM: pk.constexpr[int] = 32, BN: pk.constexpr[int] = 32, BK: pk.constexpr[int] = 32):
    i, j = pk.program_id(0), pk.program_id(1)
    acc = pk.zeros((BM, BN), pk.float32)
    for k in range(pk.cdiv(a.shape[1], BK)):
        acc = pk.dot(pk.load(a, (i, k), (BM, BK)), pk.load(b, (k, j), (BK, BN)), acc)
    pk.store(out, (i, j), acc.astype(out.dtype))


@pk.kernel
def copy(a, b, out, B: pk.constexpr[int] = 32):
    i = pk.program_id(0)
    pk.store(out, (i, 0), pk.load(a, (i, 0), (1, B)) + pk.load(b, (i, 0), (1, B)))


def chip(facts: str = "", rest: str = "") -> Profile:
    return read.parse("chip", f'title = "A chip"\nvendor = "v"\nkind = "chip"\n[facts]\n{facts}\n{rest}')


def found(backend: str, profile: Profile, grid: object = (4, 4), dtype: str = "float32", **route: str) -> Findings:
    spec = pk.TensorSpec(2, dtype)
    kernel = product if dtype.startswith("float") and dtype != "float64" else copy
    made = inspection.emitted(kernel, (spec, spec, spec), {}, backend, "mthreads-s4000-qy2", "test")
    return check(made, profile, Route("r", "claimed", backend, **route), grid)


def fact(name: str, value: object) -> str:
    return f'{name} = {{ value = {value}, source = "guess" }}'


def test_a_text_within_its_profile_is_refused_nothing() -> None:
    roomy = chip("\n".join([fact("local_bytes", 65536), fact("max_threads", 1024), fact("lanes", 128)]))
    assert found("musa", roomy).refused == ()


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (fact("local_bytes", 4096), "bytes of local memory, a group has 4096"),
        (fact("max_threads", 32), "threads a group, the limit is 32"),
        (fact("max_grid", [2, 2, 1]), "a grid of 4 programs along axis 0, the limit is 2"),
        (fact("max_grid_product", 15), "a grid of 16 programs, the limit is 15"),
    ],
)
def test_what_breaks_a_profile_is_said(facts: str, words: str) -> None:
    (refused,) = found("musa", chip(facts)).refused
    assert words in refused


def test_warps_of_a_triton_text() -> None:
    narrow = chip("\n".join([fact("max_warps", 1), fact("lanes", 128)]))
    (refused,) = found("triton", narrow, language="3.1").refused
    assert refused.startswith("num_warps=") and refused.endswith("the limit is 1")
    wide = chip("\n".join([fact("max_threads", 128), fact("lanes", 128)]))
    (refused,) = found("triton", wide, language="3.1").refused
    assert "of 128 lanes, the limit is 128 threads" in refused


def test_a_unified_buffer_that_a_tile_does_not_fit() -> None:
    small = chip("\n".join([fact("lanes", 0), fact("local_bytes", 4096)]))
    (refused,) = found("triton", small, language="3.2").refused
    assert "one operation on tiles takes at least" in refused


def test_the_callable_grid_sees_the_sizes() -> None:
    limited = chip(fact("max_grid_product", 100))
    assert not found("musa", limited, grid=lambda meta: (meta["BM"], 3)).refused
    assert found("musa", limited, grid=lambda meta: (meta["BM"], 4)).refused


def test_notes() -> None:
    slow = chip(rest='[[dtype]]\nnames = ["float64"]\nusage = "arithmetic"\nstate = "slow"\nsource = "guess"')
    assert any("float64 is slow there" in n for n in found("musa", slow, dtype="float64").notes)
    assert any("does not say that the chip has int8" in n for n in found("musa", slow, dtype="int8").reasons)
    both = Findings(assumed=("int64",)) + Findings(assumed=("int32", "int64"))
    assert both.reasons == ("the profile does not say that the chip has int32, int64: assumed",)
    no_matrix = chip(rest='[[dtype]]\nnames = ["float16"]\nusage = "matrix"\nstate = "absent"\nsource = "guess"')
    half = found("musa", no_matrix, dtype="float16")
    assert any("no matrix unit for float16" in n for n in half.notes)
    assert half.emulated == ("float16 in a wider type",)


def test_a_fork_that_lacks_a_word_and_a_chip_that_refuses_a_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    without = replace(language.version("3.1"), names=language.version("3.1").names - {"dot"})
    monkeypatch.setattr(language, "version", lambda name: without)
    (refused,) = found("triton", chip(), language="3.1", fork="f").refused
    assert refused == "the fork f (Triton 3.1) has no tl.dot"
    no_long = chip(rest='[[dtype]]\nnames = ["int64"]\nusage = "arithmetic"\nstate = "absent"\nsource = "guess"')
    assert "computes in int64" in found("triton", no_long, language="3.1").refused[-1]
    rarely = chip(rest='[[dtype]]\nnames = ["int64"]\nusage = "arithmetic"\nstate = "unknown"\nnote = "rarely"')
    assert "the text computes in int64: rarely" in found("triton", rarely, language="3.1").notes


# --- the report -------------------------------------------------------------------------------------------------------


def report(target: str, row: Row, depth: Depth = Depth.QUICK) -> Report:
    return static_report(target, [row], Selection(depth=depth))


ADD = Row("vector_add", kind="kernel", dtypes=("float32", "float64"))


@pytest.mark.parametrize("target", [n for n in read.names() if targets.record(n).vendor not in ("numpy", "generic")])
def test_every_profile_can_be_judged(target: str) -> None:
    made = report(target, ADD)
    assert {cell.state for cell in made.cells} <= {State.EMITTED, State.UNSUPPORTED}
    assert all(cell.outcome.reason for cell in made.cells if cell.state is State.UNSUPPORTED)
    assert all(column.kind == "profile" and "not executed" in column.name for column in made.columns)
    (missing,) = made.missing.values()
    assert missing["why"] == WORDS if made.columns else "no route" in missing["why"]
    jsonschema.validate(json.loads(to_json(made)), schema())


def test_states_are_at_most_compiled() -> None:
    made = report("amd-mi300x", ADD, Depth.USUAL)
    assert {cell.state for cell in made.cells} <= {State.EMITTED, State.COMPILED}
    by_route = {cell.column.split("/")[1] for cell in made.cells}
    assert by_route == {"hip", "opencl", "triton"}
    assert all("not executed" in share.what for share in made.percentages)


def test_every_operator_is_judged_by_the_row_that_leads_it() -> None:
    attention = [Row("scaled_dot_product_attention", v, dtypes=("float32",)) for v in ("strided", "mask+strided")]
    product = [Row("matmul", v, dtypes=("float32",)) for v in ("", "transposed")]

    def judged(**selection: object) -> set[str]:
        made = static_report("nvidia-a100", [*attention, *product], Selection(backends=("opencl",), **selection))  # type: ignore[arg-type]
        return {cell.row for cell in made.cells}

    leads = {"scaled_dot_product_attention[strided]", "matmul"}
    assert judged(depth=Depth.QUICK) == judged() == leads
    assert judged(operators=("matmul[transposed]",), depth=Depth.QUICK) == {"matmul[transposed]"}
    assert judged(operators=("matmul",)) == {"matmul", "matmul[transposed]"}
    columns = [c.id for c in static_report("nvidia-a100", product, Selection(backends=("opencl",))).columns]
    assert judged(cells=(f"matmul[transposed]:float32@{columns[0]}",)) == {"matmul[transposed]"}


def test_float64_where_a_chip_has_none() -> None:
    made = report("cambricon-mlu370", ADD, Depth.FULL)
    cells = {cell.dtype: cell for cell in made.cells}
    assert cells["float32"].state is State.EMITTED
    assert (
        cells["float64"].state is State.UNSUPPORTED and "would have to be emulated" in cells["float64"].outcome.reason
    )


def test_a_chip_without_64_bit_integers_refuses_addresses() -> None:
    (cell,) = report("enflame-gcu300", ADD).cells
    assert cell.state is State.UNSUPPORTED and "int64" in cell.outcome.reason


def test_atomics_that_nothing_is_known_of() -> None:
    error = errors.UnsupportedDTypeError("atomic_add(): x: expected a dtype with atomics on a chip, got int64")
    assert _refusal(error, chip()).endswith("whether the chip has them is not known: taken to have none")
    stated = chip(rest='[compiler]\nfeatures = ["mma"]')
    assert _refusal(error, stated).endswith("got int64")


def test_unknown_targets() -> None:
    with pytest.raises(errors.UnknownTargetError, match="got 'nothing'"):
        report("nothing", ADD)
