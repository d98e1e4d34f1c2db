"""HIP and MUSA text: compiled for AMD's GPUs where a clang is here, executed on the CPU by the emulation header."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import portkernel as pk
from portkernel import backends, catalog, config, errors, ir, targets
from portkernel.catalog import Entry, Problem
from portkernel.dtypes import as_dtype
from portkernel.runtime import driver, inspection

sys.path.insert(0, str(Path(__file__).parents[1] / "emulation"))

import harness

HIP = driver.find("hip")
CLANG = next((name for name in HIP.compilers if shutil.which(name)), None)  # type: ignore[attr-defined]
needs_clang = pytest.mark.skipif(CLANG is None, reason="no clang on the PATH: apt-get install clang-19 lld-19")
needs_gxx = pytest.mark.skipif(not harness.available(), reason="no C++ compiler")
KERNELS = [
    "matmul",
    "softmax",
    "reduce_sum",
    "conv2d",
    "layer_norm",
    "attention",
    "histogram",
    "cumsum",
    "scale_shift_gelu",
]

vector = pk.TensorSpec(1, "float32")


@pk.kernel
def add(x, y, out, B: pk.constexpr[int] = 256):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) + pk.load(y, (i,), (B,)))


def problem_of(entry: Entry, dtype: str) -> tuple[Problem, list[Any]]:
    """The smallest case, with the kernel's arguments by position."""
    made = [case.make(as_dtype(dtype), np.random.default_rng(7)) for case in entry.cases]
    smallest = min(made, key=lambda p: sum(int(np.size(a)) for a in p.args.values()))
    order = inspect.signature(entry.kernel.__wrapped__).parameters  # type: ignore[attr-defined]
    return smallest, [smallest.args[name] for name in order if name in smallest.args]


def text_of(name: str, dtype: str, backend: str, target: str) -> tuple[Problem, Any]:
    entry = catalog.find(name)
    problem, args = problem_of(entry, dtype)
    kernel: Any = entry.kernel
    return problem, kernel.source(*args, backend=backend, target=target, **problem.constants).source


def dtypes_of(name: str) -> list[str]:
    return [d.name for d in catalog.find(name).dtypes]


CASES = [(name, dtype) for name in KERNELS for dtype in dtypes_of(name)[:: 2 if name == "matmul" else 3]]


@needs_clang
@pytest.mark.parametrize("target", ["amd-mi200", "amd-mi300x"])
@pytest.mark.parametrize("name", KERNELS)
def test_clang_compiles_hip_for_amd(name: str, target: str) -> None:
    entry = catalog.find(name)
    problem, args = problem_of(entry, entry.dtypes[0].name)
    kernel: Any = entry.kernel
    binary = kernel.compile(*args, backend="hip", target=target, **problem.constants)
    assert binary.kind == "hsaco" and binary.data.startswith(b"\x7fELF")
    assert binary.metadata["arch"] == targets.find(target).arch
    assert all(name.startswith("__ocml_") for name in binary.metadata["open"]), "only AMD's own library is left open"


@needs_clang
def test_a_code_object_names_what_it_leaves_open() -> None:
    entry = catalog.find("softmax")
    problem, args = problem_of(entry, "float32")
    kernel: Any = entry.kernel
    made = kernel.compile(*args, backend="hip", target="amd-mi300x", **problem.constants)
    assert made.metadata["open"] == ("__ocml_exp_f32",)
    assert not add.compile(vector, vector, vector, backend="hip").metadata["open"]


@needs_clang
def test_an_architecture_that_clang_lacks_is_refused_as_such() -> None:
    with pytest.raises(errors.UnsupportedOpError, match=r"expected an architecture that clang.* has, got 'gfx936'"):
        add.compile(vector, vector, vector, backend="hip", target="hygon-bw1000")
    assert "__global__" in add.source(vector, vector, vector, backend="hip", target="hygon-bw1000")


@needs_gxx
@pytest.mark.parametrize("backend", ["hip", "musa"])
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_text_computes_what_the_reference_says(name: str, dtype: str, backend: str) -> None:
    target = {"hip": "amd-mi300x", "musa": "mthreads-s4000-qy2"}[backend]
    problem, source = text_of(name, dtype, backend, target)
    entry = catalog.find(name)
    made = inspection.emitted(entry.kernel, problem_of(entry, dtype)[1], problem.constants, backend, target, "test")  # type: ignore[arg-type]
    sizes = made.constants
    grid = problem.grid(sizes) if callable(problem.grid) else problem.grid  # type: ignore[arg-type]
    harness.run_cuda_on_cpu(source, grid, problem.args)
    for output, error in catalog.check(problem).items():
        assert error <= 1, (output, error)


@needs_gxx
@pytest.mark.parametrize("backend", ["hip", "musa"])
def test_order_of_threads_does_not_matter(backend: str) -> None:
    results = []
    for order in ("forward", "backward"):
        x, out = np.arange(1000, dtype=np.float32), np.full(1000, np.nan, np.float32)
        source = add.source(x, x, out, backend=backend).source
        harness.run_cuda_on_cpu(source, (4,), {"x": x, "y": x, "out": out}, order=order)
        results.append(out)
    np.testing.assert_array_equal(results[0], 2 * np.arange(1000, dtype=np.float32))
    np.testing.assert_array_equal(*results)


# --- MUSA is CUDA with other names ------------------------------------------------------------------------------------

RENAMED = {"__CUDA_ARCH__": "__MUSA_ARCH__", "cuda_runtime": "musa_runtime", "cuda": "musa", "CUDA": "MUSA"}
"""CUDA's name → MUSA's, for every name that a device text could hold."""


def body_of(text: str) -> str:
    """From the kernel's own line on."""
    return text[text.index('extern "C" __global__') :]


@pytest.mark.parametrize("name", KERNELS)
def test_musa_text_is_the_renamed_cuda_text(name: str) -> None:
    entry = catalog.find(name)
    dtype = entry.dtypes[-1].name
    _, musa = text_of(name, dtype, "musa", "mthreads-s4000-qy2")
    _, cuda = text_of(name, dtype, "cuda", "mthreads-s4000-qy2")
    if musa.local_bytes == cuda.local_bytes:  # else one of the two asks for its local memory at the launch
        renamed = body_of(cuda.text)
        for theirs, ours in RENAMED.items():
            renamed = renamed.replace(theirs, ours)
        assert body_of(musa.text) == renamed
    assert not re.search(r"(?i)cuda|nvidia|\basm\b|ptx", musa.text), "no name and no instruction of NVIDIA's is left"


@pytest.mark.parametrize("backend", ["hip", "musa"])
@pytest.mark.parametrize("name", KERNELS)
def test_nothing_assumes_a_lane_width(name: str, backend: str) -> None:
    target = {"hip": "amd-mi300x", "musa": "mthreads-s4000-qy2"}[backend]
    _, source = text_of(name, dtypes_of(name)[0], backend, target)
    assert not re.search(
        r"__shfl|warpSize|__ballot|__syncwarp|0x1f\b|0xffffffff\b|__activemask|\blanemask", source.text
    )
    assert source.threads % targets.find(target).lanes == 0 or source.threads < targets.find(target).lanes


# --- what the compiler and the runtime say ----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["hip", "musa"])
def test_support_is_that_of_the_family(backend: str) -> None:
    ours, cuda = backends.find(backend), backends.find("cuda")
    target = targets.find("nvidia-h100")
    for op in (ir.Load, ir.Dot, ir.AtomicRMW, ir.Reduce):
        for dtype in ("float32", "float16", "int8", "float64"):
            a, b = ours.supports(op, as_dtype(dtype), target), cuda.supports(op, as_dtype(dtype), target)
            assert a.state == b.state
    refused = ours.supports(ir.Load, as_dtype("float64"), targets.find("biren-br100"))
    assert not refused and refused.reason == "biren-br100 has no float64"


@pytest.mark.parametrize("backend", ["hip", "musa"])
def test_a_launch_says_what_is_missing(backend: str) -> None:
    x = np.zeros(8, np.float32)
    with pytest.raises(errors.NoDeviceError, match=f"{backend}: no device was found") as raised:
        add[(1,)](x, x, x.copy(), backend=backend)
    assert "source()" in raised.value.hint
    assert driver.find(backend).devices() == ()


def test_a_compiler_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(errors.MissingDependencyError, match="musa: mcc is not on the PATH"):
        add.compile(vector, vector, vector, backend="musa")
    with pytest.raises(errors.MissingDependencyError, match=r"hip: none of amdclang\+\+"):
        add.compile(vector, vector, vector, backend="hip")
    with pytest.raises(errors.UnsupportedOpError, match="expected a target with an architecture gfx"):
        add.compile(vector, vector, vector, backend="hip", target="nvidia-h100")


FAKE = """#!/bin/sh
case "$1" in --version) echo "mcc version 4.2.0"; exit 0;; esac
while [ "$1" != "-o" ]; do echo "$1" >> "$(dirname "$0")/asked"; shift; done
{action}
"""


def fake_mcc(folder: Path, action: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / "mcc"
    file.write_text(FAKE.format(action=action))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_mcc_is_called_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    fake_mcc(tmp_path, 'echo object > "$2"')
    with config.override(cache_dir=None, isolate=False):
        made = add.compile(vector, vector, vector, backend="musa", target="mthreads-s5000")
    assert made.kind == "mubin" and made.data == b"object\n" and made.metadata["compiler"] == "mcc 4.2.0"
    asked = (tmp_path / "asked").read_text().split()
    assert "--offload-arch=mp_31" in asked and "-x" in asked
    fake_mcc(tmp_path, 'echo "add.musa:3:1: error: no" >&2; exit 1')
    with config.override(cache_dir=None, isolate=False), pytest.raises(errors.CompilerError, match="error: no"):
        add.compile(vector, vector, vector, backend="musa", target="mthreads-s5000")


@pk.kernel
def extremes(x, out, B: pk.constexpr[int] = 64):
    tile = pk.load(x, (pk.program_id(0),), (B,))
    pk.atomic_max(out, (pk.zeros((B,), pk.int32),), tile)
    pk.atomic_min(out, (pk.zeros((B,), pk.int32) + 1,), tile)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("backend", ["cuda", pytest.param("hip", marks=needs_clang)])
def test_compilers_take_the_loops_of_float_atomics(backend: str, dtype: str) -> None:
    spec = pk.TensorSpec(1, dtype)
    try:
        assert extremes.compile(spec, spec, backend=backend).data
    except errors.MissingDependencyError as missing:
        pytest.skip(missing.message)
