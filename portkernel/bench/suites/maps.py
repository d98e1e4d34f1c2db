"""Elementwise: sums of vectors, and a chain with broadcasting and erf."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..model import Case, Contest, Suite
from .library import cdiv, kernel, launch, normal, peer_module, relative_error


def _add(n: int, dtype: str, device: str | None) -> Contest:
    x, y = normal((n,), dtype), normal((n, 1), dtype)[:, 0]
    ours, theirs = (np.zeros_like(x) for _ in range(2))
    run = launch(kernel("vector_add", "vector_add"), lambda meta: (cdiv(n, meta["B"]),), (x, y, ours), device)
    peers: dict[str, Any] = {"numpy": lambda: np.add(x, y, out=theirs)}
    torch = peer_module("torch")
    if torch is not None:
        tx, ty = torch.from_numpy(x), torch.from_numpy(y)
        out = torch.empty_like(tx)
        peers["torch"] = lambda: torch.add(tx, ty, out=out)
    return Contest(run, peers, 3.0 * x.nbytes, float(n), relative_error(ours, theirs, 1e-6))


def _chain(m: int, n: int, device: str | None) -> Contest:
    x, residual = normal((m, n)), normal((m, n, 1))[:, :, 0]
    scale, bias = normal((n,)), normal((1, n))[0]
    ours = np.zeros_like(x)
    theirs = np.zeros_like(x)
    run = launch(
        kernel("elementwise", "scale_shift_gelu"), lambda meta: (cdiv(m, meta["BM"]), cdiv(n, meta["BN"])),
        (x, scale, bias, residual, ours), device,
    )  # fmt: skip
    torch = peer_module("torch")
    peers: dict[str, Any] = {}
    if torch is not None:
        tx, tr, ts, tb = (torch.from_numpy(v) for v in (x, residual, scale, bias))
        out = torch.from_numpy(theirs)
        peers["torch"] = lambda: torch.add(torch.nn.functional.gelu(tx * ts + tb), tr, out=out)
    return Contest(run, peers, 3.0 * x.nbytes, 20.0 * x.size, relative_error(ours, theirs, 1e-5) if peers else None)


def _add_case(n: int, dtype: str, quick: bool = False) -> Case:
    return Case(f"x + y {n} {dtype}", lambda device: _add(n, dtype, device), quick)


SUITES = (
    Suite(
        "elementwise", "elementwise", "fastest", {},
        (
            _add_case(1_000_000, "float32", True),
            _add_case(20_000_000, "float32"),
            _add_case(20_000_000, "float64"),
            _add_case(20_000_000, "float16"),
            Case("gelu(x·scale + bias) + residual 2048×2048", lambda device: _chain(2048, 2048, device), True),
        ),
    ),
)  # fmt: skip
