"""Measure what portkernel costs: import, compilation, the disk cache, a launch, and a product against NumPy's.

    python tools/measure_budgets.py            # prints Markdown, for docs/benchmarks.md

Each figure is the median of several runs in this process (imports: of child processes). Run it on idle cores.
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import portkernel as pk
from portkernel import backends, passes, targets
from portkernel.frontend import KernelFn
from portkernel.ir import Tile
from portkernel.kernels.matmul import matmul
from portkernel.kernels.matmul.blocked import matmul_kernel
from portkernel.runtime import driver

TARGETS = {"numpy": "numpy", "opencl": "opencl-cpu", "cuda": "nvidia-h100", "triton": "nvidia-h100"}
_IMPORT = "import numpy, time; t = time.perf_counter(); import portkernel; print(time.perf_counter() - t)"
_SECOND = """
import numpy as np, portkernel as pk
x = np.zeros(4, np.float32)
@pk.kernel
def twice(x, out, B: pk.constexpr[int] = 4):
    pk.store(out, (0,), pk.load(x, (0,), (B,)) * 2)
twice[(1,)](x, np.empty_like(x), backend="opencl")
print(pk.stats().compilations, pk.stats().disk_hits)
"""


def median(run: Callable[[], object], times: int = 15) -> float:
    """Seconds; one run before does not count."""
    run()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def import_seconds() -> float:
    """``import portkernel`` in a new process that has NumPy already."""
    return statistics.median(
        float(subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True).stdout)
        for _ in range(7)
    )


def compile_seconds(backend: str) -> float:
    """Front-end, passes and emission of the matrix product."""
    tensor, scalar = pk.TensorSpec((1024, 1024), "float32").type, Tile((), pk.float32)
    function = KernelFn(matmul_kernel.fn)
    given = [p for p in function.params if not p.constexpr]
    types = {p.name: scalar if p.name in ("alpha", "beta") else tensor for p in given}
    constants = {p.name: p.default for p in function.params if p.constexpr} | {"BM": 64, "BN": 64, "BK": 32}
    emitter, target = backends.find(backend), targets.find(TARGETS[backend])
    return median(lambda: emitter.emit(passes.optimize(function.lower(types, constants)), target), 9)


def second_process() -> str:
    """Compilations and disk hits of the first and of the second process with one cache."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "twice.py"
        program.write_text(_SECOND, encoding="utf-8")
        env = os.environ | {"PORTKERNEL_CACHE_DIR": f"{folder}/cache"}
        runs = [
            subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True, env=env).stdout
            for _ in range(2)
        ]
    return " then ".join("{} compiled, {} from disk".format(*run.split()) for run in runs)


def launch_seconds(device: str) -> float:
    """One launch of a small kernel with three arrays, the driver's own time included."""
    from portkernel.kernels.vector_add import vector_add

    x = np.ones(16, np.float32)
    out = np.empty_like(x)
    bound = vector_add[(1,)]
    return median(lambda: bound(x, x, out, B=16, backend="opencl", device=device), 300)


def product_ratio(device: str, n: int = 1024) -> tuple[float, float]:
    """GFLOP/s of ours, and NumPy's time over ours: the median of interleaved pairs."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((n, n), np.float32) for _ in range(2))
    ours, theirs = np.empty((n, n), np.float32), np.empty((n, n), np.float32)
    times, ratios = [], []
    for turn in range(22):
        start = time.perf_counter()
        matmul(a, b, out=ours, backend="opencl", device=device)
        middle = time.perf_counter()
        np.matmul(a, b, out=theirs)
        end = time.perf_counter()
        if turn > 1:
            times.append(middle - start)
            ratios.append((end - middle) / (middle - start))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    return 2 * n**3 / statistics.median(times) / 1e9, statistics.median(ratios)


def main() -> None:
    load = os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, "
          f"{datetime.date.today()}, NumPy {np.__version__}, Python {platform.python_version()}\n")  # fmt: skip
    print("| what | measured | budget |\n|---|---|---|")
    print(f"| `import portkernel`, NumPy imported before | {import_seconds() * 1e3:.0f} ms | 200 ms |")
    for backend in TARGETS:
        print(
            f"| matmul: front-end, passes, emission for {backend} | {compile_seconds(backend) * 1e3:.1f} ms | 50 ms |"
        )
    print(f"| a second process | {second_process()} | 0 compiled |")
    for device in driver.find("opencl").devices():
        name = "intel" if "Intel" in device.handle.device.platform.name else "pocl"
        print(f"| {name}: one launch, driver included | {launch_seconds(name) * 1e6:.0f} µs | |")
        speed, ratio = product_ratio(name)
        print(f"| {name}: matmul 1024³ float32 | {speed:.0f} GFLOP/s, {ratio:.2f} of NumPy's speed | 0.5 |")


if __name__ == "__main__":
    main()
