"""The text of four kernels in the dialects that no device here runs. What it computes is tested in emulation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import portkernel as pk


@pk.kernel
def matmul(a, b, out, BM: pk.constexpr[int] = 32, BN: pk.constexpr[int] = 32, BK: pk.constexpr[int] = 16):
    i, j = pk.program_id(0), pk.program_id(1)
    acc = pk.zeros((BM, BN), pk.float32)
    for k in range(pk.cdiv(a.shape[1], BK)):
        acc = pk.dot(pk.load(a, (i, k), (BM, BK)), pk.load(b, (k, j), (BK, BN)), acc)
    pk.store(out, (i, j), acc.astype(out.dtype))


@pk.kernel
def softmax(x, out, B: pk.constexpr[int] = 128):
    row = pk.load(x, (pk.program_id(0), 0), (1, B), pad=float("-inf"))
    e = pk.exp(row - pk.max(row, axis=1, keepdims=True))
    pk.store(out, (pk.program_id(0), 0), e / pk.sum(e, axis=1, keepdims=True))


@pk.kernel
def total(x, out, B: pk.constexpr[int] = 256):
    i = pk.program_id(0)
    pk.atomic_add(out, (0,), pk.sum(pk.load(x, (i,), (B,)).astype(pk.float32), axis=0))


@pk.kernel
def conv1d(x, w, out, taps: pk.constexpr[int] = 3, B: pk.constexpr[int] = 64):
    i = pk.program_id(0)
    at = i * B + pk.arange(B)
    acc = pk.zeros((B,), pk.float32)
    for t in pk.static_range(taps):
        weight = pk.load(w, (t,), (1,)).astype(pk.float32)
        acc += pk.gather(x, (at + t,), mask=at + t < x.shape[0]).astype(pk.float32) * weight
    pk.store(out, (i,), acc.astype(out.dtype))


def array(rank: int, dtype: str = "float32") -> pk.TensorSpec:
    return pk.TensorSpec(rank, dtype)


KERNELS = {
    "matmul": (matmul, [array(2, "float16")] * 2 + [array(2)]),
    "softmax": (softmax, [array(2)] * 2),
    "total": (total, [array(1, "bfloat16"), array(1)]),
    "conv1d": (conv1d, [array(1, "float16"), array(1), array(1, "float16")]),
}


@pytest.mark.parametrize("backend", ["hip", "musa"])
@pytest.mark.parametrize("name", KERNELS)
def test_text(name: str, backend: str, golden: Callable[[str, str], None]) -> None:
    kernel, specs = KERNELS[name]
    text = kernel.source(*specs, backend=backend)
    golden(f"{backend}/{name}{text.source.suffix}", str(text))
