"""Which calls of a program run on our kernels: ONNX files, exported programs, modules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import portkernel as pk
from portkernel.cli.coverage import coverage
from portkernel.coverage.program import Call, Program, advice, as_json, as_text, examine, routes_to
from portkernel.coverage.states import State
from portkernel.errors import ArgumentError, UnknownBackendError, UnknownTargetError

FACTORY = """
import torch

def make():
    layers = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Flatten())
    return layers, (torch.ones(3, 5),)

class Odd(torch.nn.Module):
    dummy_inputs = {"x": torch.tensor([0.0, 1.0, 2.0])}
    def forward(self, x):
        return torch.special.bessel_j0(x) + 1

def odd():
    return Odd()

def nothing():
    return 3
"""


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    helper = onnx.helper
    weight = onnx.numpy_helper.from_array(np.ones((5, 7), np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Transpose", ["c"], ["d"]),
        helper.make_node("RandomNormalLike", ["d"], ["e"]),
    ]
    info = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 5]), onnx.ValueInfoProto(name="e")]
    graph = helper.make_graph(nodes, "test", info[:1], info[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    (tmp_path / "factory_of_a_test.py").write_text(FACTORY, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "factory_of_a_test"


def test_an_onnx_model(onnx_file: Path) -> None:
    with pk.use(backend="numpy"):
        program = examine(str(onnx_file), {"n": 3}, backends=("cuda", "triton"))
    calls = {c.operator.rpartition(".")[2]: c for c in program.calls}
    product, relu, view, random = (calls[n] for n in ("MatMul", "Relu", "Transpose", "RandomNormalLike"))
    assert product.inputs == ("float32[3, 5]", "float32[5, 7]")
    assert product.outputs == ("float32[3, 7]",)
    assert product.flops == 2 * 3 * 5 * 7
    assert {b: s for b, (s, _) in product.states.items()} == {
        "numpy": State.NATIVE, "cuda": State.EMITTED, "triton": State.EMITTED,
    }  # fmt: skip
    assert (relu.count, relu.flops) == (2, 2 * 21)
    assert not view.computes
    assert random.states["numpy"][0] is random.states["cuda"][0] is State.UNSUPPORTED
    assert program.share("numpy") == (3, 4, 210 + 42, 210 + 42 + 21)
    assert "RandomNormalLike" in advice(random)
    assert "numpy: 3 of 4 calls that compute, 92.3 %" in as_text(program)


def test_a_target_has_its_own_routes(onnx_file: Path) -> None:
    with pk.use(backend="numpy"):
        program = examine(str(onnx_file), {}, target="amd-mi300x")
    assert program.backends()[0] == "numpy"
    assert set(program.backends()[1:]) == {f"{b} to amd-mi300x" for b in routes_to("amd-mi300x")}
    assert "cuda" not in routes_to("amd-mi300x")
    states = {s for c in program.calls for b, (s, _) in c.states.items() if b != "numpy"}
    assert states == {State.EMITTED, State.UNSUPPORTED}  # nothing ran there, and one operator is missing
    for named in ((), ("cuda",)):
        with pytest.raises(UnknownTargetError):
            examine(str(onnx_file), {}, named, target="no-such-chip")
    with pytest.raises(UnknownBackendError):
        examine(str(onnx_file), {}, ("vulkan",))


def test_a_module_and_an_exported_program(factory: str, tmp_path: Path) -> None:
    import torch

    with pk.use(backend="numpy"):
        program = examine(f"{factory}:make", {}, backends=("cuda",))
        module, inputs = __import__(factory).make()
        torch.export.save(torch.export.export(module, inputs), tmp_path / "program.pt2")
        exported = examine(str(tmp_path / "program.pt2"), {}, backends=("cuda",))
    operators = [c.operator for c in program.calls if c.computes]
    assert operators == ["aten.addmm.default", "aten.relu.default"]
    assert [c.operator for c in exported.calls if c.computes] == operators
    (product, _) = (c for c in program.calls if c.computes)
    assert product.flops == 2 * 3 * 5 * 7
    assert product.states["numpy"][0] is State.NATIVE
    assert product.states["cuda"][0] is State.EMITTED


def test_an_operator_that_we_lack(factory: str) -> None:
    with pk.use(backend="numpy"):
        program = examine(f"{factory}:odd", {}, backends=("cuda",))
    call = next(c for c in program.calls if "bessel" in c.operator)
    assert call.how == "uncovered"
    assert call.states["numpy" if "numpy" in call.states else "here"][0] is State.UNSUPPORTED
    assert "no operator" in advice(call)


@pytest.mark.parametrize("name", ["model.txt", "missing.onnx", "missing.pt2"])
def test_what_is_no_program(name: str) -> None:
    with pytest.raises(ArgumentError, match="--model"):
        examine(name, {})


def test_a_factory_of_something_else(factory: str) -> None:
    with pytest.raises(ArgumentError, match=r"torch\.nn\.Module"):
        examine(f"{factory}:nothing", {})


def test_wrong_results_show() -> None:
    call = Call("aten.exp", ("float32[2]",), ("float32[2]",), "kernels", 1, 2, {"opencl": (State.WRONG, "differs")})
    program = Program("p", "PyTorch", (call,))
    assert program.share("opencl") == (0, 1, 0, 2)
    assert "differs" in advice(call)
    assert json.loads(as_json(program))["shares"]["opencl"]["calls_covered"] == 0


def test_the_command(onnx_file: Path) -> None:
    with pk.use(backend="numpy"):
        result = CliRunner().invoke(
            coverage, ["--model", str(onnx_file), "--dim", "n=2", "--backends", "cuda", "--format", "json"]
        )
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["shares"]["cuda"]["calls"] == 4
    assert found["calls"][0]["inputs"][0] == "float32[2, 5]"
    assert CliRunner().invoke(coverage, ["--model", str(onnx_file), "--dim", "n"]).exit_code == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--ops", "add"), "nothing beside --model but --dim"),
        (("--baseline", __file__), "nothing beside --model but --dim"),
        (("--scan", "."), "nothing beside --model but --dim"),
        (("--format", "csv"), "expected JSON or plain text"),
        (("--output", "program.html"), "expected JSON or plain text"),
    ],
)
def test_options_that_a_program_does_not_take(options: tuple[str, ...], says: str) -> None:
    result = CliRunner().invoke(coverage, ["--model", "never_read.onnx", *options])
    assert result.exit_code == 2 and says in result.output
