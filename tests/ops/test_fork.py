"""A forked child: it works where nothing was opened before the fork, and says what to do where something was."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("pyopencl")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

SCRIPT = """
import os, sys
import numpy as np
import portkernel as pk
from portkernel.errors import ForkError

x = np.arange(12, dtype=np.float32).reshape(3, 4)
e = np.exp(x - 3 - 4 * np.arange(3, dtype=np.float32)[:, None])
want = e / e.sum(1, keepdims=True)

def right(backend):
    return bool(np.allclose(pk.ops.softmax(x, backend=backend), want, atol=1e-6))

def child(check):
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = check()
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def refused(call):
    try:
        call()
    except ForkError as error:
        return 0 if "fork" in str(error) and "spawn" in str(error) else 71
    return 72

before, captured = sys.argv[1] == "after use", None
if before:
    for _ in range(3):
        assert right("opencl")
    captured = pk.capture(lambda x: pk.ops.softmax(x, backend="opencl"), x)
    assert child(lambda: refused(lambda: pk.ops.softmax(x, backend="opencl"))) == 0, "a replay"
    assert child(lambda: refused(lambda: pk.ops.softmax(x[::-1], backend="opencl"))) == 0, "a new launch"
    assert child(lambda: refused(captured.replay)) == 0, "a capture"
    assert child(lambda: refused(lambda: pk.ops.softmax(x))) == 0, "without a backend"
    assert child(lambda: 0 if right("numpy") else 73) == 0, "numpy"
else:
    assert child(lambda: 0 if all(right("opencl") for _ in range(4)) else 74) == 0, "the child is the first"
assert right("opencl"), "the parent"
print("well")
"""


@pytest.mark.parametrize("when", ["before use", "after use"])
def test_fork(when):
    done = subprocess.run([sys.executable, "-c", SCRIPT, when], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip().endswith("well"), done.stdout + done.stderr
