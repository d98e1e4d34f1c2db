"""What the worker makes of a call: states, errors, evidence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from coverage_kit import NUMPY, FakeKernel, make_entry, step

import portkernel as pk
from portkernel.coverage import evidence, judge, trials, worker
from portkernel.coverage.evidence import Evidence, describe
from portkernel.coverage.model import Errors
from portkernel.coverage.peers import PEERS
from portkernel.coverage.rows import all_rows
from portkernel.coverage.states import State
from portkernel.dtypes import bfloat16, float16, float32
from portkernel.errors import ArgumentDTypeError, NoDeviceError, UnsupportedDTypeError
from portkernel.runtime.identity import Identity


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    worker.prepare.cache_clear()
    yield
    worker.prepare.cache_clear()


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> dict[str, Evidence]:
    """What the counters are made to say; one launch on OpenCL at first."""
    said = {"": Evidence({("k", "opencl"): 1})}
    monkeypatch.setattr(worker, "observe", lambda call: (call(), said[""]))
    monkeypatch.setattr(worker, "emulation", lambda step: ("", ()))
    return said


def use(monkeypatch: pytest.MonkeyPatch, kernel: FakeKernel, cases: str = "a") -> None:
    monkeypatch.setattr(trials.catalog, "find", lambda name: make_entry(kernel, cases))


@pytest.mark.parametrize(
    ("kernel", "state", "reason"),
    [
        (FakeKernel(), State.NATIVE, ""),
        (FakeKernel(wrong=1e-3), State.WRONG, "times its bound"),
        (FakeKernel(wrong=np.nan), State.WRONG, "times its bound"),
        (FakeKernel(error=ValueError("no\nmore")), State.WRONG, "ValueError: no"),
        (FakeKernel(error=UnsupportedDTypeError("no float64")), State.UNSUPPORTED, "no float64"),
        (FakeKernel(error=ArgumentDTypeError("expected a float")), State.UNSUPPORTED, "expected a float"),
        (FakeKernel(error=NoDeviceError("gone")), State.UNTESTED, "gone"),
    ],
)
@pytest.mark.usefixtures("launched")
def test_states(monkeypatch: pytest.MonkeyPatch, kernel: FakeKernel, state: State, reason: str) -> None:
    use(monkeypatch, kernel, "ab")
    outcome = worker.perform(step())
    assert outcome.state is state
    assert reason in outcome.reason and bool(reason) == bool(outcome.reason)
    if state is State.NATIVE:
        assert outcome.errors is not None and outcome.errors.of_bound <= 1 and outcome.errors.cases == 2
        assert outcome.launches == {"k": 2}


@pytest.mark.parametrize(
    ("said", "to"),
    [
        (Evidence({("k", "opencl"): 1}, ("host arrays run on NumPy",)), "the host"),
        (Evidence({("k", "opencl"): 1, ("k", "numpy"): 1}), "numpy"),
        (Evidence(), "the host"),
    ],
)
def test_a_right_result_without_evidence_is_a_fallback(
    monkeypatch: pytest.MonkeyPatch, launched: dict[str, Evidence], said: Evidence, to: str
) -> None:
    use(monkeypatch, FakeKernel())
    launched[""] = said
    outcome = worker.perform(step())
    assert outcome.state is State.FALLBACK and outcome.to == to and outcome.reason


def test_nothing_needs_a_launch_for_no_elements_or_a_view() -> None:
    x = np.ones((2, 3))
    trial = trials.Trial("a", lambda route: {}, dict, dict, 6, inputs=(x,))
    assert worker.fell_back("opencl", Evidence(), {"out": np.empty((0, 3))}, trial) is None
    assert worker.fell_back("opencl", Evidence(), {"out": x.T}, trial) is None
    assert worker.fell_back("opencl", Evidence(), {"out": x.copy()}, trial) is not None


@pytest.mark.usefixtures("launched")
def test_results_of_an_earlier_column_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel()
    use(monkeypatch, kernel)
    assert worker.perform(step()).state is State.NATIVE
    kernel.__class__ = type("Lazy", (FakeKernel,), {"__getitem__": lambda self, grid: lambda *args, **route: None})
    assert worker.perform(step()).state is State.WRONG


def test_measuring_alternates_with_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeKernel())
    monkeypatch.setattr(worker, "MEASURE_SECONDS", 0.0)
    outcome = worker.perform(step(mode="measure"))
    assert outcome.seconds is not None and outcome.seconds > 0
    assert outcome.peer_seconds is None and not outcome.peer  # there is no peer of that name
    calls: list[str] = []
    ours, theirs = worker.alternate(lambda: calls.append("a"), lambda: calls.append("b"))
    assert calls == ["a", "b", "a", "b"] and ours > 0 and theirs is not None


@pytest.mark.parametrize(
    ("most", "chosen"), [(0, "abcde"), (1, "a"), (2, "ae"), (3, "ace"), (4, "abde"), (5, "abcde"), (9, "abcde")]
)
def test_cases_are_spread(most: int, chosen: str) -> None:
    assert "".join(trials.spread("abcde", most)) == chosen


def test_a_real_kernel_on_numpy() -> None:
    outcome = worker.perform(step("vector_add", column=NUMPY))
    assert outcome.state is State.NATIVE and outcome.launches["vector_add"] == outcome.errors.cases  # type: ignore[union-attr]
    assert outcome.route.startswith("vector_add B") and outcome.route.endswith(" on numpy")


def test_compiling_names_the_kernels_and_runs_nothing() -> None:
    from coverage_kit import SM90

    pytest.importorskip("cupy", reason="NVRTC comes with the cuda extra")
    outcome, said = evidence.observe(lambda: worker.perform(step("vector_add", "compile", SM90)))
    assert outcome.state is State.COMPILED and outcome.launches == {"vector_add": 1}
    assert not said.launches


def test_what_kernels_use() -> None:
    product = worker.computes("kernel", "matmul", "float16")
    assert "dot" in product.uses and "accumulate" in product.uses
    assert worker.computes("kernel", "vector_add", "float32").uses == ()


# --- errors -------------------------------------------------------------------------------------------------


def test_errors_are_the_largest_of_each_kind() -> None:
    want = np.array([1.0, 100.0, np.inf, 0.0])
    got = np.array([1.0 + 2**-20, 100.0, np.inf, 1e-9], np.float32)
    found = judge.compare(got, want, np.array([1e-5, 1e-5, 0, 1e-8]), "a")
    assert found.of_bound == pytest.approx(0.1, rel=0.1) and found.bound in (1e-5, 1e-8)
    assert found.absolute == pytest.approx(2**-20) and found.relative == pytest.approx(2**-20)
    assert found.ulp >= 8


@pytest.mark.parametrize(("dtype", "x", "step_"), [(float32, 1.0, 2**-23), (float16, 1.5, 2**-10), (bfloat16, -4.0, 2**-5),
                                                   (float16, 0.0, 2**-24), (float32, 1e-45, 2.0**-149)])  # fmt: skip
def test_units_in_the_last_place(dtype, x: float, step_: float) -> None:
    assert judge.spacing(np.array([x]), dtype)[0] == step_


def test_wrong_shapes_and_integers() -> None:
    assert judge.compare(np.zeros(3), np.zeros(4), np.zeros(4)).of_bound == np.inf
    off = judge.compare(np.array([1, 5], np.uint8), np.array([1, 7]), np.zeros(2))
    assert off.of_bound == np.inf and off.absolute == 2
    assert judge.compare(np.zeros(0, np.float32), np.zeros(0), np.zeros(0)).of_bound == 0


def test_merging_keeps_the_case_closest_to_its_bound() -> None:
    merged = judge.merge(Errors(0.5, 9.0, 0, 1, 1e-3, "near", 1), Errors(0.1, 1.0, 7, 0, 1.0, "far", 1))
    assert merged == Errors(0.5, 9.0, 7, 1, 1e-3, "near", 2)
    assert np.isnan(judge.merge(Errors(0.5), Errors(float("nan"), case="nan")).of_bound)


# --- peers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PEERS))
def test_peers_of_kernels_compute_the_same(name: str) -> None:
    (row,) = (row for row in all_rows() if row.kind == "kernel" and row.name == name)  # no operator reaches it
    for dtype in row.dtypes:
        trial = trials.trials(row.kind, row.id, dtype)[0]
        assert trial.peer_name == "numpy" and trial.peer is not None
        (want,) = trial.reference().values()
        np.testing.assert_allclose(np.asarray(trial.peer(), np.float64), want, rtol=0.02)


@pytest.mark.parametrize(
    ("name", "peer"), [("add", "numpy"), ("gelu", "torch"), ("softmax", "torch"), ("elementwise", "")]
)
def test_peers_are_those_whose_words_an_operator_follows(name: str, peer: str) -> None:
    pytest.importorskip("torch", reason="a peer")
    from portkernel.coverage.operators import operator_trials

    trial = operator_trials(name, "float32")[0]
    assert trial.peer_name == peer and (trial.peer is not None) == bool(peer)
    if trial.peer is not None:
        bound = trial.bound()["out"]
        assert np.all(np.abs(np.asarray(trial.peer()) - trial.reference()["out"]) <= 64 * np.maximum(bound, 1e-6))


def test_host_code_chooses_for_the_target_that_is_asked_about() -> None:
    seen: list[str] = []

    def call() -> None:
        seen.append(pk.target_of(np.zeros(3), backend="hip").name)

    describe(call, "amd-mi300x")
    assert seen == ["amd-mi300x"]
    with pytest.raises(NoDeviceError):  # afterwards, and without a target, a device is asked for
        call()


def test_a_device_is_named_with_its_place() -> None:
    assert Identity("pocl:1", "1", "pthread-AMD EPYC", "3.0", "").label == "pocl:1: pthread-AMD EPYC"
    assert Identity("nvidia-h100-pcie", "0", "NVIDIA H100 PCIe", "13.0", "").label == "NVIDIA H100 PCIe"
