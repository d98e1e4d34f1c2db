"""Short launches on the calling thread: which way they go, and that PoCL takes the program either way."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import numpy as np
import pytest

import portkernel as pk
from portkernel.runtime import opencl_alone, platforms, pocl
from portkernel.runtime.opencl_alone import TRIES, WARM_UP, Trial

GRID = (4, 1, 1)
EACH = WARM_UP + TRIES


class Way:
    def __init__(self, seconds: float) -> None:
        self.seconds, self.runs = seconds, 0

    def __call__(self, grid, values, owners) -> None:
        self.runs += 1
        time.sleep(self.seconds)


@pytest.fixture
def no_limit(monkeypatch):
    monkeypatch.setattr(opencl_alone, "SHORT", math.inf)
    monkeypatch.setattr(opencl_alone, "on_calling_thread", lambda loaded: loaded)


def run(trial: Trial, times: int, grid=GRID) -> None:
    for _ in range(times):
        trial(grid, (), ())


@pytest.mark.parametrize(("pooled", "alone"), [(0.004, 0.0), (0.0, 0.004)])
def test_the_sooner_way_is_kept(no_limit, pooled, alone):
    ways = Way(pooled), Way(alone)
    run(Trial("program", ways[0], lambda program: ways[1]), 2 * EACH + 7)
    sooner, later = sorted(ways, key=lambda way: way.seconds)
    assert (sooner.runs, later.runs) == (EACH + 7, EACH)


def test_another_grid_is_tried_anew(no_limit):
    pooled, alone = Way(0.004), Way(0.0)
    trial = Trial("program", pooled, lambda program: alone)
    run(trial, 2 * EACH)
    run(trial, EACH, (5, 1, 1))
    assert (pooled.runs, alone.runs) == (2 * EACH, EACH)


def test_a_long_launch_is_never_tried_alone():
    pooled = Way(2 * opencl_alone.SHORT / 1e9)
    run(Trial("program", pooled, lambda program: pytest.fail("made")), 2 * EACH)
    assert pooled.runs == 2 * EACH


def test_where_the_program_is_refused_the_workers_keep_it(no_limit, monkeypatch):
    monkeypatch.setattr(opencl_alone, "on_calling_thread", lambda loaded: None)
    pooled = Way(0.0)
    run(Trial("program", pooled, lambda program: pytest.fail("made")), 2 * EACH)
    assert pooled.runs == 2 * EACH


def test_marks_of_binaries():
    binary = b"poclbin\0" + bytes(16)
    assert pocl.marked(binary, b"12345678") == b"poclbin\x0012345678" + bytes(8)
    for other in (b"", b"poclbin\0", b"\x7fELF" + bytes(60)):
        with pytest.raises(ValueError, match="not a binary of PoCL"):
            pocl.marked(other, b"12345678")


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


def test_results_are_the_same_either_way(no_limit, monkeypatch):
    pocl_devices()
    monkeypatch.undo()
    monkeypatch.setattr(opencl_alone, "SHORT", math.inf)
    made = []
    taken = opencl_alone.on_calling_thread
    monkeypatch.setattr(opencl_alone, "on_calling_thread", lambda loaded: made.append(taken(loaded)) or made[-1])
    x = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
    results = []
    for _ in range(2 * EACH + 2):
        out = np.full_like(x, np.nan)
        rows_alone[(8,)](x, out, backend="opencl", device="Portable")
        results.append(out)
    assert len(made) == 1
    assert made[0] is not None
    assert pocl.is_alone(made[0].handle.device)
    assert all(np.array_equal(results[0], r) for r in results)


THREADS_ON_BASIC = """
import threading
import numpy as np
import portkernel as pk

@pk.kernel
def add(x, out, C: pk.constexpr[int], B: pk.constexpr[int] = 256):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) + C)

def run(c):
    x = np.arange(1 << 18, dtype=np.float32)
    out = np.empty_like(x)
    for _ in range(100):
        out.fill(np.nan)
        add[(1024,)](x, out, C=c, backend="opencl", device="basic")
        assert (out == x + c).all()
    done.append(c)

done = []
threads = [threading.Thread(target=run, args=(c % 4,)) for c in range(8)]
for t in threads: t.start()
for t in threads: t.join()
assert sorted(done) == [0, 0, 1, 1, 2, 2, 3, 3], done
"""


def test_threads_do_not_wait_for_each_other_for_ever(tmp_path):
    """Two of them in PoCL's device without workers at once: each would wait for a lock of the other's."""
    pocl_devices()
    path = tmp_path / "threads.py"
    path.write_text(THREADS_ON_BASIC)
    subprocess.run([sys.executable, path], timeout=60, check=True)
