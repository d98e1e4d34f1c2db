"""No launch of the library asks for more programs than an accelerator allows, however many rows, images, heads or channels.

Launches are recorded, not run: sizes of tiles are the least that the compiler may choose.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog, targets
from portkernel.lang.program import Auto
from portkernel.runtime.kernel import Kernel

catalog.package()
MANY = 70_000
ACCELERATOR = targets.find("nvidia-h100")
LIMITS = ACCELERATOR.max_grid


def library(module: str) -> Any:
    return import_module(f"portkernel.kernels.{module}")


def f(*shape: int) -> np.ndarray:
    """Without memory: every element is the same."""
    return np.broadcast_to(np.ones((), np.float32), shape)


def i(*shape: int) -> np.ndarray:
    return np.broadcast_to(np.zeros((), np.int64), shape)


def real(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def turned(n: int) -> np.ndarray:
    """``(n, 2, 3, 2)`` whose axes do not merge."""
    return real(2, n, 3, 2).transpose(1, 0, 3, 2)


CASES: dict[str, Callable[[], object]] = {
    "softmax": lambda: library("softmax").softmax(real(MANY, 3, 2), 1),
    "softmax, many tiles": lambda: library("softmax").softmax(f(2, 3, MANY), 1),
    "softmax_gradient": lambda: library("softmax").softmax_gradient(real(MANY, 3, 2), real(MANY, 3, 2), 1),
    "layer_norm": lambda: library("layer_norm").layer_norm(real(MANY, 4), (4,), real(4), real(4)),
    "group_norm": lambda: library("group_norm").group_norm(real(MANY, 4, 3), 2, real(4), real(4)),
    "batch_norm": lambda: library("batch_norm").batch_norm(real(2, MANY, 3), None, None, training=True),
    "sum": lambda: library("reduce").sum(real(MANY, 3, 2), axis=1),
    "sum of 1e9 rows": lambda: library("reduce").sum(f(10**9, 2), axis=0),
    "argmax": lambda: library("arg_reduce").argmax(real(MANY, 3, 2), axis=1),
    "argmax of rows": lambda: library("arg_reduce").argmax(f(MANY, 300).copy(), axis=1),
    "logsumexp": lambda: library("logsumexp").logsumexp(real(MANY, 3, 2), axis=1),
    "var": lambda: library("variance").var(real(MANY, 3, 2), axis=1),
    "var of parts": lambda: library("variance").var(f(MANY, 40_000, 2), axis=1),
    "cumsum": lambda: library("cumsum").cumsum(real(MANY, 3, 2), axis=1),
    "sort": lambda: library("sort").sort(real(MANY, 3, 2), axis=1),
    "sort of long rows": lambda: library("sort").sort(real(2, 40 * MANY), axis=1),
    "topk": lambda: library("sort").topk(real(MANY, 3, 2), 2, axis=1),
    "topk of long rows": lambda: library("sort").topk(real(2, 40 * MANY), 5, axis=1),
    "pad": lambda: library("pad").pad(real(MANY, 2, 3), 1),
    "pad of columns": lambda: library("pad").pad(real(3, MANY), 1),
    "concatenate": lambda: library("pad").concatenate([turned(MANY), turned(MANY)]),
    "add": lambda: library("functions").add(turned(MANY), real(MANY, 2, 2, 3)),
    "add rows": lambda: library("functions").add(real(MANY, 2).T, real(2, MANY)),
    "put": lambda: library("put").put_along_axis(real(MANY, 3, 2), i(MANY, 1, 2), f(MANY, 1, 2), 1),
    "gather": lambda: library("gather").take_along_axis(real(MANY, 3, 2), i(MANY, 2, 2).copy(), 1),
    "resample": lambda: library("resample").resample(real(MANY, 3, 2), i(2, 4), f(2, 4), 1),
    "tril": lambda: library("triangle").tril(real(MANY, 2, 3)),
    "tril of rows": lambda: library("triangle").tril(real(MANY, 3)),
    "embedding": lambda: library("embedding").embedding(i(2), real(3, MANY)),
    "embedding_gradient": lambda: library("embedding").embedding_gradient(real(2, MANY), i(2), 3),
    "scatter_add": lambda: library("scatter").scatter_add(real(3, MANY), 0, i(2), real(2, MANY)),
    "max_pool2d": lambda: library("pooling").max_pool(real(1, MANY, 2, 2), 2),
    "avg_pool2d": lambda: library("pooling").avg_pool(real(MANY, 1, 2, 2), 2),
    "matmul": lambda: library("matmul").matmul(real(40, 3), real(3, MANY)),
    "matmul of deep rows": lambda: library("matmul").matmul(f(40, 4096), f(4096, MANY), real(40, MANY)),
    "matmul, many": lambda: library("matmul").matmul(real(MANY, 2, 3), real(MANY, 3, 2)),
    "grouped_matmul": lambda: library("matmul").grouped_matmul(real(4, 3), real(2, 3, MANY), np.array([0, 2, 4])),
    "conv2d": lambda: library("conv").conv2d(f(MANY, 2, 3, 3), real(3, 2, 2, 2)),
    "conv2d of many channels": lambda: library("conv").conv2d(real(1, 2, 3, 3), f(MANY * 100, 2, 2, 2)),
    "conv2d of many groups": lambda: library("conv").conv2d(f(1, 2 * MANY, 2, 2), f(2 * MANY, 2, 2, 2), groups=MANY),
    "conv2d of one pixel": lambda: library("conv").conv2d(real(MANY, 2, 4, 4), real(3, 2, 1, 1)),
    "conv2d of each channel": lambda: library("conv").conv2d(real(1, MANY, 2, 2), f(MANY, 1, 2, 2), groups=MANY),
    "conv_transpose2d": lambda: library("conv").conv_transpose2d(f(MANY, 2, 2, 2), real(2, 3, 1, 1), stride=2),
    "conv2d_weight": lambda: library("conv").conv2d_weight(
        f(1, 2 * MANY, 2, 2), (2 * MANY, 2, 2, 2), f(1, 2 * MANY, 1, 1), groups=MANY
    ),
    "conv2d_input": lambda: library("conv").conv2d_input(
        (1, 2 * MANY, 2, 2), f(2 * MANY, 2, 2, 2), f(1, 2 * MANY, 1, 1), groups=MANY
    ),
}


def attention(batch: int, heads: int) -> None:
    module, x = library("attention"), real(batch, heads, 1, 2)
    out, lse = module.scaled_dot_product_attention(x, x, x, return_lse=True)
    module.scaled_dot_product_attention_backward(x, x, x, x, out, lse)


CASES["attention of many images"] = lambda: attention(MANY, 1)
CASES["attention of many heads"] = lambda: attention(1, MANY)


@pytest.fixture
def grids(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...]]]:
    found: list[tuple[str, tuple[int, ...]]] = []

    def launch(kernel: Kernel, grid: Any, args: Any, kwargs: dict[str, Any]) -> None:
        meta = {p.name: p.default for p in kernel.parsed.params if p.constexpr}
        meta = {name: side.low if isinstance(side, Auto) else side for name, side in meta.items()} | kwargs
        found.append((kernel.name, tuple(grid(meta)) if callable(grid) else tuple(grid)))

    monkeypatch.setattr(pk, "target_of", lambda *args, **route: ACCELERATOR)
    monkeypatch.setattr(Kernel, "launch", launch)
    return found


@pytest.mark.parametrize("name", CASES)
def test_grids_fit_an_accelerator(name, grids) -> None:
    CASES[name]()
    assert grids, "nothing was launched"
    for kernel, grid in grids:
        assert all(n <= most for n, most in zip(grid, LIMITS, strict=False)), f"{kernel}: {grid}"


def test_a_second_axis_of_so_many_programs_is_seen(grids) -> None:
    """The check itself: what it must not let through."""

    @pk.kernel
    def rows(x, B: pk.constexpr[int] = pk.auto(1, 64)):
        pk.store(x, (pk.program_id(1),), pk.zeros((B,), x.dtype))

    rows[lambda meta: (1, pk.cdiv(MANY, meta["B"]))](real(MANY))
    ((_, grid),) = grids
    assert grid[1] > LIMITS[1]


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_columns_beyond_the_second_axis(backend) -> None:
    """Grids of one axis: the same product."""
    if backend == "opencl":
        pytest.importorskip("pyopencl")
    r = np.random.default_rng(0)
    a, b = r.standard_normal((20, 3)), r.standard_normal((3, MANY))
    out = library("matmul").matmul(a, b, backend=backend)
    np.testing.assert_allclose(out, a @ b, rtol=0, atol=8 * 2.0**-52 * float((abs(a) @ abs(b)).max()))
