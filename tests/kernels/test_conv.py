"""Convolutions against float64 references and PyTorch, in every layout, on the reference and on OpenCL."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from math import prod

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.catalog import gamma, poison, ratio, rounding
from portkernel.errors import ArgumentDTypeError, ArgumentError, ArgumentShapeError, OverlapError

catalog.package()
conv = importlib.import_module("portkernel.kernels.conv")
ref = importlib.import_module("portkernel.kernels.conv.reference")
BACKENDS = ["numpy", pytest.param("opencl", marks=pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL"))]  # fmt: skip


@dataclass(frozen=True)
class Shape:
    rank: int
    batch: int
    channels: int
    outputs: int
    image: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1

    def __str__(self) -> str:
        return f"{self.rank}d-{self.channels}-{self.outputs}-{'x'.join(map(str, self.kernel))}-g{self.groups}"

    def options(self) -> dict[str, object]:
        one = (1,) * self.rank
        pads = self.padding or ((0, 0),) * self.rank
        return {"stride": self.stride or one, "padding": pads, "dilation": self.dilation or one, "groups": self.groups}

    def three(self, values: tuple, missing: object) -> tuple:
        return (missing,) * (3 - self.rank) + tuple(values)

    def geometry(self) -> tuple[tuple, tuple, tuple]:
        given = self.options()
        return (
            self.three(given["stride"], 1),
            self.three(given["dilation"], 1),
            self.three(given["padding"], (0, 0)),
        )


SHAPES = (
    Shape(1, 2, 6, 4, (17,), (3,), (2,), ((1, 1),), groups=2),
    Shape(1, 1, 1, 1, (1,), (1,)),
    Shape(2, 2, 16, 5, (9, 11), (3, 3), padding=((1, 1), (1, 1))),
    Shape(2, 1, 3, 7, (13, 8), (5, 2), (2, 3), ((2, 0), (0, 3)), (1, 2)),
    Shape(2, 2, 9, 5, (6, 7), (1, 1)),
    Shape(2, 1, 9, 12, (6, 7), (1, 1), (2, 2), groups=3),
    Shape(2, 2, 8, 8, (9, 7), (3, 3), (2, 1), ((1, 1), (0, 2)), groups=8),
    Shape(2, 1, 4, 8, (7, 7), (2, 3), dilation=(3, 2), groups=4),
    Shape(2, 1, 10, 4, (8, 9), (4, 3), (3, 2), ((2, 2), (1, 1)), (2, 2), groups=2),
    Shape(3, 1, 4, 6, (4, 5, 6), (2, 3, 2), (1, 2, 2), ((1, 0), (0, 1), (1, 1)), (2, 1, 1), groups=2),
)


ON_OPENCL = (0, 3, 6, 8, 9)
BOTH = [("numpy", s) for s in SHAPES] + [pytest.param("opencl", SHAPES[i], marks=BACKENDS[1].marks) for i in ON_OPENCL]


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "float32", layout: str = "plain") -> np.ndarray:
    kind = pk.dtypes.as_dtype(dtype)
    match layout:
        case "plain":
            return catalog.sample(rng, shape, kind)
        case "channels last":
            return np.moveaxis(catalog.sample(rng, (shape[0], *shape[2:], shape[1]), kind), -1, 1)
        case "reversed":
            return catalog.sample(rng, (*shape[:-1], 2 * shape[-1]), kind)[:, ::-1, ..., ::-2]
        case "broadcast":
            return np.broadcast_to(catalog.sample(rng, (1, *shape[1:]), kind), shape)
    raise ValueError(layout)


def deep(x: np.ndarray, rank: int) -> np.ndarray:
    return x.reshape(*x.shape[:2], *(1,) * (3 - rank), *x.shape[2:])


def flat(x: np.ndarray, rank: int) -> np.ndarray:
    return x.reshape(*x.shape[:2], *x.shape[5 - rank :])


def accumulator(dtype: str) -> pk.DType:
    return pk.float64 if dtype == "float64" else pk.int32 if dtype == "int8" else pk.float32


def forward(s: Shape, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    stride, dilation, padding = s.geometry()
    return flat(ref.forward(deep(x, s.rank), deep(w, s.rank), stride, dilation, padding, s.groups), s.rank)


def check_forward(s: Shape, backend: str, dtype: str, layout: str) -> None:
    rng = np.random.default_rng(3)
    x = draw(rng, (s.batch, s.channels, *s.image), dtype, layout)
    w = draw(
        rng, (s.outputs, s.channels // s.groups, *s.kernel), dtype, "reversed" if layout == "reversed" else "plain"
    )
    b = draw(rng, (s.outputs,), accumulator(dtype).name)
    want = forward(s, ref.wide(x), ref.wide(w)) + ref.wide(b).reshape(-1, *(1,) * s.rank)
    size = forward(s, np.abs(ref.wide(x)), np.abs(ref.wide(w))) + np.abs(ref.wide(b)).reshape(-1, *(1,) * s.rank)
    out = poison(want.shape, accumulator(dtype) if dtype == "int8" else pk.dtypes.as_dtype(dtype))
    fn = getattr(conv, f"conv{s.rank}d")
    got = fn(x, w, b, **s.options(), out=out, backend=backend)
    assert got is out
    bound = gamma(prod(w.shape[1:]) + 3, accumulator(dtype)) * size + rounding(want, pk.dtypes.as_dtype(out.dtype))
    assert ratio(got, want, np.zeros(1) if dtype == "int8" else bound) <= 1


@pytest.mark.parametrize(("backend", "s"), BOTH, ids=str)
def test_forward(s: Shape, backend: str) -> None:
    check_forward(s, backend, "float32", "plain")


@pytest.mark.parametrize("layout", ["channels last", "reversed", "broadcast"])
@pytest.mark.parametrize("s", SHAPES[2:8:2], ids=str)
def test_forward_layouts(s: Shape, layout: str) -> None:
    check_forward(s, "numpy", "float32", layout)


@pytest.mark.parametrize("layout", ["channels last", "reversed"])
def test_forward_layouts_on_opencl(layout: str) -> None:
    pytest.importorskip("pyopencl")
    for s in (SHAPES[3], SHAPES[4], SHAPES[6]):
        check_forward(s, "opencl", "float32", layout)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int8"])
def test_forward_dtypes(dtype: str, backend: str) -> None:
    for s in (SHAPES[2], SHAPES[4], SHAPES[6]) if backend == "numpy" else SHAPES[3:4]:
        check_forward(s, backend, dtype, "plain")


def test_in_the_triton_interpreter() -> None:
    pytest.importorskip("triton")
    rng = np.random.default_rng(9)
    x, w = draw(rng, (2, 8, 7, 6)), draw(rng, (8, 4, 3, 3))
    route = {"backend": "triton", "device": "interpreter"}
    got = conv.conv2d(x, w, stride=2, padding=1, groups=2, **route)
    assert np.allclose(got, conv.conv2d(x, w, stride=2, padding=1, groups=2, backend="numpy"), atol=1e-4)
    got = conv.conv_transpose2d(x, w, stride=2, groups=2, **route)
    assert np.allclose(got, conv.conv_transpose2d(x, w, stride=2, groups=2, backend="numpy"), atol=1e-4)


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize(("backend", "s"), BOTH, ids=str)
def test_gradients(s: Shape, backend: str, last: bool) -> None:
    rng = np.random.default_rng(4)

    def seen(t: np.ndarray) -> np.ndarray:
        """``t`` as the function takes it: with channels last, in memory of that order too."""
        return np.ascontiguousarray(np.moveaxis(t, 1, -1)) if last else t

    x = draw(rng, (s.batch, s.channels, *s.image))
    w = draw(rng, (s.outputs, s.channels // s.groups, *s.kernel))
    g = draw(rng, forward(s, x, w).shape)
    stride, dilation, padding = s.geometry()
    options = s.options() | {"backend": backend, "channels_last": last}
    three = (*(1,) * (3 - s.rank), *s.image)

    def back(y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return flat(
            ref.transposed(deep(y, s.rank), deep(weight, s.rank), stride, dilation, padding, s.groups, three), s.rank
        )

    out = poison(seen(x).shape, pk.float32)
    got = getattr(conv, f"conv{s.rank}d_input")(out.shape, w, seen(g), **options, out=out)
    assert got.shape == out.shape
    got = np.moveaxis(got, -1, 1) if last else got
    want, size = back(ref.wide(g), ref.wide(w)), back(np.abs(ref.wide(g)), np.abs(ref.wide(w)))
    terms = s.outputs // s.groups * prod(s.kernel) + 3
    assert ratio(got, want, gamma(terms, pk.float32) * size + rounding(want, pk.float32)) <= 1

    def weights(y: np.ndarray, images: np.ndarray) -> np.ndarray:
        kernel = (*(1,) * (3 - s.rank), *s.kernel)
        found = ref.weight_gradient(deep(y, s.rank), deep(images, s.rank), kernel, stride, dilation, padding, s.groups)
        return flat(found, s.rank)

    got = getattr(conv, f"conv{s.rank}d_weight")(seen(x), w.shape, seen(g), **options, out=poison(w.shape, pk.float32))
    want, size = weights(ref.wide(g), ref.wide(x)), weights(np.abs(ref.wide(g)), np.abs(ref.wide(x)))
    pixels = g.size // g.shape[1]
    assert ratio(got, want, gamma(pixels + 16, pk.float32) * size + rounding(want, pk.float32)) <= 1

    axes = (0, *range(2, s.rank + 2))
    want, size = ref.wide(g).sum(axes), np.abs(ref.wide(g)).sum(axes)
    got = conv.conv_bias(seen(g), channels_last=last, backend=backend, out=poison(want.shape, pk.float32))
    assert ratio(got, want, gamma(pixels, pk.float32) * size + rounding(want, pk.float32)) <= 1


def test_gradients_channels_last_give_channels_last() -> None:
    rng = np.random.default_rng(10)
    wide, w, g = draw(rng, (2, 9, 16, 5)), draw(rng, (6, 5, 3, 3)), draw(rng, (2, 9, 8, 6))
    x = wide[:, :, ::-2]
    got = conv.conv2d_input(x.shape, w, g, padding="same", channels_last=True, backend="numpy")
    assert got.shape == x.shape
    assert got.flags.c_contiguous
    first = [np.moveaxis(t, -1, 1) for t in (x, g)]
    want = conv.conv2d_input(first[0].shape, w, first[1], padding="same", backend="numpy")
    assert np.array_equal(got, np.moveaxis(want, 1, -1))
    got = conv.conv2d_weight(x, w.shape, g, padding="same", channels_last=True, backend="numpy")
    assert np.array_equal(got, conv.conv2d_weight(first[0], w.shape, first[1], padding="same", backend="numpy"))
    nothing = conv.conv2d_weight(x[:0], w.shape, g[:0], padding="same", channels_last=True, backend="numpy")
    assert nothing.shape == w.shape
    assert not nothing.any()
    assert conv.conv2d_input((0, 9, 8, 5), w, g[:0], padding=1, channels_last=True, backend="numpy").shape == (
        0,
        9,
        8,
        5,
    )


def test_errors_of_gradients_channels_last() -> None:
    f = np.float32
    x, w, g = np.ones((1, 5, 6, 4), f), np.ones((2, 4, 3, 3), f), np.ones((1, 3, 4, 2), f)
    options = {"channels_last": True, "backend": "numpy"}
    with pytest.raises(ArgumentShapeError, match=r"conv2d_weight\(\): grad_output: expected shape \(1, 3, 4, 2\)"):
        conv.conv2d_weight(x, w.shape, np.moveaxis(g, -1, 1), **options)
    with pytest.raises(
        ArgumentShapeError, match=r"conv2d_weight\(\): weight_size: (?s:.*) x has its channels in the last axis"
    ):
        conv.conv2d_weight(np.moveaxis(x, -1, 1), w.shape, g, **options)
    with pytest.raises(ArgumentShapeError, match=r"conv2d_input\(\): grad_output: expected shape \(1, 3, 4, 2\)"):
        conv.conv2d_input(x.shape, w, g[:, 1:], **options)
    with pytest.raises(
        ArgumentShapeError, match=r"conv2d_input\(\): weight: (?s:.*) input_size has its channels in the last"
    ):
        conv.conv2d_input((1, 4, 5, 6), w, g, **options)
    with pytest.raises(ArgumentShapeError, match=r"conv2d_input\(\): input_size: expected 4 numbers"):
        conv.conv2d_input((1, 5, 4), w, g, **options)
    out = np.full((1, 4, 5, 6), 7, f)
    with pytest.raises(ArgumentShapeError, match=r"conv2d_input\(\): out: expected shape \(1, 5, 6, 4\)"):
        conv.conv2d_input(x.shape, w, g, **options, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_weight_gradient_in_shares(backend: str) -> None:
    rng = np.random.default_rng(5)
    x, g = draw(rng, (3, 4, 40, 45)), draw(rng, (3, 5, 38, 43))
    first = conv.conv2d_weight(x, (5, 4, 3, 3), g, backend=backend)
    want = ref.weight_gradient(*(deep(ref.wide(t), 2) for t in (g, x)), (1, 3, 3), (1,) * 3, (1,) * 3, ((0, 0),) * 3, 1)
    assert np.allclose(first, flat(want, 2), rtol=0, atol=2e-3)
    assert np.array_equal(first, conv.conv2d_weight(x, (5, 4, 3, 3), g, backend=backend))


@pytest.mark.parametrize(("backend", "s"), BOTH, ids=str)
def test_transposed_as_torch(s: Shape, backend: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    x = draw(rng, (s.batch, s.channels, *s.image))
    w = draw(rng, (s.channels, s.outputs // s.groups, *s.kernel))
    b = draw(rng, (s.outputs,))
    stride = s.stride or (1,) * s.rank
    dilation = s.dilation or (1,) * s.rank
    extra = tuple(max(a, d) - 1 for a, d in zip(stride, dilation, strict=True))
    padding = tuple(min(1, k - 1) for k in s.kernel)
    fn = getattr(torch.nn.functional, f"conv_transpose{s.rank}d")
    want = fn(*(torch.from_numpy(t).double() for t in (x, w, b)), stride, padding, extra, s.groups, dilation).numpy()
    size = fn(*(torch.from_numpy(np.abs(t)).double() for t in (x, w, b)), stride, padding, extra, s.groups, dilation)
    got = getattr(conv, f"conv_transpose{s.rank}d")(
        x, w, b, stride, padding, extra, s.groups, dilation, out=poison(want.shape, pk.float32), backend=backend
    )
    terms = s.channels // s.groups * prod(s.kernel) + 3
    assert ratio(got, want, gamma(terms, pk.float32) * size.numpy() + rounding(want, pk.float32)) <= 1


@pytest.mark.parametrize("name", ["relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh"])
def test_activation_and_residual(name: str) -> None:
    rng = np.random.default_rng(7)
    x, w, r = draw(rng, (1, 8, 6, 7)), draw(rng, (5, 8, 3, 3)), draw(rng, (1, 5, 4, 5))
    s = Shape(2, 1, 8, 5, (6, 7), (3, 3))
    before = forward(s, ref.wide(x), ref.wide(w)) + r
    size = forward(s, np.abs(ref.wide(x)), np.abs(ref.wide(w))) + np.abs(r)
    got = conv.conv2d(x, w, residual=r, activation=name, backend="numpy")
    want = importlib.import_module("portkernel.kernels.activations").reference(before, name)
    assert ratio(got, want, ref.sum_bound(size, 72, before, name, pk.float32, pk.float32)) <= 1


def test_activation_of_the_user() -> None:
    def squared_relu(x):
        return pk.maximum(x, 0) * pk.maximum(x, 0)

    x, w = np.arange(-8, 8, dtype=np.float32).reshape(1, 1, 4, 4), np.ones((1, 1, 1, 1), np.float32)
    got = conv.conv2d(x, w, activation=squared_relu, backend="numpy")
    assert np.array_equal(got, np.maximum(x, 0) ** 2)


def test_channels_last_gives_channels_last() -> None:
    rng = np.random.default_rng(8)
    x, w = draw(rng, (2, 9, 8, 5)), draw(rng, (6, 5, 3, 3))
    got = conv.conv2d(x, w, padding="same", channels_last=True, backend="numpy")
    assert got.shape == (2, 9, 8, 6)
    assert got.flags.c_contiguous
    plain = conv.conv2d(np.moveaxis(x, -1, 1), w, padding="same", backend="numpy")
    assert plain.strides[1] == 4  # the layout of x
    assert np.array_equal(np.moveaxis(plain, 1, -1), got)


def test_torch_tensors_stay_torch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.randn(2, 8, 7, 7).to(memory_format=torch.channels_last)
    w = torch.randn(4, 8, 3, 3)
    got = conv.conv2d(x, w, stride=2, padding=1, backend="numpy")
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(got, torch.nn.functional.conv2d(x, w, stride=2, padding=1), atol=1e-4)
    y = torch.randn(2, 4, 4, 4, dtype=torch.bfloat16)
    up = conv.conv_transpose2d(y, w.bfloat16(), stride=2, backend="numpy")
    assert up.dtype == torch.bfloat16
    assert up.shape == (2, 8, 9, 9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_empties(backend: str) -> None:
    f = np.float32
    assert conv.conv2d(np.ones((0, 3, 5, 5), f), np.ones((2, 3, 3, 3), f), backend=backend).shape == (0, 2, 3, 3)
    assert conv.conv2d(np.ones((1, 3, 5, 5), f), np.ones((0, 3, 3, 3), f), backend=backend).shape == (1, 0, 3, 3)
    nothing = conv.conv2d(np.ones((1, 0, 5, 5), f), np.ones((2, 0, 3, 3), f), np.array([1, 2], f), backend=backend)
    assert (nothing == np.array([1, 2], f).reshape(1, 2, 1, 1)).all()
    assert not conv.conv2d_weight(
        np.ones((0, 3, 5, 5), f), (2, 3, 3, 3), np.ones((0, 2, 3, 3), f), backend=backend
    ).any()
    assert not conv.conv_bias(np.ones((0, 2, 3, 3), f), backend=backend).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_special_and_extreme_values(backend: str) -> None:
    x = np.ones((1, 8, 5, 5), np.float32)
    w = np.ones((1, 8, 3, 3), np.float32)
    x[0, 0, 0, 0], x[0, 0, 4, 4] = np.nan, np.inf
    got = conv.conv2d(x, w, backend=backend)[0, 0]
    assert np.isnan(got[0, 0])
    assert np.isposinf(got[2, 2])
    assert np.isfinite(got[0, 1:]).all()
    tiny = conv.conv2d(np.full((1, 8, 5, 5), 1e-38, np.float32), w, backend=backend)
    assert np.allclose(tiny, 72e-38, rtol=1e-5, atol=0)
    large = conv.conv2d(np.full((1, 8, 5, 5), 6e4, np.float16), np.ones((1, 8, 3, 3), np.float16), backend=backend)
    assert np.isposinf(large).all()  # summed in float32, rounded once


def test_errors_come_before_anything_is_written() -> None:
    x, w = np.ones((1, 4, 5, 5), np.float32), np.ones((2, 4, 3, 3), np.float32)
    cases = [
        (ArgumentShapeError, r"conv2d\(\): x: expected an array of 4 axes", (x[0, 0], w), {}),
        (ArgumentShapeError, r"conv2d\(\): weight: expected \(O, 4 / groups", (x, w[:, :3]), {}),
        (ArgumentShapeError, r"conv2d\(\): weight: expected \(O, 4 / groups", (x, w), {"groups": 3}),
        (ArgumentDTypeError, r"conv2d\(\): weight: expected float32, got float64", (x, w.astype(np.float64)), {}),
        (ArgumentDTypeError, r"conv2d\(\): x: expected float32", (x.astype(np.int16), w), {}),
        (ArgumentShapeError, r"conv2d\(\): bias: expected shape \(2,\)", (x, w, np.ones(3, np.float32)), {}),
        (ArgumentError, r"conv2d\(\): stride: expected an integer of at least 1", (x, w), {"stride": 0}),
        (ArgumentError, r"conv2d\(\): dilation: expected", (x, w), {"dilation": (1, 1, 1)}),
        (ArgumentError, r'conv2d\(\): padding: expected "same"', (x, w), {"padding": "full"}),
        (
            ArgumentError,
            r"conv2d\(\): padding: expected numbers with a stride",
            (x, w),
            {"padding": "same", "stride": 2},
        ),
        (ArgumentError, r"conv2d\(\): padding: expected an integer of at least 0", (x, w), {"padding": -1}),
        (ArgumentError, r"conv2d\(\): activation: expected none, relu", (x, w), {"activation": "swish"}),
        (ArgumentShapeError, r"conv2d\(\): x: expected at least 11", (x, w), {"dilation": 5}),
        (ArgumentShapeError, r"conv2d\(\): residual: expected shape", (x, w), {"residual": x}),
        (ArgumentShapeError, r"conv2d\(\): out: expected shape", (x, w), {"out": np.full_like(x, 7)}),
    ]
    for kind, message, args, options in cases:
        with pytest.raises(kind, match=message):
            conv.conv2d(*args, **options, backend="numpy")
        if "out" in options:
            assert (options["out"] == 7).all()
    with pytest.raises(ArgumentError, match=r"conv_transpose2d\(\): output_padding: expected less than"):
        conv.conv_transpose2d(x, np.ones((4, 2, 3, 3), np.float32), output_padding=1, backend="numpy")
    with pytest.raises(ArgumentShapeError, match=r"conv2d_weight\(\): grad_output: expected shape \(1, 2, 3, 3\)"):
        conv.conv2d_weight(x, w.shape, x, backend="numpy")
    with pytest.raises(OverlapError):
        conv.conv2d(x, np.ones((4, 4, 1, 1), np.float32), out=x, backend="numpy")
