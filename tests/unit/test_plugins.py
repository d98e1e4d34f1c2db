"""A backend, its driver and its target from another package, found by their entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGE = """
from portkernel import targets
from portkernel.backends.numpy import NumpyBackend
from portkernel.errors import UnsupportedDTypeError
from portkernel.runtime import numpy
from portkernel.runtime.driver import Device


class EchoBackend(NumpyBackend):
    name = "echo"

    def emit(self, func, target):
        if any(p.type.dtype.name == "float64" for p in func.params):
            raise UnsupportedDTypeError(f"{func.name}(): expected a dtype that {target.name} has, got float64")
        return super().emit(func, target)


class EchoDriver(numpy.Driver):
    name = "echo"

    def devices(self):
        return (Device("echo", "echo", "echo", "cpu"),)

    def device(self, wanted, like):
        return self.devices()[0]

    def target(self, device):
        return targets.find("echo-1")


def profiles():
    return [targets.Target("echo-1", "echo works", "cpu", vector_bytes=64)]
"""

ENTRY_POINTS = """
[portkernel.backends]
echo = echo_backend:EchoBackend
[portkernel.drivers]
echo = echo_backend:EchoDriver
[portkernel.targets]
echo = echo_backend:profiles
"""

PROGRAM = """
import numpy as np
import portkernel as pk
from portkernel import backends, errors, targets
from portkernel.testing import CASES, conformance


@pk.kernel
def double(x, out, B: pk.constexpr[int] = 8):
    pk.store(out, (0,), pk.load(x, (0,), (B,)) * 2)


assert backends.names() == ("numpy", "opencl", "triton", "cuda", "hip", "musa", "echo")
assert targets.find("echo-1").vector_bytes == 64
x = np.arange(8, dtype=np.float32)
text = double.source(x, x, backend="echo", target="echo-1")
assert text.target.vendor == "echo works" and "func double" in text
out = np.empty_like(x)
double[(1,)](x, out, backend="echo")
assert (out == 2 * x).all()
with pk.use(backend="echo"):
    double[(1,)](x, out)
assert pk.stats().launches == {("double", "echo"): 2}

report = conformance("echo", cases=[c for c in CASES if c.name.startswith(("copy", "swap"))])
states = {(row.dtype == "float64", row.state) for row in report.rows}
assert states == {(False, "passed"), (True, "unsupported")}, str(report)

try:
    double.source(x, x, backend="nosuch")
except errors.UnknownBackendError as e:
    assert "echo" in e.hint
else:
    raise AssertionError("an unknown backend must be refused")
print("done")
"""


@pytest.fixture
def distribution(tmp_path: Path) -> Path:
    """A folder with a package installed in it."""
    (tmp_path / "echo_backend.py").write_text(PACKAGE)
    facts = tmp_path / "echo_backend-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-backend\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


def test_a_backend_from_another_package(distribution: Path) -> None:
    program = distribution / "program.py"
    program.write_text(PROGRAM)
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(distribution)))}
    done = subprocess.run([sys.executable, str(program)], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr[-3000:]
