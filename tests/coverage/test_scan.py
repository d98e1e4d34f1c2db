"""Kernels of a source tree, found and read without being run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from portkernel.cli.coverage import coverage
from portkernel.coverage.scan import Found, as_json, as_text, counts, scan
from portkernel.coverage.scan_names import THREAD, TILE, has, ours, thread_word, tile_word
from portkernel.errors import ArgumentError

TILES = """
raise SystemExit("this module must not be imported")
import triton, triton.language as tl
from triton import jit as compiled
from triton.language.extra import libdevice
from .compat import tl as again

@triton.autotune(configs=[], key=[])
@triton.jit
def first(x, y, n, B: tl.constexpr):
    i = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + i, mask=i < n)
    while n > 0:
        v += libdevice.tanh(v).to(tl.float16)
    tl.store(y + i, tl.math.exp(v))

@compiled(do_not_specialize=["n"])
def second(x, n):
    tl.store(x, again.sort(tl.load(x)))

def no_kernel(x):
    return tl.umulhi(x, x)
"""
CUDA = r'''
import cupy as cp
from cupy import RawModule

_HEAD = """
__device__ float twice(float v) { return 2.0f * v; }  // not expf(
"""
_TEXT = _HEAD + r"""
#define WIDTH(n) (n)
extern "C" __global__ void reduce(const float* __restrict__ x, float* y, int n) {
  __shared__ float s[32];
  /* __popc( in a comment */
  float v = twice(__ldg(x + blockIdx.x * blockDim.x + threadIdx.x)) + WIDTH(3);
  v += __shfl_down_sync(0xffffffff, v, 16);
  printf("tan(%f)", v);
  if (threadIdx.x == 0) atomicAdd(y, expf(v)); __made_up(v);
}
"""
kernel = cp.RawKernel(_TEXT, "reduce")
bits = RawModule(code=f"extern \"C\" __global__ void bits(int* x) {{ x[0] = __popc(x[0]); }} // {_TEXT}")
unknown = cp.RawKernel(open("kernel.cu").read(), "k")
'''


def by_name(found: tuple[Found, ...]) -> dict[str, Found]:
    return {k.name: k for k in found}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "tiles.py").write_text(TILES, encoding="utf-8")
    (tmp_path / "package" / "threads.py").write_text(CUDA, encoding="utf-8")
    (tmp_path / "broken.py").write_text("def (", encoding="utf-8")
    (tmp_path / "notes.txt").write_text(TILES, encoding="utf-8")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "hidden.py").write_text(TILES, encoding="utf-8")
    return tmp_path


def test_what_tile_kernels_use(tree: Path) -> None:
    kernels = by_name(scan(tree).kernels)
    assert {u.name: u.count for u in kernels["first"].uses} == {
        "program_id": 1, "arange": 1, "load": 1, "store": 1, "tanh": 1, "exp": 1, "float16": 1, "constexpr": 1,
        ".to": 1, "while": 1,
    }  # fmt: skip
    assert kernels["first"].is_covered
    assert kernels["second"].missing == ("sort",)
    assert kernels["first"].file.endswith("tiles.py")
    assert TILES.splitlines()[kernels["first"].line - 1].startswith("def first")
    assert "no_kernel" not in kernels


def test_what_cuda_text_uses(tree: Path) -> None:
    kernels = by_name(scan(tree).kernels)
    assert {u.name: u.count for u in kernels["reduce"].uses} == {
        "__restrict__": 1, "__shared__": 1, "__ldg": 1, "blockIdx": 1, "blockDim": 1, "threadIdx": 2, "__device__": 1,
        "__shfl_down_sync": 1, "printf": 1, "atomicAdd": 1, "expf": 1, "__made_up": 1,
    }  # fmt: skip
    assert kernels["reduce"].missing == ("__made_up",)
    assert kernels["bits"].missing == ("__popc",)
    assert "not a constant" in kernels["?"].problem
    assert not kernels["?"].is_covered


def test_counts_have_denominators(tree: Path) -> None:
    found = scan(tree)
    n = counts(found)
    assert (n["files"], n["kernels"], n["kernels_covered"]) == (3, 5, 1)
    assert found.unread == ("broken.py",)
    assert 0 < n["uses_covered"] < n["uses"]
    assert f"{n['uses_covered']} of {n['uses']} uses" in as_text(found)
    assert json.loads(as_json(found))["counts"] == n


def test_one_file_and_none(tree: Path) -> None:
    assert as_text(scan(tree)).startswith("kernel at")
    (tree / "package" / "empty.py").write_text("")
    assert as_text(scan(tree / "package" / "empty.py")).startswith("0 kernels in 1 files.")
    assert len(scan(tree / "package" / "tiles.py").kernels) == 2
    with pytest.raises(ArgumentError, match="path"):
        scan(tree / "missing")


def test_words_are_words_of_the_language() -> None:
    """A single identifier that a table gives is an operator, a dtype, or Python's."""
    python = {"if", "for", "while", "range", "tuple", "dtype", "assert"}
    for word in [*TILE.values(), *THREAD.values()]:
        for part in word.split(", "):
            if part.isidentifier():
                assert part in ours() | python, part


def test_names_that_agree_need_no_table() -> None:
    assert tile_word("exp2") == "exp2"
    assert tile_word("never_heard") is None
    assert thread_word("exp") == "exp"
    assert not has(tile_word("sort"))
    assert not has(None)


def test_the_command(tree: Path) -> None:
    result = CliRunner().invoke(coverage, ["--scan", str(tree), "--output", str(tree / "out.json")])
    assert result.exit_code == 0, result.output
    assert json.loads((tree / "out.json").read_text())["counts"]["kernels"] == 5
    both = CliRunner().invoke(coverage, ["--scan", str(tree), "--model", "x.onnx"])
    assert both.exit_code == 2
    assert "expected nothing beside --model but" in both.output and "got --scan=" in both.output
