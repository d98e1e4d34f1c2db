"""``pk.capture``: what it repeats, on which memory, and what it refuses."""

import gc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import portkernel as pk
from portkernel import errors
from portkernel.kernels.elementwise import elementwise
from portkernel.kernels.matmul import matmul
from portkernel.kernels.softmax import softmax
from portkernel.runtime.captured import Captured

RNG = np.random.default_rng(5)
BACKENDS = ["numpy", "opencl"]


def sample(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture(params=BACKENDS, autouse=True)
def _route(request):
    if request.param == "opencl":
        pytest.importorskip("pyopencl")
    with pk.use(backend=request.param):
        yield


@pk.kernel
def scale(x, out, factor, B: pk.constexpr[int] = 16):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) * factor)


@pk.kernel
def at_least(x, out, B: pk.constexpr[int] = 16):
    i = pk.program_id(0)
    v = pk.load(x, (i,), (B,))
    pk.device_assert((v >= 0).all(), "negative")
    pk.store(out, (i,), v)


def layers(x, w, v):
    return softmax(matmul(matmul(x, w, activation="relu"), v))


def reference(x, w, v):
    y = np.maximum(x.astype(np.float64) @ w, 0) @ v
    e = np.exp(y - y.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_replays_follow_the_arguments_memory():
    x, w, v = sample(5, 9), sample(9, 33), sample(33, 7)
    captured = pk.capture(layers, x, w, v)
    assert len(captured.launches) >= 3
    for _ in range(3):
        x[...] = sample(5, 9)
        got = captured.replay()
        assert got is captured.result
        np.testing.assert_allclose(got, reference(x, w, v), atol=2e-5)


def test_other_arguments_are_copied_in():
    x, w, v = sample(5, 9), sample(9, 33), sample(33, 7)
    captured = pk.capture(layers, x, w, v)
    y = sample(10, 9)[::2]
    np.testing.assert_allclose(captured(y, w, v), reference(y, w, v), atol=2e-5)
    np.testing.assert_array_equal(x, y)


def test_intermediate_memory_lives_as_long_as_the_capture():
    x, w, v = sample(5, 9), sample(9, 33), sample(33, 7)
    captured = pk.capture(layers, x, w, v)
    for _ in range(5):
        gc.collect()
        poison = [np.full((5, 33), np.nan, np.float32) for _ in range(50)]
        np.testing.assert_allclose(captured.replay(), reference(x, w, v), atol=2e-5)
        assert np.isnan(poison).all()


def test_tensors():
    x, w, v = (torch.from_numpy(sample(*s)) for s in ((5, 9), (9, 33), (33, 7)))
    captured = pk.capture(layers, x, w, v)
    y = torch.from_numpy(sample(5, 9))
    got = captured(y, w, v)
    assert type(got) is torch.Tensor
    np.testing.assert_allclose(got, reference(y.numpy(), w.numpy(), v.numpy()), atol=2e-5)


def test_kernels_and_scalars_and_outputs():
    x, out = sample(40), np.empty(40, np.float32)

    def step(x, out, factor):
        scale[(3,)](x, out, factor)

    captured = pk.capture(step, x, out, 2.0)
    out[:] = np.nan
    assert captured.replay() is None
    np.testing.assert_array_equal(out, 2 * x)
    with pytest.raises(errors.CaptureError, match=r"captured\(\): argument 2: expected 2.0, as captured, got 3.0"):
        captured(x, out, 3.0)
    with pytest.raises(errors.CaptureError, match="argument 1: expected the array of the capture, which is written to"):
        captured(x, out.copy(), 2.0)
    with pytest.raises(errors.ArgumentShapeError, match=r"argument 0: expected shape \(40,\), got \(41,\)"):
        captured(sample(41), out, 2.0)
    with pytest.raises(errors.ArgumentDTypeError, match="argument 0: expected float32, got float64"):
        captured(x.astype(np.float64), out, 2.0)
    with pytest.raises(errors.CaptureError, match="expected 3 arguments, got 1"):
        captured(x)


def test_what_is_written_has_been_written_once():
    x = np.ones(16, np.float32)
    work = np.empty_like(x)

    def twice(x):
        scale[(1,)](x, work, 2.0)
        scale[(1,)](work, x, 1.0)

    captured = pk.capture(twice, x)
    np.testing.assert_array_equal(x, 2)
    captured.replay()
    np.testing.assert_array_equal(x, 4)


def test_an_empty_grid_launches_nothing():
    x, out = sample(40), np.zeros(40, np.float32)

    def some(x, out):
        scale[(0,)](x, out, 2.0)
        scale[(1,)](x, out, 2.0)

    pk.capture(some, x, out).replay()
    np.testing.assert_array_equal(out, np.where(np.arange(40) < 16, 2 * x, 0))


def test_launches_are_counted():
    x, w, v = sample(5, 9), sample(9, 33), sample(33, 7)
    captured = pk.capture(layers, x, w, v)
    pk.reset_stats()
    for _ in range(3):
        captured.replay()
    launches = pk.stats().launches
    assert sum(launches.values()) == 3 * len(captured.launches)


def test_device_assertions_hold():
    x, out = np.ones(16, np.float32), np.empty(16, np.float32)
    captured = pk.capture(at_least[(1,)], x, out)
    x[3] = -1
    with pytest.raises(errors.DeviceAssertionError, match="negative"):
        captured.replay()
    x[3] = 1
    captured.replay()
    np.testing.assert_array_equal(out, 1)


def test_work_between_the_launches_is_refused():
    x, w = sample(8, 8), sample(8, 8)

    def with_temporary(x):
        return matmul(np.tanh(matmul(x, w)), w)

    def in_place(x):
        y = matmul(x, w)
        y += 1
        return softmax(y)

    def own_result(x):
        return softmax(x) + 1

    def number(x):
        return float(softmax(x)[0, 0])

    def by_data(x):
        state.append(1)
        return softmax(x, axis=len(state) % 2)

    def nothing(x):
        return x

    state = []
    for fn, what in (
        (with_temporary, "expected the same launches from every run"),
        (in_place, "expected its launches alone to give what it gives"),
        (own_result, "expected it to return arrays that operators made, got ndarray"),
        (number, "got float of its own making"),
        (by_data, "expected the same launches"),
        (nothing, "got one without a launch"),
    ):
        with pytest.raises(errors.CaptureError, match=what):
            pk.capture(fn, x)


def test_host_work_of_the_library_is_refused():
    from portkernel.kernels.matmul import grouped_matmul

    a, b = sample(6, 4), sample(2, 4, 3)
    with pytest.raises(errors.CaptureError, match="reads an array on the host"):
        pk.capture(lambda a, b: grouped_matmul(a, b, np.array([0, 2, 6])), a, b)


def test_a_failure_leaves_no_recorder_behind():
    x = sample(8, 8)
    with pytest.raises(errors.ArgumentShapeError):
        pk.capture(lambda x: softmax(x, axis=7), x)
    from portkernel.runtime.observation import OBSERVED

    assert OBSERVED.recorder is None


def test_results_in_containers():
    x = sample(4, 6)
    captured = pk.capture(lambda x: {"a": softmax(x), "b": [elementwise(lambda v: v + 1, x), None]}, x)
    x[...] = 0
    got = captured.replay()
    np.testing.assert_allclose(got["a"], np.full((4, 6), 1 / 6), rtol=1e-6)
    np.testing.assert_array_equal(got["b"][0], np.ones((4, 6)))


def test_a_replay_that_fails_waits_for_every_queue() -> None:
    said: list[str] = []

    def launch(queue: str, fails: bool = False) -> SimpleNamespace:
        def start() -> None:
            if fails:
                raise RuntimeError("the driver refused")
            said.append(f"start {queue}")

        made = SimpleNamespace(
            deferrable=True, handle=queue, fixed=lambda *a: start, wait=lambda: said.append(f"wait {queue}")
        )
        return SimpleNamespace(sizes=(1, 1, 1), plan=SimpleNamespace(launch=made, kernel=queue, counter=[0]))

    steps = [launch("a"), launch("b"), launch("b", fails=True)]
    recorder: Any = SimpleNamespace(steps=steps, calls=[((), ())] * 3)
    with pytest.raises(RuntimeError, match="refused"):
        Captured((), recorder, None).replay()
    assert said == ["start a", "wait a", "start b", "wait a", "wait b"]
