"""Pooling against float64 references and PyTorch, on the reference and on OpenCL."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.catalog import gamma, poison, ratio, rounding
from portkernel.errors import ArgumentDTypeError, ArgumentError, ArgumentShapeError, OverlapError

catalog.package()
pool = importlib.import_module("portkernel.kernels.pooling")
ref = importlib.import_module("portkernel.kernels.pooling.reference")
host = importlib.import_module("portkernel.kernels.pooling.host")
OPENCL = pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL")
BACKENDS = ["numpy", pytest.param("opencl", marks=OPENCL)]

# image, kernel_size, stride, padding, dilation, ceil_mode
FIXED = (
    ((9,), 3, 2, 1, 1, False),
    ((9, 11), (3, 2), (2, 1), (1, 1), (1, 2), True),
    ((10, 7), 3, 2, 1, 1, True),
    ((7, 8), 2, None, 0, 1, False),
    ((5, 6, 7), (2, 3, 2), (1, 2, 3), (0, 1, 1), 1, True),
)
BOTH = [("numpy", f) for f in FIXED] + [pytest.param("opencl", FIXED[i], marks=OPENCL) for i in (1, 4)]
ADAPTIVE = (((9,), 4), ((9, 11), (1, 5)), ((6, 7), (9, None)), ((5, 6, 7), (2, 6, 10)))


def draw(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    return catalog.sample(np.random.default_rng(11), shape, pk.dtypes.as_dtype(dtype))


def deep(x: np.ndarray) -> np.ndarray:
    return x.reshape(*x.shape[:2], *(1,) * (5 - x.ndim), *x.shape[2:])


def three(image: tuple[int, ...]) -> tuple[int, ...]:
    return (*(1,) * (3 - len(image)), *image)


def check_means(x: np.ndarray, got: np.ndarray, windows: Any, padded: bool, divisor: int = 0) -> None:
    want, size = (ref.means(deep(t.astype(np.float64)), windows, padded, divisor) for t in (x, np.abs(x)))
    dtype = pk.dtypes.as_dtype(x.dtype)
    wide = pk.float64 if dtype == pk.float64 else pk.float32
    bound = gamma(int(np.prod(windows.kernel)) + 4, wide) * size + rounding(want, pk.dtypes.as_dtype(got.dtype))
    assert ratio(deep(got), want, bound) <= 1


@pytest.mark.parametrize(("backend", "given"), BOTH, ids=str)
def test_fixed_windows(backend: str, given: tuple[Any, ...]) -> None:
    image, k, s, p, d, up = given
    x = draw((2, 3, *image))
    windows = host.fixed("", image, k, s, p, d, up)
    best, where = ref.maxima(deep(x), windows)
    got, indices = pool.max_pool(x, k, s, p, d, up, True, out=poison(_flat(best, x).shape, pk.float32), backend=backend)
    assert np.array_equal(deep(got), best)
    assert np.array_equal(deep(indices), where)
    assert np.array_equal(pool.max_pool(x, k, s, p, d, up, backend=backend), got)
    grad = draw(got.shape)
    back = pool.max_pool_input(x.shape, grad, indices, k, s, p, d, up, out=poison(x.shape, pk.float32), backend=backend)
    want, size = (ref.maxima_back(deep(t), where, three(image)) for t in (grad, np.abs(grad)))
    bound = gamma(int(np.prod(windows.most)), pk.float32) * size + rounding(want, pk.float32)
    assert ratio(deep(back), want, bound) <= 1

    windows = host.fixed("", image, k, s, p, 1, up)
    for padded, divisor in ((True, None), (False, None), (True, -5)):
        out = poison(_flat(ref.means(deep(x), windows, padded, 1), x).shape, pk.float32)
        got = pool.avg_pool(x, k, s, p, up, padded, divisor, out=out, backend=backend)
        check_means(x, got, windows, padded, divisor or 0)
        back = pool.avg_pool_input(x.shape, draw(got.shape), k, s, p, up, padded, divisor, backend=backend)
        check_means_back(draw(got.shape), back, windows, three(image), padded, divisor or 0)


def check_means_back(grad: np.ndarray, got: np.ndarray, windows: Any, image: tuple[int, ...], padded: bool, divisor: int) -> None:  # fmt: skip
    want = ref.means_back(deep(grad), windows, image, padded, divisor)
    size = np.abs(ref.means_back(deep(np.abs(grad)), windows, image, padded, divisor))
    bound = gamma(int(np.prod(windows.most)) + 4, pk.float32) * size + rounding(want, pk.float32)
    assert ratio(deep(got), want, bound) <= 1


def _flat(found: np.ndarray, x: np.ndarray) -> np.ndarray:
    return found.reshape(*found.shape[:2], *found.shape[7 - x.ndim :])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("image", "size"), ADAPTIVE, ids=str)
def test_adaptive_windows(image: tuple[int, ...], size: Any, backend: str) -> None:
    x = draw((2, 3, *image))
    windows = host.dividing("", image, size)
    got, indices = pool.adaptive_max_pool(x, size, True, backend=backend)
    best, where = ref.maxima(deep(x), windows)
    assert np.array_equal(deep(got), best)
    assert np.array_equal(deep(indices), where)
    back = pool.adaptive_max_pool_input(x.shape, draw(got.shape), indices, backend=backend)
    want = ref.maxima_back(deep(draw(got.shape)), where, three(image))
    assert np.allclose(deep(back), want, rtol=0, atol=1e-5)
    got = pool.adaptive_avg_pool(x, size, backend=backend)
    check_means(x, got, windows, False)
    back = pool.adaptive_avg_pool_input(x.shape, draw(got.shape), backend=backend)
    check_means_back(draw(got.shape), back, windows, three(image), False, 0)


@pytest.mark.parametrize("given", FIXED, ids=str)
def test_as_torch(given: tuple[Any, ...]) -> None:
    torch = pytest.importorskip("torch")
    image, k, s, p, d, up = given
    x = torch.from_numpy(draw((2, 3, *image)))
    n = len(image)
    got, indices = pool.max_pool(x, k, s, p, d, up, True, backend="numpy")
    want, where = getattr(torch.nn.functional, f"max_pool{n}d")(x, k, s, p, d, up, True)
    assert torch.equal(got, want)
    assert torch.equal(indices, where)
    for padded in (True, False):
        got = pool.avg_pool(x, k, s, p, up, padded, backend="numpy")
        want = getattr(torch.nn.functional, f"avg_pool{n}d")(x, k, s, p, up, padded)
        assert torch.allclose(got, want, rtol=1e-6, atol=1e-6)
    for size in (1, tuple(v + 2 for v in image), tuple(max(1, v // 2) for v in image)):
        want, where = getattr(torch.nn.functional, f"adaptive_max_pool{n}d")(x, size, True)
        got, indices = pool.adaptive_max_pool(x, size, True, backend="numpy")
        assert torch.equal(got, want)
        assert torch.equal(indices, where)
        want = getattr(torch.nn.functional, f"adaptive_avg_pool{n}d")(x, size)
        assert torch.allclose(pool.adaptive_avg_pool(x, size, backend="numpy"), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int8", "int64"])
def test_dtypes(dtype: str, backend: str) -> None:
    x = draw((2, 3, 7, 6), dtype)
    windows = host.fixed("", (7, 6), 3, 2, 1, 1, False)
    best, where = ref.maxima(deep(x), windows)
    got, indices = pool.max_pool(x, 3, 2, 1, return_indices=True, backend=backend)
    assert got.dtype == x.dtype
    assert np.array_equal(deep(got), best)
    assert np.array_equal(deep(indices), where)
    if x.dtype.kind not in "iu":
        check_means(x, pool.avg_pool(x, 3, 2, 1, backend=backend), windows, True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_layouts(backend: str) -> None:
    x = draw((2, 6, 7, 4))
    want = pool.max_pool(np.ascontiguousarray(np.moveaxis(x, -1, 1)), 3, 2, backend="numpy")
    got, indices = pool.max_pool(x, 3, 2, return_indices=True, channels_last=True, backend=backend)
    assert got.flags.c_contiguous
    assert indices.shape == got.shape
    assert np.array_equal(np.moveaxis(got, -1, 1), want)
    assert pool.avg_pool(np.moveaxis(x, -1, 1), 3, 2, backend=backend).strides[1] == 4
    for y in (x[:, ::-1, ::-2], np.broadcast_to(x[:1, :, :, :1], x.shape)):
        windows = host.fixed("", y.shape[2:], 2, 1, 0, 1, False)
        check_means(y, pool.avg_pool(y, 2, 1, backend=backend), windows, True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_infinity_and_padding(backend: str) -> None:
    x = np.full((1, 1, 4, 4), -np.inf, np.float32)
    got, indices = pool.max_pool(x, 2, return_indices=True, backend=backend)
    assert np.isneginf(got).all()
    assert indices.ravel().tolist() == [0, 2, 8, 10]  # the first of equals
    x[0, 0, 0, 1] = x[0, 0, 1, 0] = np.nan
    x[0, 0, 3, 3] = np.inf
    got, indices = pool.max_pool(x, 2, return_indices=True, backend=backend)
    assert np.isnan(got[0, 0, 0, 0])
    assert np.isposinf(got[0, 0, 1, 1])
    assert indices.ravel().tolist() == [1, 2, 8, 15]
    assert np.isnan(pool.max_pool(x, 2, backend=backend)[0, 0, 0, 0])
    least = np.full((1, 1, 3), -128, np.int8)
    assert (pool.max_pool(least, 3, 1, 1, backend=backend) == -128).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_window_of_everything(backend: str) -> None:
    for dtype in ("float32", "float16"):
        x = draw((2, 5, 7, 9), dtype)
        windows = host.dividing("", (7, 9), 1)
        check_means(x, pool.adaptive_avg_pool(x, 1, backend=backend), windows, False)
        check_means(x, pool.avg_pool(x, (7, 9), backend=backend), windows, False)
        assert np.array_equal(pool.max_pool(x, (7, 9), backend=backend), x.max((2, 3), keepdims=True))
    last = np.moveaxis(x, 1, -1)
    assert pool.adaptive_avg_pool(last, 1, channels_last=True, backend=backend).shape == (2, 1, 1, 5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_batches(backend: str) -> None:
    x = np.ones((0, 3, 6, 6), np.float32)
    assert pool.max_pool(x, 2, backend=backend).shape == (0, 3, 3, 3)
    assert pool.adaptive_avg_pool(x, 1, backend=backend).shape == (0, 3, 1, 1)
    assert pool.avg_pool_input(x.shape, np.ones((0, 3, 3, 3), np.float32), 2, backend=backend).shape == x.shape


def test_in_the_triton_interpreter() -> None:
    pytest.importorskip("triton")
    x = draw((1, 3, 7, 6))
    route = {"backend": "triton", "device": "interpreter"}
    got, indices = pool.max_pool(x, 3, 2, 1, return_indices=True, **route)
    want, where = pool.max_pool(x, 3, 2, 1, return_indices=True, backend="numpy")
    assert np.array_equal(got, want)
    assert np.array_equal(indices, where)
    assert np.allclose(pool.adaptive_avg_pool(x, (3, 4), **route), pool.adaptive_avg_pool(x, (3, 4), backend="numpy"))


def test_errors_come_before_anything_is_written() -> None:
    x = draw((1, 2, 6, 6))
    cases = [
        (ArgumentShapeError, r"max_pool\(\): x: expected an array of 3 to 5 axes", (x[0, 0], 2), {}),
        (ArgumentShapeError, r"max_pool\(\): x: expected channels and pixels", (x[:, :, :0], 2), {}),
        (ArgumentDTypeError, r"max_pool\(\): x: expected float32", (x > 0, 2), {}),
        (ArgumentError, r"max_pool\(\): kernel_size: expected an integer of at least 1, or 2 of them", (x, 0), {}),
        (ArgumentError, r"max_pool\(\): stride: expected", (x, 2, 0), {}),
        (ArgumentError, r"max_pool\(\): padding: expected at most half of the kernel, got 2", (x, 3, 1, 2), {}),
        (ArgumentShapeError, r"max_pool\(\): x: expected at least 7 elements", (x, 7), {}),
        (ArgumentShapeError, r"max_pool\(\): out: expected shape \(1, 2, 3, 3\)", (x, 2), {"out": np.full_like(x, 7)}),
    ]
    for kind, message, args, options in cases:
        with pytest.raises(kind, match=message):
            pool.max_pool(*args, **options, backend="numpy")
        if "out" in options:
            assert (options["out"] == 7).all()
    with pytest.raises(ArgumentError, match=r"avg_pool\(\): divisor_override: expected"):
        pool.avg_pool(x, 2, divisor_override=0, backend="numpy")
    with pytest.raises(ArgumentError, match=r"adaptive_avg_pool\(\): output_size: expected an integer, or 2"):
        pool.adaptive_avg_pool(x, (1, 2, 3), backend="numpy")
    with pytest.raises(ArgumentShapeError, match=r"avg_pool_input\(\): grad_output: expected shape \(1, 2, 3, 3\)"):
        pool.avg_pool_input(x.shape, x, 2, backend="numpy")
    with pytest.raises(OverlapError):
        pool.avg_pool(x, 1, out=x, backend="numpy")
