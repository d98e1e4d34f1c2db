"""``torch.compile(backend="portkernel")``: results, gradients, fusion, replay, refusals, coverage."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import portkernel as pk  # noqa: E402
from portkernel.errors import FallbackError  # noqa: E402
from portkernel.integrations.torch import compile as module  # noqa: E402
from portkernel.integrations.torch.program import Program  # noqa: E402


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Program]]:
    """Every program that is compiled during the test."""
    made: list[Program] = []

    def note(*args: Any) -> Program:
        made.append(Program(*args))
        return made[-1]

    monkeypatch.setattr(module, "Program", note)
    torch._dynamo.reset()
    yield made
    torch._dynamo.reset()


def compiled(fn: Callable[..., Any], strict: bool = True) -> Callable[..., Any]:
    return torch.compile(fn, backend="portkernel", options={"strict": strict})


def targets(program: Program) -> list[str]:
    """The names of what the steps of a program call."""
    return [getattr(step.node.target, "__name__", str(step.node.target)) for step in program._steps]


def conv_net() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    return model


def test_the_backend_is_registered() -> None:
    assert "portkernel" in torch._dynamo.list_backends()


def test_inference_folds_fuses_and_replays(programs: list[Program]) -> None:
    model, x = conv_net().eval(), torch.randn(2, 3, 9, 7)
    ours = compiled(model)
    with torch.no_grad(), pk.use(backend="opencl", strict=True):
        want = model(x)
        for _ in range(4):
            torch.testing.assert_close(ours(x), want, rtol=1e-4, atol=1e-5)
        (program,) = programs
        names = targets(program)
        assert names.count("convolution") == 2 and not any("batch_norm" in n or "relu" in n for n in names)
        pk.reset_stats()
        other = torch.randn(2, 3, 9, 7)
        torch.testing.assert_close(ours(other), model(other), rtol=1e-4, atol=1e-5)
        # One launch for each, but three for the convolution with a stride: its phases, those of its weight, the products.
        assert sum(pk.stats().launches.values()) <= 7 and pk.stats().compilations == 0
        assert [type(v).__name__ for v in program._table.values()] == ["_Ready"]


def test_folded_weights_follow_the_parameters(programs: list[Program]) -> None:
    model, x = conv_net().eval(), torch.randn(2, 3, 9, 7)
    ours = compiled(model)
    with torch.no_grad(), pk.use(backend="numpy"):
        for _ in range(4):
            ours(x)
        model[1].weight.mul_(2)
        model[0].weight.add_(0.25)
        torch.testing.assert_close(ours(x), model(x), rtol=1e-4, atol=1e-5)


def test_results_are_new_every_time(programs: list[Program]) -> None:
    ours = compiled(lambda x: (x + 1).relu())
    with pk.use(backend="numpy"):
        results = [ours(torch.full((3,), float(i))) for i in range(6)]
    assert [r.tolist() for r in results] == [[i + 1.0] * 3 for i in range(6)]


def test_other_inputs_after_the_replay(programs: list[Program]) -> None:
    """Views of inputs, inputs that share memory, inputs at odd addresses."""

    def fn(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.t(), x @ y, (x * 2 + y).sum(0), y[1]

    ours = compiled(fn)
    memory = torch.arange(64.0)
    with pk.use(backend="numpy"):
        for first, second in ((0, 16), (0, 16), (0, 16), (4, 20), (1, 33), (8, 8), (0, 16)):
            x, y = memory[first : first + 16].view(4, 4), memory[second : second + 16].view(4, 4)
            for mine, want in zip(ours(x, y), fn(x, y), strict=True):
                torch.testing.assert_close(mine, want)


def test_a_training_step_is_that_of_pytorch(programs: list[Program]) -> None:
    model = conv_net().train()
    peer = copy.deepcopy(model)
    x, y = torch.randn(4, 3, 9, 7), torch.tensor([0, 3, 1, 4])
    losses: list[list[float]] = []
    for net, run in ((model, compiled(lambda x: F.cross_entropy(model(x), y))), (peer, lambda x: F.cross_entropy(peer(x), y))):  # fmt: skip
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        losses.append([])
        with pk.use(backend="opencl", strict=True):
            for _ in range(5):
                optimizer.zero_grad()
                loss = run(x)
                loss.backward()
                optimizer.step()
                losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for (name, mine), want in zip(model.state_dict().items(), peer.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, want, rtol=1e-3, atol=1e-4, msg=name)
    assert len(programs) == 2
    assert all(type(v).__name__ == "_Ready" for p in programs for v in p._table.values())


def test_a_transformer_layer_trains(programs: list[Program]) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, activation="gelu")
    peer, x = copy.deepcopy(layer), torch.randn(2, 5, 16)
    (peer(x) ** 2).mean().backward()
    with pk.use(backend="numpy", strict=True):
        (compiled(layer)(x) ** 2).mean().backward()
    for mine, want in zip(layer.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, want.grad, rtol=1e-3, atol=1e-5)


def test_epilogues_and_chains_become_one_launch(programs: list[Program]) -> None:
    weight, bias = torch.randn(8, 6), torch.randn(6)

    def fn(x: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        y = F.gelu(torch.addmm(bias, x, weight)) + 0  # ends the epilogue
        return torch.sigmoid(y * 3 - r).where(r > 0, y.abs())

    ours = compiled(fn)
    x, r = torch.randn(5, 8), torch.randn(5, 6)
    with pk.use(backend="numpy"):
        torch.testing.assert_close(ours(x, r), fn(x, r), rtol=1e-5, atol=1e-6)
        pk.reset_stats()
        ours(x, r)
    assert sum(pk.stats().launches.values()) == 2
    assert "product" in targets(programs[0])


def test_a_residual_goes_into_the_product(programs: list[Program]) -> None:
    weight = torch.randn(8, 8)
    ours = compiled(lambda x: torch.relu(x.view(-1, 8).mm(weight).view(2, 3, 8) + x))
    x = torch.randn(2, 3, 8)
    with pk.use(backend="numpy"):
        torch.testing.assert_close(ours(x), torch.relu(x @ weight + x), rtol=1e-4, atol=1e-5)
    assert [t for t in targets(programs[0]) if "view" not in t] == ["product"]


def test_strict_names_the_node(programs: list[Program]) -> None:
    ours = compiled(lambda x: torch.lgamma(x) + 1)
    with pytest.raises(FallbackError, match=r"aten\.lgamma\.default: no operator"):
        ours(torch.ones(3))


def test_without_strict_the_node_runs_in_pytorch(programs: list[Program]) -> None:
    ours = compiled(lambda x: torch.lgamma(x) + 1, strict=False)
    pk.reset_stats()
    with pk.use(backend="numpy"):
        assert torch.allclose(ours(torch.full((3,), 3.0)), torch.lgamma(torch.full((3,), 3.0)) + 1)
    assert any("lgamma" in str(key) for key in pk.stats().fallbacks)


def test_shapes_that_change(programs: list[Program]) -> None:
    ours = torch.compile(lambda x: torch.softmax(x * 2, -1).sum(0), backend="portkernel", dynamic=True)
    with pk.use(backend="numpy"):
        for shape in ((2, 3), (5, 3), (5, 7), (2, 3), (2, 3), (2, 3), (5, 7)):
            x = torch.randn(shape)
            torch.testing.assert_close(ours(x), torch.softmax(x * 2, -1).sum(0), rtol=1e-5, atol=1e-6)


def test_epilogues_with_shapes_that_change(programs: list[Program]) -> None:
    layer = nn.Linear(4, 4)
    ours = torch.compile(lambda x: F.gelu(layer(x) + x), backend="portkernel", dynamic=True)
    with torch.no_grad(), pk.use(backend="numpy", strict=True):
        for shape in ((2, 3, 4), (5, 3, 4), (5, 7, 4)):
            x = torch.randn(shape)
            torch.testing.assert_close(ours(x), F.gelu(layer(x) + x), rtol=1e-5, atol=1e-6)


def test_random_numbers_are_drawn_anew(programs: list[Program]) -> None:
    ours = compiled(lambda x: F.dropout(x, 0.5))
    with pk.use(backend="numpy"):
        masks = {tuple((ours(torch.ones(32)) > 0).tolist()) for _ in range(6)}
    assert len(masks) > 3


def test_half_precision(programs: list[Program]) -> None:
    model, x = conv_net().eval().to(torch.bfloat16), torch.randn(2, 3, 9, 7, dtype=torch.bfloat16)
    with torch.no_grad(), pk.use(backend="numpy"):
        got, want = compiled(model)(x), copy.deepcopy(model).float()(x.float())
    assert got.dtype == torch.bfloat16
    assert (got.float() - want).abs().max() < 0.02 * want.abs().max()


# --- coverage -----------------------------------------------------------------------------------------------


def test_coverage_counts_nodes_and_flops() -> None:
    report = pk.coverage_of(conv_net().eval(), torch.randn(2, 3, 9, 7))
    assert not report.uncovered and report.flops == report.flops_covered
    convolutions = [n for n in report.nodes if n.overload == "convolution"]
    assert [n.flops for n in convolutions] == [2 * 2 * 63 * 8 * 27, 2 * 2 * 4 * 3 * 8 * 72]
    assert {n.operator for n in convolutions} == {"conv2d"} and "conv2d" in str(report)


def test_coverage_says_why_not() -> None:
    report = pk.coverage_of(lambda x: torch.nonzero(torch.lgamma(x) @ x), (torch.randn(3, 3),))
    assert {n.overload: n.reason for n in report.uncovered} == {
        "lgamma": "no operator", "nonzero": "the shape of the result depends on the elements",
    }  # fmt: skip
    assert 0 < report.flops_covered < report.flops and "in PyTorch:" in str(report)


def test_coverage_of_training_has_the_backward_graph() -> None:
    report = pk.coverage_of(conv_net(), {"input": torch.randn(2, 3, 9, 7)}, training=True)
    assert {n.graph for n in report.nodes} == {"forward", "backward"} and not report.uncovered
    assert any(n.overload == "convolution_backward" and n.flops for n in report.nodes)


def test_a_replay_counts_for_its_operators(programs: list[Program]) -> None:
    weight = torch.randn(4, 4)
    ours = compiled(lambda x: torch.softmax(x @ weight, -1))
    with pk.use(backend="numpy"):
        for _ in range(3):
            ours(torch.ones(2, 4))
        pk.reset_stats()
        ours(torch.ones(2, 4))
    assert {operator for operator, _, _ in pk.stats().operators} == {"matmul", "softmax"}
