"""Short launches on the calling thread: which way they go, and that drivers take the program either way."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import portkernel as pk
from portkernel.runtime import opencl_alone, platforms, pocl, stack
from portkernel.runtime.opencl_alone import TRIES, WARM_UP, Trial

GRID = (4, 1, 1)
EACH = WARM_UP + TRIES


class Way:
    """A launch that takes ``seconds``, and ``at_first`` for as many runs as a trial makes of it."""

    def __init__(self, seconds: float, at_first: float | None = None) -> None:
        self.seconds, self.at_first, self.runs = seconds, seconds if at_first is None else at_first, 0

    def __call__(self, grid, values, owners) -> None:
        time.sleep(self.at_first if self.runs < EACH else self.seconds)
        self.runs += 1


@pytest.fixture
def taken(monkeypatch):
    monkeypatch.setattr(opencl_alone, "on_calling_thread", lambda loaded: loaded)


def trial_of(pooled: Way, alone: Callable[[object], Way], short: float = math.inf, stack: int = 0) -> Trial:
    source = SimpleNamespace(private_bytes=stack, target=SimpleNamespace(units=2))
    return Trial(SimpleNamespace(source=source), pooled, alone, short)


def run(trial: Trial, times: int, grid=GRID) -> None:
    for _ in range(times):
        trial(grid, (), ())


@pytest.mark.parametrize(("pooled", "alone"), [(0.004, 0.0), (0.0, 0.004)])
def test_the_sooner_way_is_kept(taken, pooled, alone):
    ways = Way(pooled), Way(alone)
    run(trial_of(ways[0], lambda program: ways[1]), 2 * EACH + 7)
    sooner, later = sorted(ways, key=lambda way: way.seconds)
    assert (sooner.runs, later.runs) == (EACH + 7, EACH)


def test_what_was_found_holds_for_a_while(taken, monkeypatch):
    """Workers that shared a core at first get another chance, and keep it four times as long."""
    monkeypatch.setattr(opencl_alone, "HOLDS", 5)
    pooled, alone = Way(0.0, at_first=0.004), Way(0.002)
    trial = trial_of(pooled, lambda program: alone)
    run(trial, 2 * EACH)
    run(trial, 5)
    assert (pooled.runs, alone.runs) == (EACH, EACH + 5)
    run(trial, 2 * EACH + 20)
    assert (pooled.runs, alone.runs) == (2 * EACH + 20, 2 * EACH + 5)
    run(trial, EACH)
    assert (pooled.runs, alone.runs) == (3 * EACH + 20, 2 * EACH + 5)


def test_another_grid_is_tried_anew(taken):
    pooled, alone = Way(0.004), Way(0.0)
    trial = trial_of(pooled, lambda program: alone)
    run(trial, 2 * EACH)
    run(trial, EACH, (5, 1, 1))
    assert (pooled.runs, alone.runs) == (2 * EACH, EACH)


def test_a_long_launch_is_never_tried_alone():
    pooled = Way(0.002)
    run(trial_of(pooled, lambda program: pytest.fail("made"), short=1_000_000), 2 * EACH)
    assert pooled.runs == 2 * EACH


def test_where_the_program_is_refused_the_workers_keep_it(monkeypatch):
    asked = []
    monkeypatch.setattr(opencl_alone, "on_calling_thread", asked.append)
    monkeypatch.setattr(opencl_alone, "HOLDS", 1)
    pooled = Way(0.0)
    run(trial_of(pooled, lambda program: pytest.fail("made")), 4 * EACH)
    assert pooled.runs == 4 * EACH
    assert len(asked) == 1


def test_marks_of_binaries():
    binary = b"poclbin\0" + bytes(16)
    assert pocl.marked(binary, b"12345678") == b"poclbin\x0012345678" + bytes(8)
    for other in (b"", b"poclbin\0", b"\x7fELF" + bytes(60)):
        with pytest.raises(ValueError, match="not a binary of PoCL"):
            pocl.marked(other, b"12345678")


AFFINITIES = """
import os
from portkernel.runtime import platforms
platforms.all_devices()
cpus = [os.sched_getaffinity(int(t)) for t in os.listdir("/proc/self/task")]
print(sorted(min(c) for c in cpus if len(c) == 1))
"""


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2, reason="one CPU")
def test_each_worker_has_a_cpu_of_its_own():
    pocl_devices()

    def pinned(**settings: str) -> str:
        env = {**os.environ, **settings}
        return subprocess.run(
            [sys.executable, "-c", AFFINITIES], env=env, timeout=60, check=True, capture_output=True
        ).stdout.decode()

    assert pinned() == f"{sorted(os.sched_getaffinity(0))}\n"
    assert pinned(POCL_AFFINITY="0") == "[]\n"
    assert pinned(POCL_MAX_PTHREAD_COUNT="1") == "[]\n"


def pocl_devices() -> list[object]:
    pytest.importorskip("pyopencl")
    found = [d for d in platforms.all_devices() if "PoCL" in d.version]
    if not any(pocl.is_alone(d) for d in found):
        pytest.skip("PoCL shows no device without workers")
    return found


def test_the_device_without_workers_is_taken_only_by_name():
    names = [d.name for d in pocl_devices()]
    assert not names[0].startswith("basic")
    shown = [d.name for d in pk.runtime.driver.find("opencl").devices()]
    assert not any(name.startswith("basic") for name in shown)


@pk.kernel
def rows_alone(x, out, B: pk.constexpr[int] = 16):
    i = pk.program_id(0)
    v = pk.load(x, (i, 0), (1, B))
    pk.store(out, (i, 0), pk.exp(v - v.max(axis=1)[:, None]))


def device_with_workers(name: str) -> str:
    """Part of the name of a device whose launches the calling thread can run as well; skips where there is none."""
    pytest.importorskip("pyopencl")
    if not any(name in d.platform.name for d in platforms.all_devices()):
        pytest.skip(f"no device of {name}")
    if name == "Portable":
        pocl_devices()
    return name


@pytest.mark.parametrize("name", ["Portable", "Intel"])
def test_results_are_the_same_either_way(monkeypatch, name):
    name = device_with_workers(name)
    monkeypatch.setattr(opencl_alone, "SHORT", dict.fromkeys(opencl_alone.SHORT, math.inf))
    made = []
    taken = opencl_alone.on_calling_thread
    monkeypatch.setattr(opencl_alone, "on_calling_thread", lambda loaded: made.append(taken(loaded)) or made[-1])
    x = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
    results = []
    for _ in range(2 * EACH + 2):
        out = np.full_like(x, np.nan)
        rows_alone[(8,)](x, out, backend="opencl", device=name)
        results.append(out)
    assert len(made) == 1
    assert made[0] is not None
    assert made[0].handle.alone
    assert opencl_alone.short_on(made[0].handle) == 0
    assert all(np.array_equal(results[0], r) for r in results)


def test_small_stacks_leave_it_to_the_workers(taken):
    """A driver puts a program's arrays on the stack of the thread that runs it."""
    pooled, alone = Way(0.004), Way(0.0)
    small, fit = (
        trial_of(pooled, lambda program: alone, stack=1 << 16),
        trial_of(pooled, lambda program: alone, stack=1 << 8),
    )
    with ThreadPoolExecutor(1) as usual:
        usual.submit(run, small, 2 * EACH).result()
    assert (pooled.runs, alone.runs) == (EACH, EACH)
    before = threading.stack_size(1 << 17)
    try:
        with ThreadPoolExecutor(1) as cramped:
            assert not cramped.submit(stack.holds, 1 << 16).result()
            cramped.submit(run, small, 5).result()
            assert (pooled.runs, alone.runs) == (EACH + 5, EACH)
            cramped.submit(run, fit, 2 * EACH).result()
            assert (pooled.runs, alone.runs) == (2 * EACH + 5, 2 * EACH)
    finally:
        threading.stack_size(before)


def test_a_system_that_tells_no_size_gets_the_least(monkeypatch):
    monkeypatch.setattr(stack, "_measured", lambda: 0)
    with ThreadPoolExecutor(1) as fresh:
        assert [fresh.submit(stack.holds, n).result() for n in (1 << 16, (1 << 16) + 1)] == [True, False]


SMALL_STACK = """
import threading
import numpy as np
import portkernel as pk

a = np.random.default_rng(0).standard_normal((160, 160)).astype(np.float32)
out = np.empty_like(a)

def run():
    for _ in range(40):
        pk.ops.matmul(a, a, out=out, backend="opencl", device="Portable")

run()
threading.stack_size(128 << 10)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def test_products_on_a_small_stack():
    pocl_devices()
    subprocess.run([sys.executable, "-c", SMALL_STACK], timeout=100, check=True)


THREADS = """
import sys
import threading
import numpy as np
import portkernel as pk
from portkernel.runtime import opencl_alone

def alone(self):
    self._alone = self._make(opencl_alone.on_calling_thread(self._loaded))
    self._way, self._left = opencl_alone.ALONE, 1000

opencl_alone.Trial._judge = alone

@pk.kernel
def add(x, out, C: pk.constexpr[int], B: pk.constexpr[int] = 256):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) + C)

def run(c):
    x = np.arange(1 << 18, dtype=np.float32)
    out = np.empty_like(x)
    for _ in range(100):
        out.fill(np.nan)
        add[(1024,)](x, out, C=c, backend="opencl", device=sys.argv[1])
        assert (out == x + c).all()
    done.append(c)

done = []
threads = [threading.Thread(target=run, args=(c % 4,)) for c in range(8)]
for t in threads: t.start()
for t in threads: t.join()
assert sorted(done) == [0, 0, 1, 1, 2, 2, 3, 3], done
"""


@pytest.mark.parametrize("name", ["Portable", "Intel", "basic"])
def test_threads_do_not_wait_for_each_other_for_ever(name, tmp_path):
    """Two of them in PoCL's device without workers at once: each would wait for a lock of the other's."""
    device_with_workers("Portable" if name == "basic" else name)
    path = tmp_path / "threads.py"
    path.write_text(THREADS)
    subprocess.run([sys.executable, path, name], timeout=60, check=True)
