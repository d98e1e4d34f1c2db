"""Emitted Triton modules, interpreted on the host and compiled ahead of time. The conformance suite has the breadth."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

import portkernel as pk
from portkernel import config, dtypes, ir
from portkernel.errors import CompilerError, DeviceAssertionError
from portkernel.lang.elementwise import binary, unary
from portkernel.lang.functions import BINARY, UNARY
from portkernel.targets import find

pytest.importorskip("triton")

from portkernel.backends import Source
from portkernel.backends.triton import TritonBackend
from portkernel.runtime import triton_module

Array = np.ndarray


def _run(kernel: Callable[..., object], grid: tuple[int, ...], *args: object, **constants: object) -> None:
    kernel[grid](*args, **constants, backend="triton", device="interpreter")  # type: ignore[index]


@pk.kernel
def add(x, y, out, B: pk.constexpr[int] = 48):
    i = pk.program_id(0)
    pk.store(out, i, pk.load(x, i, B) + pk.load(y, i, B))


@pytest.mark.parametrize("stride", [1, 2, -1, -3, 0])
def test_strides_of_any_sign(stride: int) -> None:
    base = np.arange(700, dtype=np.float32)
    x = np.broadcast_to(base[5:6], (100,)) if stride == 0 else base[::stride][:100]
    out = np.full(200, np.nan, np.float32)[::-2]
    _run(add, (3,), x, x, out)
    assert np.array_equal(out, x + x)


def test_a_partial_tile_writes_nothing_beside_the_array() -> None:
    whole = np.full(100, 7, np.int32)
    x = np.arange(50, dtype=np.int32)
    _run(add, (2,), x, x, whole[25:75])
    assert np.array_equal(whole[25:75], 2 * x)
    assert (whole[:25] == 7).all() and (whole[75:] == 7).all()


@pk.kernel
def gather_under_a_scalar_condition(x, out, limit):
    i = pk.arange(8)
    mask = (pk.program_id(0) < limit) & (i < 5)
    pk.scatter(out, (i,), pk.gather(x, (i,), mask=mask, pad=-1))


@pytest.mark.parametrize("limit", [0, 1])
def test_a_condition_of_the_whole_tile_is_a_mask(limit: int) -> None:
    x, out = np.arange(8, dtype=np.int32), np.full(8, 9, np.int32)
    _run(gather_under_a_scalar_condition, (1,), x, out, limit)
    assert np.array_equal(out, np.where((np.arange(8) < 5) & (limit > 0), x, -1))


@pk.kernel
def scaled(x, out, factor):
    pk.store(out, 0, pk.load(x, 0, 5) * factor.astype(pk.float32))


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16", "int8", "uint64", "bool"])
def test_scalars_arrive_in_their_own_dtype(name: str) -> None:
    value = dtypes.as_dtype(name).np.type(1.1)
    x, out = np.arange(5, dtype=np.float32), np.full(5, np.nan, np.float32)
    _run(scaled, (1,), x, out, value)
    assert np.array_equal(out, x * np.float32(value))


@pk.kernel
def swap(out, n):
    a, b = pk.full((3,), 1, pk.int32), pk.full((3,), 2, pk.int32)
    for _ in range(n):
        a, b = b, a + b
    pk.store(out, (0, 0), pk.reshape(a, (1, 3)))
    pk.store(out, (1, 0), pk.reshape(b, (1, 3)))


def test_carried_variables_are_assigned_in_parallel() -> None:
    out = np.zeros((2, 3), np.int32)
    _run(swap, (1,), out, 7)
    assert out.tolist() == [[34] * 3, [55] * 3]


@pk.kernel
def countdown(out, start, stop, step):
    total = 0
    for i in range(start, stop, step):
        total = total * 10 + i
    pk.store(out, (0,), pk.full((1,), total, pk.int32))


@pytest.mark.parametrize("bounds", [(9, 0, -3), (0, 7, 2), (5, 5, 1), (5, 9, -1), (3, -4, -2)])
def test_a_step_known_at_run_time(bounds: tuple[int, int, int]) -> None:
    out = np.full(1, -1, np.int32)
    _run(countdown, (1,), out, *bounds)
    want = 0
    for i in range(*bounds):
        want = want * 10 + i
    assert out[0] == want


@pk.kernel
def first_and_last(x, out, N: pk.constexpr[int]):
    """A combine function that is associative and not commutative: pairs (first, last)."""
    tile = pk.load(x, (0, 0), (N, 5))
    first, last = pk.reduce((tile, tile), 0, lambda a, b, c, d: (a, d))
    pk.store(out, (0, 0), pk.reshape(first, (1, 5)))
    pk.store(out, (1, 0), pk.reshape(last, (1, 5)))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 17, 100])
def test_a_reduction_keeps_the_order_and_ignores_padding(n: int) -> None:
    x = np.random.default_rng(n).standard_normal((n, 5)).astype(np.float32)
    out = np.full((2, 5), np.nan, np.float32)
    _run(first_and_last, (1,), x, out, N=n)
    assert np.array_equal(out, x[[0, -1]])


@pk.kernel
def move(x, out, A: pk.constexpr[int], B: pk.constexpr[int]):
    tile = pk.load(x, (0, 0), (A, B))
    pk.store(out, (0,), pk.concatenate((pk.reshape(tile, (A * B,)), pk.reshape(tile.T, (A * B,)))))


@pytest.mark.parametrize("shape", [(3, 5), (17, 3), (48, 100), (1, 7), (16, 24)])
def test_moved_elements_keep_their_bits(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x.flat[:3] = -0.0, np.inf, np.nan
    out = np.zeros(2 * x.size, np.float32)
    _run(move, (1,), x, out, A=shape[0], B=shape[1])
    assert out.tobytes() == x.tobytes() + np.ascontiguousarray(x.T).tobytes()


@pk.kernel
def positive(x, B: pk.constexpr[int] = 20):
    pk.device_assert(pk.load(x, pk.program_id(0), B, pad=1) > 0, "expected positive numbers")


def test_an_assertion_sees_no_padding_and_names_its_message() -> None:
    x = np.ones(30, np.float32)
    _run(positive, (2,), x)
    x[29] = -1
    with pytest.raises(DeviceAssertionError, match="expected positive numbers"):
        _run(positive, (2,), x)


@pk.kernel
def shout(x, N: pk.constexpr[int]):
    pk.device_print("value", pk.load(x, 0, N))


def test_printing_shows_the_elements_and_no_padding(capsys: pytest.CaptureFixture[str]) -> None:
    _run(shout, (1,), np.array([11, 22, 33], np.int32), N=3)
    said = capsys.readouterr().out
    assert [word in said for word in ("11", "22", "33")] == [True] * 3
    assert said.count("value") == 3


# --- the process that runs it ---------------------------------------------------------------------------------


def test_triton_itself_is_left_as_it_was() -> None:
    import triton
    import triton.language as tl

    before = tl.load, tl.core.load, tl.tensor.__add__, triton.knobs.runtime.interpret
    x = np.ones(10, np.float32)
    _run(add, (1,), x, x, x.copy())
    assert before == (tl.load, tl.core.load, tl.tensor.__add__, triton.knobs.runtime.interpret)
    assert isinstance(triton.jit(_untouched), triton.JITFunction)


def _untouched(x):  # type: ignore[no-untyped-def]
    return x


def test_the_text_runs_alone_under_tritons_own_switch(tmp_path: object) -> None:
    """The module needs nothing of ours: with TRITON_INTERPRET=1 and PyTorch it computes the same."""
    pytest.importorskip("torch")
    spec = pk.TensorSpec(1, "float32")
    text = str(add.source(spec, spec, spec, backend="triton", target="nvidia-h100"))
    path = f"{tmp_path}/emitted.py"
    with open(path, "w") as f:
        f.write(
            text
            + "\nimport torch\nx = torch.arange(50.0)\nout = torch.zeros(50)\ns = torch.zeros(4, dtype=torch.int32)\n"
            "entry[(2,)](x, 50, x, 50, out, 50, s)\nassert torch.equal(out, x + x), out\n"
        )
    done = subprocess.run(
        [sys.executable, path], env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# --- compiled ahead of time -----------------------------------------------------------------------------------


@pk.kernel
def attention_row(q, k, out, N: pk.constexpr[int] = 48, D: pk.constexpr[int] = 32):
    """A dot, a softmax and a scan: what touches most of the compiler."""
    i = pk.program_id(0)
    scores = pk.dot(pk.load(q, (i, 0), (N, D)), pk.load(k, (0, 0), (D, N)), pk.zeros((N, N), pk.float32))
    scores = pk.exp(scores - scores.max(axis=1, keepdims=True))
    scores = pk.cumsum(scores / scores.sum(axis=1, keepdims=True), axis=1)
    pk.store(out, (i, 0), scores.astype(out.dtype))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("target", "kind", "mark"),
    [
        ("nvidia-a100", "ptx", b".target sm_80"),
        ("nvidia-h100", "ptx", b".target sm_90"),
        ("amd-mi300x", "amdgcn", b"gfx942"),
    ],
)
def test_a_kernel_compiles_for_a_gpu_that_is_not_there(target: str, kind: str, mark: bytes, dtype: str) -> None:
    spec = pk.TensorSpec(2, dtype)
    binary = attention_row.compile(spec, spec, spec, backend="triton", target=target)
    assert binary.kind == kind
    assert mark in binary.data


def _table(names: list[str], dtype: dtypes.DType, two: bool) -> Source:
    """One kernel with every function of ``names``."""
    from portkernel.lang import TensorValue

    kind = ir.Tensor(1, dtype, (None,), (1,))
    x, y = ir.Value(kind, "x"), ir.Value(kind, "y")
    builder = ir.Builder()
    with ir.use(builder), builder.scope() as body:
        left, right = (pk.load(TensorValue(v), 0, 48) for v in (x, y))
        for name in names:
            result = binary(name, left, right) if two else unary(name, left)
            pk.store(TensorValue(y), 0, result.astype(dtype))
    return TritonBackend().emit(ir.Func("table", (x, y), body.close()), find("nvidia-a100"))


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64, dtypes.int8, dtypes.uint64], ids=str)
@pytest.mark.parametrize("two", [False, True], ids=["unary", "binary"])
def test_every_function_compiles(dtype: dtypes.DType, two: bool) -> None:
    table = BINARY if two else UNARY
    names = [
        n
        for n, f in table.items()
        if f.rule in ("number", "compare", "any") or dtype.is_float == (f.rule in ("floating", "predicate"))
    ]
    asm = triton_module.compile_here(triton_module.job_of(_table(names, dtype, two))).asm
    assert ".entry entry" in asm["ptx"]
    if dtype == dtypes.float32:  # divisions and roots are IEEE's, sine is not the approximation
        assert not any(word in asm["ptx"] for word in ("div.full", "sqrt.approx", "sin.approx"))


def test_a_refusal_names_the_emitted_line_and_the_kernel_line() -> None:
    spec = pk.TensorSpec(1, "float32")
    good = add.source(spec, spec, spec, backend="triton", target="nvidia-h100").source
    text = good.text.replace("tl.store(out_p, ", "tl.store(out_q, ")
    assert text != good.text
    bad = Source(text, good.entry, "triton", good.target, good.params, lines=good.lines, options=good.options)
    with config.override(isolate=False, cache_dir=None), pytest.raises(CompilerError, match="out_q") as caught:
        triton_module.binary(bad)
    assert caught.value.loc.file == __file__
    assert "out_q" in caught.value.log
