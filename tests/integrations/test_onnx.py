"""ONNX models on our operators: a share of the project's node tests, and shapes that do not fit one tile."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import portkernel as pk
from portkernel.errors import (
    ArgumentDTypeError,
    ArgumentError,
    ArgumentShapeError,
    NoDeviceError,
    UncoveredOperatorError,
)

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnx.backend.test", reason="onnx came without its tests")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from portkernel.integrations.onnx import Backend, is_compatible, prepare, run_node, serving, uncovered  # noqa: E402
from portkernel.integrations.onnx.cases import PASSED, Outcome, node_cases, operator_of, run_case, table  # noqa: E402

COUNTS = Path(__file__).with_name("onnx_counts.json")
EACH = 2
"""Cases of each operator that are tried."""
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ.setdefault("ONNX_HOME", str(tmp_path_factory.mktemp("onnx")))


def selected() -> list[Any]:
    """The first cases of each operator, expanded bodies left out."""
    seen: Counter[str] = Counter()
    chosen = []
    for case in node_cases():
        name = operator_of(case)
        if "_expanded" not in case.name and seen[name] < EACH:
            seen[name] += 1
            chosen.append(case)
    return chosen


def test_no_operator_passes_fewer_node_cases_than_before() -> None:
    """On the NumPy route, which compiles nothing; every case on OpenCL: ``python -m portkernel.integrations.onnx.cases``.

    What they call is what ``serving()`` says that they call.
    """
    passed: Counter[str] = Counter()
    failed = []
    unsaid = set()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for case in selected():
            pk.reset_stats()
            state, detail = run_case(case, "numpy")
            if state in PASSED:
                passed[operator_of(case)] += 1
                called = {operator for operator, _, _ in pk.stats().operators}
                unsaid |= {(o, operator_of(case)) for o in called if operator_of(case) not in serving().get(o, ())}
            else:
                failed.append(f"{case.name}: {state}: {detail}")
    before = json.loads(COUNTS.read_text(encoding="utf-8"))
    fewer = {name: (passed[name], n) for name, n in before.items() if passed[name] < n}
    assert not fewer, "\n".join(failed)
    assert sum(before.values()) > 300
    assert not unsaid
    assert set(serving()) <= set(pk.ops.operators())


# --- shapes that do not fit one tile ------------------------------------------------------------------------


def model(nodes: list[Any], inputs: dict[str, np.ndarray], outputs: list[str], **given: Any) -> Any:
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for n, x in inputs.items()
        ],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        [numpy_helper.from_array(x, n) for n, x in given.pop("constants", {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", given.pop("opset", 22))], **given)
    made.ir_version = 10
    return made


def peer(made: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    return runtime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, inputs)


def draw(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) * 3).astype(np.float32)


LARGE = {
    "MatMul": ({}, {"a": draw(129, 257), "b": draw(257, 65)}),
    "Gemm": ({"transB": 1, "alpha": 0.5}, {"a": draw(63, 127), "b": draw(129, 127), "c": draw(129)}),
    "Conv": ({"pads": [1, 0, 2, 1], "strides": [2, 1], "group": 3}, {"x": draw(2, 9, 33, 65), "w": draw(6, 3, 3, 5)}),
    "ConvTranspose": ({"strides": [2, 3], "pads": [1, 1, 0, 2]}, {"x": draw(1, 5, 17, 33), "w": draw(5, 7, 3, 3)}),
    "Softmax": ({"axis": 1}, {"x": draw(17, 1025, 3) + 500}),
    "LayerNormalization": ({}, {"x": draw(33, 1023) + 30, "s": draw(1023), "b": draw(1023)}),
    "ReduceSumSquare": ({"keepdims": 0}, {"x": draw(7, 4097)}),
    "ArgMax": ({"axis": 0, "select_last_index": 1}, {"x": draw(257, 31).round()}),
    "MaxPool": ({"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]}, {"x": draw(1, 3, 64, 65)}),
    "AveragePool": ({"kernel_shape": [5, 2], "pads": [2, 0, 2, 1], "strides": [3, 1]}, {"x": draw(1, 3, 65, 63)}),
    "Transpose": ({"perm": [2, 0, 1]}, {"x": draw(31, 33, 65)}),
    "LRN": ({"size": 5}, {"x": draw(2, 33, 7, 9)}),
    "DepthToSpace": ({"blocksize": 3, "mode": "CRD"}, {"x": draw(2, 18, 17, 9)}),
    "Einsum": ({"equation": "bij,bkj->bik"}, {"a": draw(3, 65, 33), "b": draw(3, 31, 33)}),
    "LSTM": ({"hidden_size": 33}, {"x": draw(7, 5, 17), "w": draw(1, 132, 17) / 9, "r": draw(1, 132, 33) / 9}),
    "GatherElements": ({"axis": 1}, {"x": draw(33, 129), "i": RNG.integers(-129, 129, (33, 65))}),
    "ScatterElements": ({"axis": 1, "reduction": "add"}, {"x": draw(33, 129), "i": RNG.integers(0, 129, (33, 65)), "u": draw(33, 65)}),
    "GridSample": ({"mode": "cubic", "padding_mode": "reflection"}, {"x": draw(2, 3, 17, 33), "g": draw(2, 31, 9, 2) / 3}),
    "Elu": ({"alpha": 2.0}, {"x": draw(4097)}),
    "CumSum": ({"reverse": 1}, {"x": draw(5, 1025), "axis": np.asarray(1)}),
    "TopK": ({"axis": 0}, {"x": draw(513, 3), "k": np.asarray([65])}),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_large_odd_shapes_as_onnxruntime(name: str) -> None:
    attributes, inputs = LARGE[name]
    outputs = ["y", "z"] if name == "TopK" else ["y"]
    made = model([helper.make_node(name, list(inputs), outputs, **attributes)], inputs, outputs)
    rep = prepare(made)
    rep.watch = True
    for got, want in zip(rep.run(inputs), peer(made, inputs), strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        assert np.allclose(got, want, rtol=2e-4, atol=2e-5 * np.abs(want).max(initial=1))
    assert {r.how for r in rep.ran} <= {"kernels", "view"}
    assert name == "Transpose" or sum(r.launches for r in rep.ran) > 0


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("where", ["half_pixel", "align_corners", "asymmetric"])
def test_resize_as_onnxruntime(mode: str, where: str) -> None:
    inputs = {"x": draw(1, 3, 31, 65)}
    constants = {"sizes": np.asarray([1, 3, 67, 33])}
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode=mode, coordinate_transformation_mode=where)
    made = model([node], inputs, ["y"], constants=constants, opset=19)
    assert np.allclose(prepare(made).run(inputs)[0], peer(made, inputs)[0], rtol=1e-3, atol=2e-3)


# --- the interface ------------------------------------------------------------------------------------------


def test_a_node_and_a_model() -> None:
    x = draw(3, 5)
    (y,) = run_node(helper.make_node("Relu", ["x"], ["y"]), [x], backend="numpy")
    assert np.array_equal(y, np.maximum(x, 0))
    made = model([helper.make_node("Add", ["a", "b"], ["y"])], {"a": x, "b": x}, ["y"])
    assert np.array_equal(prepare(made.SerializeToString()).run({"b": x, "a": x})[0], 2 * x)
    with pytest.raises(ArgumentError, match="no b"):
        prepare(made).run([x])
    with pytest.raises(NoDeviceError, match="CPU"):
        prepare(made, "CUDA")
    assert Backend.supports_device("CPU")
    assert not Backend.supports_device("CUDA:1")


def test_the_remainder_of_c() -> None:
    """Of infinite divisors, and of the least integer, which has no absolute value."""
    for x, y in (
        (np.asarray([-5, 5, -6.5], np.float32), np.asarray([np.inf, -np.inf, 4], np.float32)),
        (np.asarray([-128, -128, 7], np.int8), np.asarray([3, -3, -3], np.int8)),
    ):
        (got,) = run_node(helper.make_node("Mod", ["x", "y"], ["z"], fmod=1), [x, y], backend="numpy")
        assert np.array_equal(got, np.fmod(x, y))


@pytest.mark.parametrize(("op", "attributes", "message"), [
    ("Conv", {"auto_pad": "SAME"}, "auto_pad: expected NOTSET, VALID, SAME_UPPER, SAME_LOWER, got 'SAME'"),
    ("Conv", {"kernel_shape": [3, 5]}, r"kernel_shape: expected \[3, 3\] as w has, got \[3, 5\]"),
    ("Conv", {"pads": [1, 1]}, r"pads: expected 4 numbers, got \[1, 1\]"),
    ("ConvTranspose", {"strides": [2]}, r"strides: expected 2 numbers, got \[2\]"),
])  # fmt: skip
def test_attributes_that_have_no_meaning(op: str, attributes: dict[str, Any], message: str) -> None:
    node = helper.make_node(op, ["x", "w"], ["y"], **attributes)
    with pytest.raises((ArgumentError, ArgumentShapeError), match=message):
        run_node(node, [draw(1, 3, 7, 7), draw(3, 3, 3, 3)], backend="numpy")


X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(("op", "attributes", "inputs", "message"), [
    ("Resize", {"mode": "trilinear"}, [X[None, None], None, None, np.asarray([1, 1, 4, 6])], "mode: expected nearest, linear, cubic"),
    ("Resize", {}, [X[None, None]], "scales: expected scales or sizes, got neither"),
    ("GridSample", {"padding_mode": "wrap"}, [X[None, None], np.zeros((1, 2, 2, 2), np.float32)], "padding_mode: expected zeros"),
    ("ScatterND", {"reduction": "mean"}, [X, np.asarray([[1, 0]]), X[0, :1]], "reduction: expected none, add, mul"),
    ("DepthToSpace", {"blocksize": 2, "mode": "RCD"}, [np.zeros((1, 4, 2, 2), np.float32)], "mode: expected DCR, CRD"),
    ("BitShift", {"direction": "UP"}, [np.ones(2, np.uint8), np.ones(2, np.uint8)], "direction: expected LEFT, RIGHT"),
    ("Split", {"axis": 1}, [X, np.asarray([1, 1])], r"split: expected parts of 3 elements, got \[1, 1\]"),
    ("Reshape", {}, [X, np.asarray([4, 2])], "Reshape: expected shapes and axes that fit"),
    ("SequenceAt", {}, [[X, X], np.asarray(2)], "position: expected -2 to 1, got 2"),
    ("SequenceInsert", {}, [[X], X, np.asarray(3)], "position: expected -1 to 1, got 3"),
    ("LSTM", {"hidden_size": 1, "direction": "bidirectional"}, [X[None], np.zeros((1, 4, 3), np.float32), np.zeros((1, 4, 1), np.float32)],
     "W: expected weights for direction 'bidirectional'"),
    ("Relu", {"alpha": 1.0}, [X], "nodes that ONNX allows, got one that is not: Unrecognized attribute: alpha"),
    ("Add", {}, [X], "nodes that ONNX allows, got one that is not: .* input size 1"),
])  # fmt: skip
def test_a_node_that_makes_no_sense(op: str, attributes: dict[str, Any], inputs: list[Any], message: str) -> None:
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    with pytest.raises((ArgumentError, ArgumentShapeError), match=message):
        run_node(helper.make_node(op, names, ["y"], **attributes), inputs, backend="numpy")


def test_a_rounding_that_is_not_there_is_refused() -> None:
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E8M0, round_mode="down")
    with pytest.raises(UncoveredOperatorError, match="round_mode: expected 'up', got 'down'"):
        run_node(node, [X], backend="numpy")


@pytest.mark.parametrize("op", ["Gather", "GatherElements", "GatherND", "ScatterND"])
def test_an_index_outside_its_axis_is_an_error(op: str) -> None:
    """Also where a place in the next row would be there."""
    inputs = [X, np.asarray([[0, 4]])] if op.endswith("ND") else [X.T, np.asarray([[4]])]
    inputs += [X[0, :1]] if op == "ScatterND" else []
    names = [f"x{i}" for i in range(len(inputs))]
    with pytest.raises(pk.errors.DeviceAssertionError, match="an index outside the axis"):
        run_node(helper.make_node(op, names, ["y"]), inputs, backend="numpy")


def test_inputs_that_are_not_the_models() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [onnx.ValueInfoProto(name="y")],
    )  # fmt: skip
    rep = prepare(helper.make_model(graph), backend="numpy")
    for given, error, message in (
        ([X.astype(np.float64)], ArgumentDTypeError, "x: expected float32, got float64"),
        ([X[0]], ArgumentShapeError, r"x: expected shape \(N, 3\), got \(3,\)"),
        ([X.T], ArgumentShapeError, r"x: expected shape \(N, 3\), got \(3, 2\)"),
        ([X, X], ArgumentError, "expected at most 1, got 2"),
        ({"x": X, "z": X}, ArgumentError, "expected x, got z"),
    ):
        with pytest.raises(error, match=message):
            rep.run(given)
    assert np.array_equal(rep.run(X[:1])[0], X[:1])
    for broken in (b"no model", "no such file.onnx"):
        with pytest.raises(ArgumentError, match="model: expected a ModelProto, a file of one or its bytes"):
            prepare(broken)
    graph.node[0].input[0] = "q"
    with pytest.raises(ArgumentError, match="expected a value 'q' before the node that reads it"):
        prepare(helper.make_model(graph), backend="numpy").run([X])


def test_what_is_not_covered_is_refused_or_falls_back_where_allowed() -> None:
    names = np.asarray(["a b", "c"], object)
    node = helper.make_node("StringConcat", ["x", "x"], ["y"])
    made = model([node], {"x": names}, ["y"])
    assert uncovered(made) == ("ai.onnx.StringConcat (20)",)
    assert not is_compatible(made)
    with pytest.raises(UncoveredOperatorError, match=r"StringConcat \(20\)"):
        prepare(made)
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pk.reset_stats()
    (y,) = prepare(made, fallback=True).run([names])
    assert y.tolist() == ["a ba b", "cc"]
    assert pk.stats().fallbacks == {"StringConcat: computed outside portkernel": 1}


def test_subgraphs_see_the_values_around_them() -> None:
    x = draw(4)
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "x"], ["t"]), helper.make_node("Identity", ["c"], ["d"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("c", TensorProto.BOOL, []),
         helper.make_tensor_value_info("s", TensorProto.FLOAT, [4])],
        [onnx.ValueInfoProto(name="d"), onnx.ValueInfoProto(name="t")],
    )  # fmt: skip
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)
    made = model([node], {"x": x}, ["y"], constants={"n": np.asarray(3)})
    assert np.allclose(prepare(made, backend="numpy").run([x])[0], 4 * x)


@pytest.mark.filterwarnings("ignore")  # of the suite, which divides by zero while it makes its cases
def test_the_projects_own_runner_takes_the_backend() -> None:
    import unittest

    suite = onnx.backend.test.runner.Runner(Backend, __name__).include("test_(relu|gemm_all_attributes|string_concat)_")
    result = unittest.TestResult()
    suite.test_suite.run(result)
    assert not result.errors
    assert not result.failures
    ran = result.testsRun - len(result.skipped)
    assert ran == 3  # relu, its expanded body, gemm
    assert sum("StringConcat" in why for _, why in result.skipped) == 5


def test_attention_is_one_kernel_where_it_can_be() -> None:
    q, k, v = draw(2, 4, 33, 17), draw(2, 2, 65, 17), draw(2, 2, 65, 9)
    for given, inputs in (({}, [q, k, v]), ({"softcap": 2.0}, [q, k, v]), ({"is_causal": 1}, [q, k, v])):
        names = ["q", "k", "v"]
        node = helper.make_node("Attention", names, ["y"], **given)
        made = model([node], dict(zip(names, inputs, strict=True)), ["y"], opset=23)
        rep = prepare(made, backend="numpy")
        rep.watch = True
        (y,) = rep.run(inputs)
        assert (len(rep.ran) == 1) == ("softcap" not in given)
        scores = np.einsum("bhsd,bhtd->bhst", q.astype(np.float64), k.repeat(2, 1)) / np.sqrt(17)
        if "softcap" in given:
            scores = 2 * np.tanh(scores / 2)
        if "is_causal" in given:
            scores = np.where(np.arange(65) <= np.arange(33)[:, None], scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        want = (weights / weights.sum(-1, keepdims=True)) @ v.repeat(2, 1)
        assert np.allclose(y, want, rtol=1e-4, atol=1e-4)


def test_weights_are_read_once_and_can_be_given() -> None:
    x, w = draw(3, 5), draw(5, 4)
    made = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": x, "w": w}, ["y"], constants={"w": w})
    rep = prepare(made, backend="numpy")
    assert np.allclose(rep.run([x])[0], x @ w, rtol=1e-5, atol=1e-5)
    assert np.allclose(rep.run([x, 2 * w])[0], 2 * x @ w, rtol=1e-5, atol=1e-5)
    assert np.allclose(rep.run({"x": x})[0], x @ w, rtol=1e-5, atol=1e-5)


def test_a_missing_launch_is_no_pass() -> None:
    """A node that returns elements without a launch is seen as such."""
    from portkernel.integrations.onnx import registry

    found = registry.TABLE[("", "Relu")]
    fake = registry.Implementation(
        "Relu", "", 1, registry.LATEST, lambda x: np.maximum(x, 0), registry.Work.KERNELS, False
    )
    case = next(c for c in node_cases() if c.name == "test_relu")
    registry.TABLE["", "Relu"] = [fake]
    try:
        assert run_case(case, "numpy") == ("unlaunched", "Relu")
    finally:
        registry.TABLE["", "Relu"] = found
    assert run_case(case, "numpy")[0] == "launched"


def test_the_table_has_denominators() -> None:
    outcomes = [Outcome("a", "Relu", "launched", "", "passed"), Outcome("b", "Relu", "refused", "why", "wrong")]
    assert "| Relu | 2 | 1 | 0 | 1 | 1 refused |" in table(outcomes)
