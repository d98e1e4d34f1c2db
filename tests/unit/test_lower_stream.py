"""Stores past the caches: which they are, and that what they write is right at every alignment."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import portkernel as pk
from portkernel.backends.c import lower, lower_stream
from portkernel.frontend import KernelFn
from portkernel.ir import walk
from portkernel.ir.simt import WriteElem

sys.path.insert(0, str(Path(__file__).parent))
import lower_launch as direct

needs_pocl = pytest.mark.skipif(not direct.available(), reason="PoCL is not installed")


def doubled(x, out, B: pk.constexpr[int] = 256):
    i, j = pk.program_id(0), pk.program_id(1)
    pk.store(out, (i, j), pk.load(x, (i, j), (1, B)) * 2)


def in_place(x, out, B: pk.constexpr[int] = 256):
    i, j = pk.program_id(0), pk.program_id(1)
    pk.store(out, (i, j), pk.load(x, (i, j), (1, B)) + pk.load(out, (i, j), (1, B)))


def twice(x, out, B: pk.constexpr[int] = 256):
    i, j = pk.program_id(0), pk.program_id(1)
    v = pk.load(x, (i, j), (1, B))
    pk.store(out, (i, j), v)
    pk.store(out, (i, j), v * 2)


def product(x, out, B: pk.constexpr[int] = 256):
    i, j = pk.program_id(0), pk.program_id(1)
    v = pk.load(x, (i, j), (16, B))
    pk.store(out, (i, j), pk.dot(pk.load(x, (i, j), (16, 16)), v, pk.zeros((16, B))))


def streams(function, out=None, **constants) -> bool:
    x = np.zeros((4, 600), np.float32)
    args = {"x": x, "out": np.zeros_like(x) if out is None else out}
    made = lower(direct.lowered(KernelFn(function), args, constants), direct.CPU)
    return any(isinstance(op, WriteElem) and op.streamed is not None for op in walk(made.body))


def test_a_large_result_written_once_in_long_rows():
    assert streams(doubled)


@pytest.mark.parametrize("function", [in_place, twice, product])
def test_results_that_are_needed_again(function):
    assert not streams(function)


def test_short_rows_and_columns():
    assert not streams(doubled, B=64)
    assert not streams(doubled, np.zeros((600, 4), np.float32).T)


@needs_pocl
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "bool"])
@pytest.mark.parametrize("shift", [0, 1, 4, 7, 16])
def test_every_alignment(monkeypatch, dtype, shift):
    monkeypatch.setattr(lower_stream, "LARGE", 0)
    monkeypatch.setattr(lower_stream, "RUN", 0)
    kernel = pk.kernel(moved)
    x = np.random.default_rng(3).integers(0, 2, (5, 600)).astype(dtype)
    memory = np.full(5 * 601 + shift + 64, 1, np.int8).astype(dtype)
    out = memory[shift : shift + 5 * 601].reshape(5, 601)[:, :600]  # rows of another alignment each
    kernel[(5, 3)](x, out, backend="opencl", device="Portable")
    assert np.array_equal(out, x)
    assert memory[:shift].all()
    assert memory[shift + 5 * 601 :].all()


def moved(x, out, B: pk.constexpr[int] = 256):
    i, j = pk.program_id(0), pk.program_id(1)
    pk.store(out, (i, j), pk.load(x, (i, j), (1, B)))
