"""Many threads at once: right results, each kernel compiled once, and Python runs while a kernel does."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import portkernel as pk
from portkernel import config

pytest.importorskip("pyopencl")
THREADS = 8


def softmax(x):
    x = x.astype(np.float64)
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def work(seed: int, start: threading.Barrier) -> float:
    """The largest error of calls on this thread's own arrays, of several signatures."""
    rng = np.random.default_rng(seed)
    worst = 0.0
    start.wait()
    for i in range(30):
        x = rng.standard_normal((4 + i % 3, 37)).astype(np.float32)
        w = rng.standard_normal((37, 11)).astype(np.float32)
        worst = max(worst, float(np.abs(pk.ops.softmax(x) - softmax(x)).max()))
        worst = max(worst, float(np.abs(pk.ops.matmul(x, w) - x.astype(np.float64) @ w).max()))
        worst = max(worst, float(np.abs(pk.ops.cumsum(x, axis=1) - np.cumsum(x.astype(np.float64), 1)).max()))
    return worst


def test_threads_share_operators(tmp_path):
    """In a fresh cache, so that all of them want the same compilations at once."""
    for op in (pk.ops.softmax, pk.ops.matmul, pk.ops.cumsum):
        op.replays.clear()
    start = threading.Barrier(THREADS)
    with config.override(cache_dir=tmp_path / "cache", backend="opencl"):
        settings = config.get()

        def run(seed):
            with config.override(cache_dir=settings.cache_dir, backend="opencl"):
                assert config.get() is settings  # so that threads find each other's plans
                return work(seed, start)

        pk.reset_stats()
        with ThreadPoolExecutor(THREADS) as pool:
            errors = list(pool.map(run, range(THREADS)))
        compiled = pk.stats().compilations
        assert max(errors) < 1e-4
        work(0, threading.Barrier(1))
        assert pk.stats().compilations == compiled <= 8


def test_one_kernel_is_compiled_once(tmp_path):
    @pk.kernel
    def own(x, out, B: pk.constexpr[int] = 16):
        i = pk.program_id(0)
        pk.store(out, (i,), pk.load(x, (i,), (B,)) + 7)

    start = threading.Barrier(THREADS)

    def run(seed):
        x = np.full(64, seed, np.float32)
        out = np.empty_like(x)
        with config.override(cache_dir=tmp_path / "cache", backend="opencl"):
            start.wait()
            for _ in range(20):
                out.fill(np.nan)
                own[(4,)](x, out)
                assert (out == seed + 7).all()

    pk.reset_stats()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, range(THREADS)))
    assert pk.stats().compilations == 1
    assert pk.stats().launches["own", "opencl"] == THREADS * 20


def test_python_runs_while_a_kernel_does():
    """Another thread takes steps during one long launch: it could not if the launch held the interpreter."""
    n = 512
    a, b, out = (np.ones((n, n), np.float32) for _ in range(3))
    with pk.use(backend="opencl"):
        pk.ops.matmul(a, b, out=out)
        began = time.perf_counter()
        pk.ops.matmul(a, b, out=out)
        repeats = max(1, int(0.3 / (time.perf_counter() - began)))
    x = np.ones((repeats, n, n), np.float32)
    result = np.empty_like(x)
    inside: list[float] = []
    done = threading.Event()

    def tick():
        while not done.is_set():
            inside.append(time.perf_counter())
            time.sleep(0.002)

    with pk.use(backend="opencl"):
        pk.ops.matmul(x, b, out=result)
        ticker = threading.Thread(target=tick)
        ticker.start()
        began = time.perf_counter()
        pk.ops.matmul(x, b, out=result)
        ended = time.perf_counter()
        done.set()
        ticker.join()
    steps = sum(began < t < ended for t in inside)
    assert (result == n).all()
    assert steps >= (ended - began) / 0.03, f"{steps} steps in {ended - began:.3f} s"


def test_threads_replay_captures_of_their_own():
    def run(seed):
        x = np.full((5, 16), seed, np.float32)
        w = np.eye(16, dtype=np.float32)
        captured = pk.capture(lambda x: pk.ops.softmax(pk.ops.matmul(x, w)), x)
        for i in range(50):
            x[...] = seed
            x[:, i % 16] += 1
            np.testing.assert_allclose(captured.replay(), softmax(x), rtol=1e-5)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
