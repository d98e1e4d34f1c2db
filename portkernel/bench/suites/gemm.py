"""Matrix products: squares, the shapes of a transformer's layers, long and flat ones; matrix times vector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import MissingDependencyError
from ...runtime import clblast
from ..model import Case, Contest, Run, Suite
from .library import HOST, Array, bars, normal, operator, peer_module, relative_error

SHAPES = (
    (256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (1000, 1001, 999),
    (128, 768, 768), (128, 3072, 768), (128, 768, 3072), (32, 1000, 2048), (4096, 64, 4096), (64, 4096, 4096),
)  # fmt: skip
"""M × K × N."""
_QUICK = {(256, 256, 256), (1024, 1024, 1024), (128, 768, 768)}


def product(m: int, k: int, n: int, dtype: str, device: str | None) -> Contest:
    a, b = normal((m, k), dtype), normal((k, n), dtype)
    ours, theirs = (np.zeros((m, n), dtype) for _ in range(2))
    matmul = operator("matmul")
    return Contest(
        lambda: matmul(a, b, ours, backend=HOST, device=device),
        {"numpy": lambda: np.matmul(a, b, out=theirs)},
        bytes=float(a.nbytes + b.nbytes + ours.nbytes),
        flops=2.0 * m * n * k,
        error=relative_error(ours, theirs, 4 * np.sqrt(k) * float(np.finfo(dtype).eps)),
    )


def batched(dtype: str, device: str | None) -> Contest:
    """12 heads of 128 × 64 × 128."""
    a, b = normal((12, 128, 64), dtype), normal((12, 64, 128), dtype)
    ours, theirs = (np.zeros((12, 128, 128), dtype) for _ in range(2))
    matmul = operator("matmul")
    return Contest(
        lambda: matmul(a, b, ours, backend=HOST, device=device),
        {"numpy": lambda: np.matmul(a, b, out=theirs)},
        bytes=float(a.nbytes + b.nbytes + ours.nbytes),
        flops=2.0 * 12 * 128 * 64 * 128,
        error=relative_error(ours, theirs, 1e-5),
    )


def _case(m: int, k: int, n: int, dtype: str) -> Case:
    return Case(f"{m}×{k}×{n}", lambda device: product(m, k, n, dtype, device), (m, k, n) in _QUICK)


def _gemv(m: int, n: int, transposed: bool, device: str | None) -> Contest:
    a, x = normal((m, n)), normal((n,))
    a = a.T if transposed else a
    ours, theirs = (np.zeros(m, np.float32) for _ in range(2))
    matmul = operator("matmul")
    return Contest(
        lambda: matmul(a, x, ours, backend=HOST, device=device),
        {"numpy": lambda: np.matmul(a, x, out=theirs)},
        bytes=float(a.nbytes),
        flops=2.0 * m * n,
        error=relative_error(ours, theirs, 1e-4),
    )


def _int8(m: int, k: int, n: int, device: str | None) -> Contest:
    """Beside PyTorch's, and beside our own product of the same shape in float32 (``fp32``)."""
    rng = np.random.default_rng(1)
    a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((m, k), (k, n)))
    ours = np.zeros((m, n), np.int32)
    wide_a, wide_b, wide = a.astype(np.float32), b.astype(np.float32), np.zeros((m, n), np.float32)
    matmul = operator("matmul")
    peers: dict[str, Run] = {"fp32": lambda: matmul(wide_a, wide_b, wide, backend=HOST, device=device)}
    torch = peer_module("torch")
    if torch is not None:
        ta, tb = torch.from_numpy(a), torch.from_numpy(b)
        peers["torch"] = lambda: torch._int_mm(ta, tb)

    def error() -> float:
        want: Array = a.astype(np.float64) @ b.astype(np.float64)
        return 0.0 if np.array_equal(want, ours) else float("inf")

    return Contest(
        lambda: matmul(a, b, ours, backend=HOST, device=device),
        peers,
        float(a.nbytes + b.nbytes + ours.nbytes),
        2.0 * m * n * k,
        error,
    )


def _bfloat16(m: int, k: int, n: int, device: str | None) -> Contest:
    """Tensors of PyTorch on both sides, as NumPy has no such numbers of its own."""
    torch = peer_module("torch")
    if torch is None:
        raise MissingDependencyError("bench: this suite needs PyTorch", hint='pip install "portkernel[bench]"')
    a, b = (torch.from_numpy(normal(s)).bfloat16() for s in ((m, k), (k, n)))
    ours, theirs = (torch.zeros((m, n), dtype=torch.bfloat16) for _ in range(2))
    matmul = operator("matmul")

    def error() -> float:
        return relative_error(ours.float().numpy(), theirs.float().numpy(), 0.02)()

    return Contest(
        lambda: matmul(a, b, ours, backend=HOST, device=device),
        {"torch": lambda: torch.mm(a, b, out=theirs)},
        2.0 * (m * k + k * n + m * n),
        2.0 * m * n * k,
        error,
    )


def _beside_clblast(m: int, k: int, n: int, device: str | None) -> Contest:
    """Both on the same OpenCL device; CLBlast's operands lie in its buffers beforehand."""
    a, b = normal((m, k)), normal((k, n))
    ours, theirs = (np.zeros((m, n), np.float32) for _ in range(2))
    found = clblast.sgemm(a, b, theirs, device)
    if found is None:
        raise MissingDependencyError("bench: CLBlast is not installed", hint="apt-get install libclblast1")
    run, read = found
    matmul = operator("matmul")

    def error() -> float:
        read()
        return relative_error(ours, theirs, 4 * np.sqrt(k) * float(np.finfo(np.float32).eps))()

    return Contest(
        lambda: matmul(a, b, ours, backend=HOST, device=device),
        {"clblast": run},
        float(a.nbytes + b.nbytes + ours.nbytes),
        2.0 * m * n * k,
        error,
    )


def _products(name: str, dtype: str) -> Suite:
    cases = (*(_case(*s, dtype) for s in SHAPES), Case("12×128×64×128", lambda device: batched(dtype, device)))
    return Suite(name, f"matrix product, {dtype}", "numpy", bars(0.85, 0.85), cases, dtype)


def _cases(make: Callable[[int, int, int, str | None], Contest], *shapes: tuple[int, int, int]) -> tuple[Case, ...]:
    return tuple(
        Case("×".join(map(str, shape)), lambda device, shape=shape: make(*shape, device), shape in shapes[:1])  # type: ignore[misc, call-arg]
        for shape in shapes
    )


_INT8 = _cases(_int8, (512, 512, 512), (1024, 1024, 1024), (1024, 8192, 512), (128, 768, 3072))
SUITES = (
    _products("gemm-fp32", "float32"),
    _products("gemm-fp64", "float64"),
    Suite(
        "gemm-clblast", "matrix product beside CLBlast", "clblast", bars(3, 3),
        _cases(_beside_clblast, (512, 512, 512), (256, 256, 256), (1024, 1024, 1024), (128, 768, 768)),
    ),
    Suite(
        "gemv", "matrix times vector", "numpy", bars(0.9, 1.0),
        (
            Case("4096×4096", lambda device: _gemv(4096, 4096, False, device), True),
            Case("4096×4096 transposed", lambda device: _gemv(4096, 4096, True, device)),
        ),
    ),
    Suite("gemm-int8", "matrix product, int8 to int32", "torch", bars(0.2, 0.2), _INT8),
    Suite("gemm-int8-fp32", "the same beside float32", "fp32", bars(1.0, 1.0), _INT8),
    Suite(
        "gemm-bf16", "matrix product, bfloat16", "torch", {},
        _cases(_bfloat16, (512, 512, 512), (1024, 1024, 1024), (128, 768, 3072)), "bfloat16",
    ),
)  # fmt: skip
