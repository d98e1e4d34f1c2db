"""Softmax and layer normalisation over rows."""

from __future__ import annotations

import numpy as np

from ..model import Case, Contest, Suite
from .library import kernel, normal, peer_module, relative_error

SHAPES = ((4096, 1024), (128, 768), (64, 50257))
_EPS = 1e-5


def _softmax_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=1, keepdims=True), out=out)


def _softmax(m: int, n: int, device: str | None) -> Contest:
    x = normal((m, n))
    ours, theirs = (np.zeros_like(x) for _ in range(2))
    softmax = kernel("softmax", "softmax")
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
    found = kernel("layer_norm", "layer_norm")
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
    found = kernel("rms_norm", "rms_norm")
    run = lambda: found(x, n, weight, _EPS, out=ours, backend="opencl", device=device)  # noqa: E731
    torch = peer_module("torch")
    peers, held = {}, {}
    if torch is not None:
        tx, tw = torch.from_numpy(x), torch.from_numpy(weight)

        def theirs() -> None:
            held["result"] = torch.nn.functional.rms_norm(tx, (n,), tw, _EPS)

        peers["torch"] = theirs

    def error() -> float:
        return relative_error(ours, held["result"].numpy(), 1e-4)() if held else 0.0

    return Contest(run, peers, 2.0 * x.nbytes, 5.0 * x.size, error)


def _attention(heads: int, length: int, depth: int, causal: bool, device: str | None) -> Contest:
    rng = np.random.default_rng(length)
    q, k, v = (rng.standard_normal((heads, length, depth), np.float32) for _ in range(3))
    ours = np.zeros_like(q)
    found = kernel("attention", "scaled_dot_product_attention")
    run = lambda: found(q, k, v, is_causal=causal, out=ours, backend="opencl", device=device)  # noqa: E731
    torch = peer_module("torch")
    peers, held = {}, {}
    if torch is not None:
        tensors = [torch.from_numpy(a)[None] for a in (q, k, v)]

        def theirs() -> None:
            held["result"] = torch.nn.functional.scaled_dot_product_attention(*tensors, is_causal=causal)

        peers["torch"] = theirs

    def error() -> float:
        return relative_error(ours, held["result"].numpy()[0], 1e-4)() if held else 0.0

    flops = 4.0 * heads * length * length * depth / (2 if causal else 1)
    return Contest(run, peers, 4.0 * q.nbytes, flops, error)


def _cases(make: object, quick: tuple[int, int]) -> tuple[Case, ...]:
    assert callable(make)
    return tuple(
        Case(f"{m}×{n}", lambda device, m=m, n=n: make(m, n, device), (m, n) == quick)  # type: ignore[misc]
        for m, n in SHAPES
    )


SUITES = (
    Suite("softmax", "softmax over rows", "torch", 1.0, _cases(_softmax, (4096, 1024))),
    Suite("layer_norm", "layer normalisation over rows", "torch", 1.0, _cases(_layer_norm, (4096, 1024))),
    Suite("rms_norm", "RMS normalisation over rows", "torch", 1.0, _cases(_rms_norm, (4096, 1024))),
    Suite(
        "attention", "scaled dot-product attention", "torch", 0.7,
        (
            Case("12 heads of 128×64", lambda device: _attention(12, 128, 64, False, device), True),
            Case("2048×64, causal", lambda device: _attention(1, 2048, 64, True, device)),
        ),
    ),
)  # fmt: skip
