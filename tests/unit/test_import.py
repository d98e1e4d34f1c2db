"""``import portkernel`` needs NumPy alone, and touches no device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPTIONAL = ("cupy", "pyopencl", "triton", "torch", "ml_dtypes", "onnx", "rich", "click", "hypothesis", "pytest", "jax")
DEVICE = ("cupy", "pyopencl", "triton", "torch", "cuda")

BLOCKED = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Block())
"""
MEASURE = """
import json, sys, time
import numpy
start = time.perf_counter()
import portkernel as pk
took = time.perf_counter() - start
print(json.dumps({"seconds": took, "modules": sorted(m.split(".")[0] for m in sys.modules if "." not in m)}))
"""
KERNEL = """
import numpy as np
import portkernel as pk

@pk.kernel
def add(x, y, out, B: pk.constexpr[int] = 64):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) + pk.load(y, (i,), (B,)))

x = np.arange(100, dtype=np.float32)
out = np.full_like(x, np.nan)
add[(2,)](x, x, out)
assert (out == 2 * x).all()
for backend in ("opencl", "triton", "cuda"):
    assert add.source(x, x, out, backend=backend)
    try:
        add[(2,)](x, x, out, backend=backend)
    except pk.errors.MissingDependencyError as error:
        assert "portkernel[" in error.hint, error.hint
    else:
        raise AssertionError(backend + " ran without its package")
"""


def _python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "script.py"
    file.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PORTKERNEL_CACHE_DIR": ""}
    environment.pop("PORTKERNEL_BACKEND", None)
    return subprocess.run([sys.executable, str(file)], capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.parametrize("prelude", ["", BLOCKED], ids=["as installed", "NumPy alone"])
def test_import_loads_no_device_package(prelude: str, tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    done = _python(prelude + MEASURE, tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not set(DEVICE) & set(found["modules"])
    record_property("import_seconds", found["seconds"])
    print(f"import portkernel: {found['seconds'] * 1e3:.0f} ms after NumPy (budget: 200 ms)")


def test_kernels_run_on_numpy_alone(tmp_path: Path) -> None:
    done = _python(BLOCKED + KERNEL, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_command_says_what_to_install(tmp_path: Path) -> None:
    done = _python(BLOCKED + "import runpy\nrunpy.run_module('portkernel', run_name='__main__')\n", tmp_path)
    assert done.returncode == 2
    assert 'pip install "portkernel[report]"' in done.stderr
