"""Softmax and normalisations over rows."""

from __future__ import annotations

import numpy as np

from ..model import Case, Contest, Suite
from .library import bars, normal, operator, peer_module, relative_error

SHAPES = ((4096, 1024), (128, 768), (64, 50257))
_EPS = 1e-5


def _softmax_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=1, keepdims=True), out=out)


def _softmax(m: int, n: int, device: str | None) -> Contest:
    x = normal((m, n))
    ours, theirs = (np.zeros_like(x) for _ in range(2))
    softmax = operator("softmax")
    run = lambda: softmax(x, out=ours, backend="opencl", device=device)  # noqa: E731
    peers = {"numpy": lambda: _softmax_numpy(x, theirs)}
    torch = peer_module("torch")
    if torch is not None:
        tx, out = torch.from_numpy(x), torch.empty((m, n))
        peers["torch"] = lambda: torch.ops.aten._softmax.out(tx, 1, False, out=out)
    return Contest(run, peers, 2.0 * x.nbytes, 5.0 * x.size, relative_error(ours, theirs, 1e-4))


def _layer_norm_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.subtract(x, x.mean(axis=1, keepdims=True), out=out)
    np.divide(out, np.sqrt((out * out).mean(axis=1, keepdims=True) + np.float32(_EPS)), out=out)


def _layer_norm(m: int, n: int, device: str | None) -> Contest:
    x, weight, bias = normal((m, n)), np.ones(n, np.float32), np.zeros(n, np.float32)
    ours, theirs = (np.zeros_like(x) for _ in range(2))
    found = operator("layer_norm")
    run = lambda: found(x, n, weight, bias, _EPS, out=ours, backend="opencl", device=device)  # noqa: E731
    peers = {"numpy": lambda: _layer_norm_numpy(x, theirs)}
    torch = peer_module("torch")
    if torch is not None:
        tx, tw, tb = torch.from_numpy(x), torch.from_numpy(weight), torch.from_numpy(bias)
        peers["torch"] = lambda: torch.nn.functional.layer_norm(tx, (n,), tw, tb, _EPS)
    return Contest(run, peers, 2.0 * x.nbytes, 8.0 * x.size, relative_error(ours, theirs, 1e-4))


def _rms_norm(m: int, n: int, device: str | None) -> Contest:
    x, weight = normal((m, n)), np.ones(n, np.float32)
    ours = np.zeros_like(x)
    theirs = np.zeros_like(x)
    found = operator("rms_norm")
    run = lambda: found(x, n, weight, _EPS, out=ours, backend="opencl", device=device)  # noqa: E731

    def plain() -> None:
        np.divide(x, np.sqrt((x * x).mean(axis=1, keepdims=True) + np.float32(_EPS)), out=theirs)

    peers = {"numpy": plain}
    torch = peer_module("torch")
    if torch is not None:
        tx, tw = torch.from_numpy(x), torch.from_numpy(weight)
        peers["torch"] = lambda: torch.nn.functional.rms_norm(tx, (n,), tw, _EPS)
    return Contest(run, peers, 2.0 * x.nbytes, 5.0 * x.size, relative_error(ours, theirs, 1e-4))


def _cases(make: object, quick: tuple[int, int]) -> tuple[Case, ...]:
    assert callable(make)
    return tuple(
        Case(f"{m}×{n}", lambda device, m=m, n=n: make(m, n, device), (m, n) == quick)  # type: ignore[misc]
        for m, n in SHAPES
    )


SUITES = (
    Suite("softmax", "softmax over rows", "torch", bars(1.0, 1.3), _cases(_softmax, (4096, 1024))),
    Suite("layer_norm", "layer normalisation over rows", "torch", bars(1.0, 1.3), _cases(_layer_norm, (4096, 1024))),
    Suite(
        "rms_norm", "root mean square normalisation over rows", "torch", bars(1.0, 1.3), _cases(_rms_norm, (4096, 1024))
    ),
)
