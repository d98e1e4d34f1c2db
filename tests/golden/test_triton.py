"""The text of two kernels as Triton: what changes here changes for every user."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import portkernel as pk


@pk.kernel
def matmul(a, b, bias, out, BM: pk.constexpr[int] = 48, BN: pk.constexpr[int] = 64, BK: pk.constexpr[int] = 32):
    i, j = pk.program_id(0), pk.program_id(1)
    acc = pk.zeros((BM, BN), pk.float32)
    for k in range(pk.cdiv(a.shape[1], BK)):
        acc = pk.dot(pk.load(a, (i, k), (BM, BK)), pk.load(b, (k, j), (BK, BN)), acc)
    total = acc + pk.load(bias, j, BN).astype(pk.float32)[None, :]
    pk.store(out, (i, j), pk.maximum(total, 0.0).astype(out.dtype))


@pk.kernel
def softmax_rows(x, out, BM: pk.constexpr[int] = 4, N: pk.constexpr[int] = 100):
    i = pk.program_id(0)
    tile = pk.load(x, (i, 0), (BM, N), pad=float("-inf")).astype(pk.float32)
    e = pk.exp(tile - tile.max(axis=1, keepdims=True))
    pk.store(out, (i, 0), (e / e.sum(axis=1, keepdims=True)).astype(out.dtype))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kernel", [matmul, softmax_rows], ids=lambda k: k.name)
def test_text(kernel: object, dtype: str, golden: Callable[[str, str], None]) -> None:
    ranks = (2, 2, 1, 2) if kernel is matmul else (2, 2)
    specs = [pk.TensorSpec(rank, dtype) for rank in ranks]
    text = kernel.source(*specs, backend="triton", target="nvidia-h100")  # type: ignore[attr-defined]
    golden(f"triton/{kernel.name}.{dtype}.py.txt", str(text))  # type: ignore[attr-defined]
