"""BERT-base from its configuration, with seeded weights, through ``torch.compile(backend="portkernel")``.

pip install "portkernel[examples]"
python examples/bert_base.py --batch 1 --length 128
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from measure import relative_error, show_launches, show_time, speed

import portkernel as pk

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def make(layers: int = 12) -> torch.nn.Module:
    """transformers' BERT: 768 hidden, 12 heads, 12 layers by default."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    return BertModel(BertConfig(num_hidden_layers=layers)).eval()


def tokens(batch: int, length: int) -> dict[str, torch.Tensor]:
    """Random words, the last quarter of each second sentence padding."""
    ids = torch.randint(1000, 30000, (batch, length), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(batch, length, dtype=torch.int64)
    mask[1::2, -(length // 4) :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def infer(model: torch.nn.Module, given: dict[str, torch.Tensor], backend: str) -> tuple[float, Callable[..., Any]]:
    """The largest relative error of the hidden states against PyTorch, and the compiled model."""
    ours = torch.compile(model, backend="portkernel", options={"strict": True})
    with torch.no_grad(), pk.use(backend=backend, strict=True):
        return relative_error(ours(**given).last_hidden_state, model(**given).last_hidden_state), ours


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="opencl")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--length", type=int, default=128)
    given = parser.parse_args(arguments)
    model, words = make(), tokens(given.batch, given.length)
    pk.reset_stats()
    error, ours = infer(model, words, given.backend)
    show_launches()
    with torch.no_grad(), pk.use(backend=given.backend, strict=True):
        print(f"relative error {error:.1e}")
        print(speed("sentences", given.batch, lambda: ours(**words), lambda: model(**words)))
        show_time(lambda: ours(**words))


if __name__ == "__main__":
    main()
