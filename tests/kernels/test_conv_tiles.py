"""Convolutions where programs are threads: windows from a padded copy, at sizes around the tiles that are chosen there."""

from __future__ import annotations

import importlib
from math import prod

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.catalog import gamma, poison, ratio, rounding

catalog.package()
conv = importlib.import_module("portkernel.kernels.conv")
ref = importlib.import_module("portkernel.kernels.conv.reference")
sizes = importlib.import_module("portkernel.kernels.conv.sizes")
pytestmark = pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL")

Case = tuple[tuple[int, ...], tuple[int, ...], object, object, object, int]
CASES: dict[str, Case] = {
    "rows cut, channels past the blocks": ((1, 19, 33, 47), (13, 19, 3, 3), 1, 1, 1, 1),
    "images share a tile": ((7, 24, 7, 7), (40, 24, 3, 3), 1, 1, 1, 1),
    "more padding before than after, dilation": ((2, 9, 12, 10), (9, 9, 3, 2), 1, ((3, 1), (0, 2)), (2, 3), 1),
    "one tap, images share a tile": ((3, 21, 5, 7), (18, 21, 1, 1), 1, 0, 1, 1),
    "one tap, stride": ((2, 21, 15, 14), (18, 21, 1, 1), 2, 0, 1, 1),
    "a long row": ((1, 10, 1100), (11, 10, 3), 1, 1, 1, 1),
    "three dimensions": ((2, 10, 5, 6, 9), (7, 10, 3, 3, 2), 1, (1, 1, 0), 1, 1),
    "a stride, phases of unlike taps": ((2, 3, 23, 31), (9, 3, 7, 7), 2, 3, 1, 1),
    "strides and dilations with and without a common divisor": ((3, 10, 17, 22), (6, 10, 3, 4), (2, 3), (1, 4), (2, 2), 1),
    "a stride beyond the kernel, padding": ((1, 9, 11, 10), (12, 9, 1, 2), 3, (2, 1), 1, 1),
    "a stride, three dimensions": ((2, 5, 7, 9, 11), (7, 5, 3, 2, 3), (2, 2, 3), (1, 1, 0), 1, 1),
    "a stride, a long row": ((1, 9, 2300), (8, 9, 4), 2, 1, 1, 1),
    "each channel, wide rows": ((2, 11, 9, 29), (11, 1, 3, 3), 1, 1, 1, 11),
    "each channel, narrow rows, two outputs": ((1, 12, 9, 7), (24, 1, 3, 3), 1, (1, 0), 1, 12),
}  # fmt: skip


def full(values: object, rank: int, missing: object) -> tuple:
    given = values if isinstance(values, tuple) else (values,) * rank
    return (missing,) * (3 - rank) + given


def numbers(case: Case) -> tuple[int, tuple, tuple, tuple]:
    shape, _, stride, padding, dilation, _ = case
    rank = len(shape) - 2
    pads = tuple(p if isinstance(p, tuple) else (p, p) for p in full(padding, rank, 0))
    return rank, full(stride, rank, 1), full(dilation, rank, 1), pads


def deep(x: np.ndarray, rank: int) -> np.ndarray:
    return x.reshape(*x.shape[:2], *(1,) * (3 - rank), *x.shape[2:])


@pytest.mark.parametrize("name", CASES)
def test_forward(name: str) -> None:
    shape, filters, stride, padding, dilation, groups = CASES[name]
    rank, steps, spread, pads = numbers(CASES[name])
    rng = np.random.default_rng(11)
    x, w, b = (catalog.sample(rng, s, pk.float32) for s in (shape, filters, filters[:1]))

    def of(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        found = ref.forward(deep(x, rank), deep(w, rank), steps, spread, pads, groups)
        return found.reshape(*found.shape[:2], *found.shape[5 - rank :])

    want = of(ref.wide(x), ref.wide(w))
    size = of(np.abs(ref.wide(x)), np.abs(ref.wide(w)))
    r = catalog.sample(rng, want.shape, pk.float32)
    extra = b.reshape(-1, *(1,) * rank) + r
    out = poison(want.shape, pk.float32)
    fn = getattr(conv, f"conv{rank}d")
    fn(x, w, b, stride, padding, dilation, groups, residual=r, out=out, backend="opencl")
    bound = gamma(prod(filters[1:]) + 3, pk.float32) * (size + np.abs(extra)) + rounding(want + extra, pk.float32)
    assert ratio(out, want + extra, bound) <= 1


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    shape, filters, stride, padding, dilation, groups = CASES[name]
    rank, steps, spread, pads = numbers(CASES[name])
    rng = np.random.default_rng(12)
    x, w = (catalog.sample(rng, s, pk.float32) for s in (shape, filters))
    size = ref.forward(deep(ref.wide(x), rank), deep(ref.wide(w), rank), steps, spread, pads, groups).shape
    g = catalog.sample(rng, (*size[:2], *size[5 - rank :]), pk.float32)
    options = (stride, padding, dilation, groups)

    def of_weight(g: np.ndarray, x: np.ndarray) -> np.ndarray:
        kernel = (1,) * (3 - rank) + filters[2:]
        return ref.weight_gradient(deep(g, rank), deep(x, rank), kernel, steps, spread, pads, groups).reshape(filters)

    def of_input(g: np.ndarray, w: np.ndarray) -> np.ndarray:
        image = (1,) * (3 - rank) + shape[2:]
        return ref.transposed(deep(g, rank), deep(w, rank), steps, spread, pads, groups, image).reshape(shape)

    for which, of, given, args, terms in (
        ("weight", of_weight, (g, x), (x, filters, g), prod(g.shape) // g.shape[1] + 16),
        ("input", of_input, (g, w), (shape, w, g), prod(filters) // groups + 3),
    ):
        want = of(*(ref.wide(a) for a in given))
        bound = gamma(terms, pk.float32) * of(*(np.abs(ref.wide(a)) for a in given)) + rounding(want, pk.float32)
        out = poison(want.shape, pk.float32)
        getattr(conv, f"conv{rank}d_{which}")(*args, *options, out=out, backend="opencl")
        assert ratio(out, want, bound) <= 1, which
        again = getattr(conv, f"conv{rank}d_{which}")(*args, *options, backend="opencl")
        assert np.array_equal(out, again), which


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int8"])
def test_dtypes(dtype: str) -> None:
    kind = pk.dtypes.as_dtype(dtype)
    acc = pk.float64 if dtype == "float64" else pk.int32 if dtype == "int8" else pk.float32
    rng = np.random.default_rng(13)
    x, w = catalog.sample(rng, (2, 12, 9, 30), kind), catalog.sample(rng, (10, 12, 3, 3), kind)
    got = conv.conv2d(x, w, padding=1, backend="opencl")
    one, pads = (1, 1, 1), ((0, 0), (1, 1), (1, 1))
    want = ref.forward(deep(ref.wide(x), 2), deep(ref.wide(w), 2), one, one, pads, 1)[:, :, 0]
    size = ref.forward(deep(np.abs(ref.wide(x)), 2), deep(np.abs(ref.wide(w)), 2), one, one, pads, 1)[:, :, 0]
    bound = np.zeros(1) if dtype == "int8" else gamma(12 * 9, acc) * size + rounding(want, kind)
    assert ratio(got, want, bound) <= 1


def test_arrays_of_every_library_and_any_strides() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(14)
    x, w = rng.standard_normal((2, 9, 12, 11), np.float32), rng.standard_normal((6, 9, 3, 3), np.float32)
    want = conv.conv2d(x, w, padding=1, backend="numpy")
    tensors = [torch.from_numpy(a) for a in (x, w)]
    got = conv.conv2d(*tensors, padding=1, backend="opencl")
    assert isinstance(got, torch.Tensor)
    assert np.allclose(got.numpy(), want, atol=1e-4)
    last = tensors[0].to(memory_format=torch.channels_last)
    assert np.allclose(conv.conv2d(last, tensors[1], padding=1, backend="opencl").numpy(), want, atol=1e-4)
    g = torch.from_numpy(want)
    back = conv.conv2d_input(x.shape, tensors[1], g, 1, 1, backend="opencl")
    assert np.allclose(back.numpy(), conv.conv2d_input(x.shape, w, want, 1, 1, backend="numpy"), atol=1e-2)
    wide = np.zeros((2, 9, 12, 22), np.float32)
    wide[..., ::2] = x
    turned = np.ascontiguousarray(w[:, :, ::-1, ::-1])[:, :, ::-1, ::-1]
    assert np.allclose(conv.conv2d(wide[..., ::2], turned, padding=1, backend="opencl"), want, atol=1e-4)


def test_one_image() -> None:
    rng = np.random.default_rng(15)
    x, w = rng.standard_normal((5, 8, 9), np.float32), rng.standard_normal((6, 5, 3, 3), np.float32)
    r, out = rng.standard_normal((6, 8, 9), np.float32), poison((6, 8, 9), pk.float32)
    want = conv.conv2d(x[None], w, padding=1, residual=r[None], backend="numpy")[0]
    assert conv.conv2d(x, w, padding=1, residual=r, out=out, backend="numpy") is out
    assert np.array_equal(out, want)
    assert np.array_equal(conv.conv1d(x[:, 0], w[:, :, 0], backend="numpy"), conv.conv1d(x[None, :, 0], w[:, :, 0], backend="numpy")[0])  # fmt: skip
    up = np.ascontiguousarray(w.transpose(1, 0, 2, 3))
    last = np.ascontiguousarray(x.transpose(1, 2, 0))
    given = conv.conv_transpose2d(last, up, stride=2, channels_last=True, backend="numpy")
    assert np.array_equal(given.transpose(2, 0, 1), conv.conv_transpose2d(x[None], up, stride=2, backend="numpy")[0])


def test_nothing_leaks_from_behind_the_images() -> None:
    """Infinities stay where they are, and the end of the copy, which is read and dropped, is no part of any sum."""
    x, w = np.ones((2, 9, 6, 7), np.float32), np.ones((4, 9, 3, 3), np.float32)
    x[1, 8, 5, 6] = np.inf
    strided = conv.conv2d(x, w, None, 2, 1, backend="opencl")
    assert np.isposinf(strided[1, :, 2, 3]).all()
    assert np.isfinite(strided).sum() == strided.size - 4
    got = conv.conv2d(x, w, padding=1, backend="opencl")
    assert np.isposinf(got[1, :, 4:, 5:]).all()
    got[1, :, 4:, 5:] = 0
    assert np.isfinite(got).all()
    g = np.ones((2, 4, 6, 7), np.float32)
    again = conv.conv2d_weight(np.ones_like(x), w.shape, g, 1, 1, backend="opencl")
    assert (again[:, :, 1, 1] == 84).all()
    assert (again[:, :, 0, 0] == 2 * 5 * 6).all()
    again = conv.conv2d_weight(np.ones_like(x), w.shape, g[:, :, :3, :4], 2, 1, backend="opencl")
    assert (again[:, :, 1, 1] == 24).all()
    assert (again[:, :, 0, 0] == 2 * 2 * 3).all()


def test_sizes_are_legal_and_fit() -> None:
    target = pk.targets.find("opencl-cpu")
    for rows, channels, taps, size, whole in (
        (64, 64, 9, (1, 1, 56, 56), (1, 57, 57)),
        (512, 512, 9, (8, 1, 7, 7), (1, 8, 8)),
        (1, 1, 1, (1, 1, 1, 1), (1, 1, 1)),
        (7, 3, 49, (2, 3, 500, 4000), (4, 503, 4003)),
    ):
        found = sizes.whole_tiles(rows, channels, taps, size, whole, 4, target)
        images, planes, lines, columns = found.block
        assert found.columns >= images * planes * lines * columns
        assert found.rows * found.columns * 4 <= sizes.MOST_BYTES
        assert planes == 1 or lines == whole[1]
        assert images == 1 or (planes, lines) == whole[:2]
