"""Matrix products: squares, the shapes of a transformer's layers, long and flat ones; matrix times vector."""

from __future__ import annotations

import numpy as np

from ..model import Case, Contest, Peer, Suite
from .library import HOST, Array, kernel, normal, peer_module, relative_error

SHAPES = (
    (256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (1000, 1001, 999),
    (128, 768, 768), (128, 3072, 768), (128, 768, 3072), (32, 1000, 2048), (4096, 64, 4096), (64, 4096, 4096),
)  # fmt: skip
"""M × K × N."""
_QUICK = {(256, 256, 256), (1024, 1024, 1024), (128, 768, 768)}


def product(m: int, k: int, n: int, dtype: str, device: str | None) -> Contest:
    a, b = normal((m, k), dtype), normal((k, n), dtype)
    ours, theirs = (np.zeros((m, n), dtype) for _ in range(2))
    matmul = kernel("matmul", "matmul")
    return Contest(
        lambda: matmul(a, b, ours, backend=HOST, device=device),
        {"numpy": lambda: np.matmul(a, b, out=theirs)},
        bytes=float(a.nbytes + b.nbytes + ours.nbytes),
        flops=2.0 * m * n * k,
        error=relative_error(ours, theirs, 4 * np.sqrt(k) * float(np.finfo(dtype).eps)),
    )


def batched(device: str | None) -> Contest:
    """12 heads of 128 × 64 × 128."""
    a, b = normal((12, 128, 64)), normal((12, 64, 128))
    ours, theirs = (np.zeros((12, 128, 128), np.float32) for _ in range(2))
    matmul = kernel("matmul", "matmul")
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
    matmul = kernel("matmul", "matmul")
    return Contest(
        lambda: matmul(a, x, ours, backend=HOST, device=device),
        {"numpy": lambda: np.matmul(a, x, out=theirs)},
        bytes=float(a.nbytes),
        flops=2.0 * m * n,
        error=relative_error(ours, theirs, 1e-4),
    )


def _int8(m: int, k: int, n: int, device: str | None) -> Contest:
    rng = np.random.default_rng(1)
    a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((m, k), (k, n)))
    ours = np.zeros((m, n), np.int32)
    matmul = kernel("matmul", "matmul")
    torch = peer_module("torch")
    peers = {}
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


def _products(name: str, dtype: str, aim: float, peer: Peer = "numpy") -> Suite:
    cases = tuple(_case(*s, dtype) for s in SHAPES)
    more = (Case("12×128×64×128", batched),) if dtype == "float32" else ()
    return Suite(name, f"matrix product, {dtype}", peer, aim, cases + more, dtype)


SUITES = (
    _products("gemm-fp32", "float32", 0.85),
    _products("gemm-fp64", "float64", 0.85),
    Suite(
        "gemv", "matrix times vector", "numpy", 0.9,
        (
            Case("4096×4096", lambda device: _gemv(4096, 4096, False, device), True),
            Case("4096×4096 transposed", lambda device: _gemv(4096, 4096, True, device)),
        ),
    ),
    Suite(
        "gemm-int8", "matrix product, int8 to int32", "torch", 0.2,
        (
            Case("512×512×512", lambda device: _int8(512, 512, 512, device), True),
            Case("1024×8192×512", lambda device: _int8(1024, 8192, 512, device)),
        ),
    ),
)  # fmt: skip
