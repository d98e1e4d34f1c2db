"""Block sizes chosen from the IR."""

from __future__ import annotations

import time

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog, targets
from portkernel.ir import Func
from portkernel.kernels.softmax import softmax_rows
from portkernel.lang import Auto
from portkernel.passes import autosize
from portkernel.runtime.specialize import choose_sizes, shape_classes

CPU = targets.variant(targets.find("opencl-cpu"), units=2)
GPU = targets.find("nvidia-h100")
SMALL_GPU = targets.find("opencl-gpu")
NUMPY = targets.find("numpy")


def matmul_sizes(m: int, n: int, k: int, target: targets.Target, dtype: str = "float32") -> dict[str, int]:
    kernel = catalog.find("matmul").kernel
    return sizes(kernel, product_shapes(m, n, k), target, dtype)


def product_shapes(m: int, n: int, k: int) -> dict[str, tuple[int, ...]]:
    """The arguments of the matmul kernel; the unused ones are a again."""
    spare = dict.fromkeys(("scale", "bias", "residual"), (m, k))
    return {"a": (m, k), "b": (k, n), **spare, "out": (m, n), "alpha": (), "beta": ()}


def sizes(kernel, shapes: dict[str, tuple[int, ...]], target: targets.Target, dtype: str = "float32") -> dict[str, int]:
    fn = kernel.parsed
    types = {name: argument(shape, dtype) for name, shape in shapes.items()}
    types |= {p.name: pk.ir.Tile((), pk.int32) for p in fn.params if not p.constexpr and p.name not in types}
    constants = {p.name: p.default for p in fn.params if p.constexpr}
    return choose_sizes(fn, types, constants, shapes, target)


def argument(shape: tuple[int, ...], dtype: str) -> pk.ir.Tensor | pk.ir.Tile:
    return tensor(shape, dtype) if shape else pk.ir.Tile((), pk.float32)


def tensor(shape: tuple[int, ...], dtype: str) -> pk.ir.Tensor:
    steps: list[int | None] = [None] * len(shape)
    steps[-1] = 1
    return pk.ir.Tensor(len(shape), pk.dtypes.as_dtype(dtype), (None,) * len(shape), tuple(steps))


def footprint(s: dict[str, int], width: int = 4) -> int:
    return (s["BM"] * s["BN"] + (s["BM"] + s["BN"]) * s["BK"]) * width


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8"])
def test_cpu_dot_fits_the_cache(dtype: str) -> None:
    found = matmul_sizes(1024, 1024, 1024, CPU, dtype)
    assert footprint(found, 8 if dtype == "float64" else 4) <= CPU.l2_bytes
    assert found["BM"] >= 48
    assert found["BN"] >= 192
    assert found["BK"] >= 128


def test_cpu_dot_of_matrices_that_come_from_memory_takes_larger_blocks() -> None:
    near, far = (matmul_sizes(n, n, n, CPU, "float32") for n in (1024, 4096))
    assert far["BM"] >= near["BM"] and far["BN"] >= 2 * near["BN"] and far["BK"] == near["BK"]
    assert far["BM"] * far["BK"] * 4 <= CPU.l2_bytes // 2  # the rows that every panel passes by stay


def test_cpu_dot_of_the_design() -> None:
    assert matmul_sizes(1536, 1536, 1536, CPU) == {"BM": 96, "BN": 384, "BK": 256}


def test_cpu_dot_of_skinny_shapes() -> None:
    few_rows = matmul_sizes(4, 4096, 1024, CPU)
    assert few_rows["BM"] <= 6
    assert few_rows["BN"] >= 128
    assert matmul_sizes(1024, 8, 64, CPU)["BN"] <= 16


def test_cpu_dot_uses_every_core() -> None:
    many = targets.variant(CPU, units=32)
    found = matmul_sizes(512, 512, 512, many)
    assert -(-512 // found["BM"]) * -(-512 // found["BN"]) >= 24


def test_shapes_that_share_a_choice_differ_by_a_quarter_at_most() -> None:
    for n in range(2000):
        (found,) = shape_classes({"x": (n,)})["x"]
        assert n <= found <= max(16, 1.25 * n)
    assert shape_classes({"x": (16, 384, 385, 1000)})["x"] == (16, 384, 448, 1024)


def test_gpu_dot() -> None:
    assert matmul_sizes(8192, 8192, 8192, GPU, "float16") == {"BM": 128, "BN": 128, "BK": 32}
    found = matmul_sizes(4096, 4096, 4096, SMALL_GPU)
    assert (found["BM"] + found["BN"]) * found["BK"] * 4 <= SMALL_GPU.local_bytes
    assert min(found["BM"], found["BN"]) >= 32


def test_gpu_dot_of_a_small_problem_leaves_programs_for_the_units() -> None:
    found = matmul_sizes(512, 512, 512, GPU)
    assert found["BM"] * found["BN"] <= 64 * 64


def test_numpy_takes_large_tiles() -> None:
    found = matmul_sizes(1024, 1024, 1024, NUMPY)
    assert min(found.values()) >= 256


@pytest.mark.parametrize("target", [CPU, GPU, SMALL_GPU, NUMPY], ids=lambda t: t.name)
@pytest.mark.parametrize("entry", catalog.all_entries(), ids=lambda e: e.name)
def test_every_kernel_within_its_bounds(entry: catalog.Entry, target: targets.Target) -> None:
    for case in entry.cases:
        problem = case.make(entry.dtypes[0], np.random.default_rng(0))
        fn = entry.kernel.parsed
        bounds = {p.name: p.default for p in fn.params if isinstance(p.default, Auto)}
        shapes = {name: x.shape for name, x in problem.args.items() if isinstance(x, np.ndarray)}
        types = {
            p.name: tensor(shapes[p.name], problem.args[p.name].dtype.name)
            if p.name in shapes
            else pk.ir.Tile((), pk.int32 if isinstance(problem.args[p.name], int) else pk.float32)
            for p in fn.params
            if not p.constexpr
        }
        constants = {p.name: p.default for p in fn.params if p.constexpr} | problem.constants
        found = choose_sizes(fn, types, constants, shapes, target)
        assert found.keys() == bounds.keys()
        assert all(b.low <= found[name] <= b.high for name, b in bounds.items())


def test_elementwise_runs_along_the_contiguous_axis() -> None:
    kernel = catalog.find("scale_shift_gelu").kernel
    shapes = {"x": (4096, 4096), "scale": (4096,), "bias": (4096,), "residual": (4096, 4096), "out": (4096, 4096)}
    cpu = sizes(kernel, shapes, CPU)
    assert cpu["BN"] >= 1024
    assert 1024 <= cpu["BM"] * cpu["BN"] <= 8192
    gpu = sizes(kernel, shapes, GPU)
    assert gpu["BM"] * gpu["BN"] == 1024


def test_a_folded_axis_that_is_short_is_covered_at_once() -> None:
    kernel = catalog.find("reduce_sum").kernel
    found = sizes(kernel, {"x": (1, 1, 100_000, 100), "mask": (1, 1, 1, 1), "out": (1, 100_000, 1)}, CPU)
    assert found["BN"] == 128
    assert found["BM"] >= 16


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize(("rows", "vectors"), [(1000, 2), (32, 4), (16, 8), (1, 8)])
def test_a_folded_axis_that_is_long_is_taken_in_several_rows(width: int, rows: int, vectors: int) -> None:
    """Eight of two vectors, where each of two units gets four programs; fewer rows of more vectors."""
    kernel = catalog.find("reduce_sum").kernel
    shapes = {"x": (1, 1, rows, 1 << 16), "mask": (1, 1, 1, 1), "out": (1, rows, 1)}
    found = sizes(kernel, shapes, targets.variant(CPU, vector_bytes=width))
    assert found == {"BM": min(8, max(1, rows // 8)), "BN": vectors * width // 4}


@pytest.mark.parametrize(("name", "expected"), [("logsumexp", (4, 8)), ("softmax", (2, 4))])
def test_functions_and_written_rows_take_blocks_of_their_own(name: str, expected: tuple[int, int]) -> None:
    """An axis that is written goes before functions that are computed along it."""
    kernel = {"softmax": softmax_rows, "logsumexp": catalog.find(name).kernel}[name]
    long = (1, 1, 1000, 1 << 16)
    shapes = {"x": long, "out": long if name == "softmax" else long[:3]}
    found = sizes(kernel, shapes, CPU)
    rows, vectors = expected
    assert found == {"BM": rows, "BN": vectors * CPU.vector_bytes // 4}


def test_convolution_finds_its_extents_behind_gathers() -> None:
    kernel = catalog.find("conv2d").kernel
    shapes = {
        "x": (1, 32, 1, 32, 32),
        "weight": (8, 32, 1, 3, 3),
        "bias": (1,),
        "residual": (1,) * 5,
        "out": (1, 8, 1, 30, 30),
    }
    found = sizes(kernel, shapes, CPU)
    assert found["BM"] == 8  # as many as there are channels
    assert found["BK"] <= 32  # 32 channels
    assert found["BN"] >= 64


def test_empty_arrays_and_no_constants() -> None:
    assert all(v >= 1 for v in matmul_sizes(0, 0, 0, CPU).values())
    assert autosize.choose(Func("f", (), pk.ir.Block((), (), ())), {}, {}, {}, CPU) == {}


def test_it_is_quick_and_pure() -> None:
    kernel = catalog.find("matmul").kernel
    fn = kernel.parsed
    shapes = product_shapes(1000, 1000, 1000)
    types = {name: argument(shape, "float32") for name, shape in shapes.items()}
    bounds = {p.name: p.default for p in fn.params if isinstance(p.default, Auto)}
    probes = autosize.probe_sizes(bounds)
    func = fn.lower(types, {p.name: p.default for p in fn.params if p.constexpr} | probes)
    times, answers = [], []
    for _ in range(20):
        start = time.perf_counter()
        answers.append(autosize.choose(func, probes, bounds, shapes, CPU))
        times.append(time.perf_counter() - start)
    assert all(a == answers[0] for a in answers)
    assert min(times) < 1e-3


def test_cpu_dot_of_many_matrices_leaves_each_whole() -> None:
    """Two units need no second block of a matrix where there are twelve of them."""
    small = targets.variant(CPU, l2_bytes=1 << 19)
    kernel = catalog.find("matmul").kernel
    spare = dict.fromkeys(("scale", "bias", "residual"), (12, 128, 64))
    shapes = {"a": (12, 128, 64), "b": (12, 64, 128), **spare, "out": (12, 128, 128), "alpha": (), "beta": ()}
    assert sizes(kernel, shapes, small) == {"BM": 128, "BN": 128, "BK": 64}
    assert matmul_sizes(128, 128, 64, small)["BM"] == 64
