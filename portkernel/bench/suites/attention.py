"""Scaled dot product attention: heads of a sentence encoder, and a long causal one."""

from __future__ import annotations

import numpy as np

from ..model import Case, Contest, Run, Suite
from .library import HOST, Array, bars, operator, peer_module


def _attention(heads: int, length: int, depth: int, causal: bool, device: str | None) -> Contest:
    rng = np.random.default_rng(3)
    query, key, value = (rng.standard_normal((1, heads, length, depth), np.float32) for _ in range(3))
    ours = np.zeros_like(query)
    own = operator("scaled_dot_product_attention")
    peers: dict[str, Run] = {}
    held: dict[str, Array] = {}
    torch = peer_module("torch")
    if torch is not None:
        tensors = [torch.from_numpy(x) for x in (query, key, value)]
        function = torch.nn.functional.scaled_dot_product_attention

        def run() -> None:
            held["result"] = function(*tensors, is_causal=causal).numpy()

        peers["torch"] = run

    def error() -> float:
        return float(np.abs(ours - held["result"]).max() / np.abs(held["result"]).max() / 1e-5)

    return Contest(
        lambda: own(query, key, value, is_causal=causal, out=ours, backend=HOST, device=device),
        peers,
        4.0 * query.nbytes,
        4.0 * heads * length * length * depth / (2 if causal else 1),
        error if peers else None,
    )


SUITES = (
    Suite(
        "attention", "scaled dot product attention", "torch", bars(0.7, 0.9),
        (
            Case("12×128×64", lambda device: _attention(12, 128, 64, False, device), True),
            Case("12×2048×64 causal", lambda device: _attention(12, 2048, 64, True, device)),
        ),
    ),
)  # fmt: skip
