"""Layer, RMS, group and batch normalisation and their gradients, against PyTorch in float64."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.catalog import ratio
from portkernel.errors import ArgumentDTypeError, ArgumentShapeError, ArgumentTypeError

torch = pytest.importorskip("torch")
catalog.package()
layer, rms, group, batch, row = (
    importlib.import_module(f"portkernel.kernels.{n}_norm") for n in ("layer", "rms", "group", "batch", "row")
)

OPENCL = pytest.param("opencl", marks=pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL"))
BACKENDS = ["numpy", OPENCL]


def values(*shape: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(pk.dtypes.as_dtype(dtype).np)


def wanted(fn: Any, grad: np.ndarray, *inputs: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Result and gradients in float64."""
    leaves = [torch.tensor(x.copy(), dtype=torch.float64, requires_grad=True) for x in inputs]
    y = fn(*leaves)
    y.backward(torch.tensor(grad.copy(), dtype=torch.float64))
    return y.detach().numpy(), [x.grad.numpy() for x in leaves]


def close(got: np.ndarray, want: np.ndarray, tolerance: float = 3e-5) -> None:
    assert got.shape == want.shape
    assert np.abs(got - want).max(initial=0) <= tolerance * max(1.0, np.abs(want).max(initial=0))


def arranged(x: np.ndarray, layout: str) -> np.ndarray:
    """The same values in other memory."""
    if layout == "strided":
        big = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)[..., ::-2]
        big[...] = x
        return big
    if layout == "channels last" and x.ndim > 2:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    return np.asfortranarray(x) if layout == "first axis fastest" else x


LAYOUTS = ["", "strided", "channels last", "first axis fastest"]
ROUTES = [("numpy", layout) for layout in LAYOUTS] + [pytest.param("opencl", "channels last", marks=OPENCL.marks)]


@pytest.mark.parametrize(("backend", "layout"), ROUTES)
@pytest.mark.parametrize(("shape", "last"), [((5, 33), 1), ((3, 4, 6, 5), 2), ((2, 9001), 1), ((1, 1), 1)], ids=str)
def test_layer_and_rms_norm(backend: str, layout: str, shape: tuple[int, ...], last: int) -> None:
    x, g = arranged(values(*shape), layout), arranged(values(*shape, seed=1), layout)
    tail = shape[-last:]
    w, b = values(*tail, seed=2), values(*tail, seed=3)
    axes = tuple(range(len(shape) - last, len(shape)))
    y = layer.layer_norm(x, tail, w, b, backend=backend)
    want, grads = wanted(lambda x, w, b: torch.nn.functional.layer_norm(x, tail, w, b), g, x, w, b)
    bound = row.norm_bound(x.astype(float), w.astype(float), b.astype(float), axes, layer.EPS, False, pk.float32)
    assert ratio(y, want, bound) <= 1
    scale = 1 if np.prod(tail) > 1 else 1e3  # one element: its gradient is a difference of equals
    for got, expected in zip(layer.layer_norm_gradient(g, x, tail, w, backend=backend), grads, strict=True):
        close(got, expected, 3e-5 * scale)
    mean, deviation = x.mean(axes, keepdims=True), 1 / np.sqrt(x.var(axes, keepdims=True) + np.float32(layer.EPS))
    known = {"mean": mean, "scale": deviation}  # eps then counts for nothing
    for got, expected in zip(
        layer.layer_norm_gradient(g, x, tail, w, 9.0, backend=backend, **known), grads, strict=True
    ):
        close(got, expected, 3e-5 * scale)
    y = rms.rms_norm(x, tail, w, backend=backend)
    want, grads = wanted(lambda x, w: torch.nn.functional.rms_norm(x, tail, w, float(2.0**-23)), g, x, w)
    close(y, want)
    for got, expected in zip(rms.rms_norm_gradient(g, x, tail, w, backend=backend), grads, strict=True):
        close(got, expected)


@pytest.mark.parametrize(("backend", "layout"), ROUTES)
@pytest.mark.parametrize("shape", [(3, 6, 5, 4), (2, 6), (2, 6, 130)], ids=str)
def test_group_norm(backend: str, layout: str, shape: tuple[int, ...]) -> None:
    x, g = arranged(values(*shape), layout), arranged(values(*shape, seed=1), layout)
    w, b = values(6, seed=2), values(6, seed=3)
    want, grads = wanted(lambda x, w, b: torch.nn.functional.group_norm(x, 3, w, b), g, x, w, b)
    close(group.group_norm(x, 3, w, b, backend=backend), want, 2e-4)
    for got, expected in zip(group.group_norm_gradient(g, x, 3, w, backend=backend), grads, strict=True):
        close(got, expected, 3e-4)


@pytest.mark.parametrize(("backend", "layout"), ROUTES)
@pytest.mark.parametrize("shape", [(3, 6, 5, 4), (40, 6), (2, 6, 130)], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(backend: str, layout: str, shape: tuple[int, ...], training: bool) -> None:
    x, g = arranged(values(*shape), layout), arranged(values(*shape, seed=1), layout)
    w, b = values(6, seed=2), values(6, seed=3)
    mean, var = values(6, seed=4), np.abs(values(6, seed=5)) + np.float32(0.5)
    kept = [torch.tensor(t, dtype=torch.float64) for t in (mean, var)]
    want, grads = wanted(
        lambda x, w, b: torch.nn.functional.batch_norm(x, kept[0], kept[1], w, b, training), g, x, w, b
    )
    arguments = (g, x, mean.copy(), var.copy(), w, training)
    close(batch.batch_norm(x, mean, var, w, b, training, backend=backend), want)
    close(mean, kept[0].numpy())
    close(var, kept[1].numpy())
    for got, expected in zip(batch.batch_norm_gradient(*arguments, backend=backend), grads, strict=True):
        close(got, expected)
    if training:
        axes = (0, *range(2, x.ndim))
        known = {"mean": x.mean(axes), "scale": 1 / np.sqrt(x.var(axes) + np.float32(1e-5))}
        found = batch.batch_norm_gradient(*arguments, 9.0, backend=backend, **known)  # eps counts for nothing
        for got, expected in zip(found, grads, strict=True):
            close(got, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dtypes_and_no_weights(backend: str) -> None:
    for dtype in ("float16", "bfloat16", "float64"):
        x = values(4, 40, dtype=dtype)
        y = layer.layer_norm(x, 40, backend=backend)
        bound = row.norm_bound(x.astype(float), 1.0, 0.0, (1,), layer.EPS, False, pk.dtypes.as_dtype(dtype))
        want = row.reference_norm(x.astype(float), 1.0, 0.0, (1,), layer.EPS if dtype != "float64" else 1e-5, False)
        assert ratio(y, want, bound) <= 1
        gradients = layer.layer_norm_gradient(x, x, 40, backend=backend)
        assert [t.dtype for t in gradients] == [x.dtype] * 3
    far = values(3, 700) + np.float32(1000)
    want = row.reference_norm(far.astype(float), 1.0, 0.0, (1,), layer.EPS, False)
    bound = row.norm_bound(far.astype(float), 1.0, 0.0, (1,), layer.EPS, False, pk.float32)
    assert ratio(layer.layer_norm(far, 700, backend=backend), want, bound) <= 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_and_nan(backend: str) -> None:
    assert layer.layer_norm(values(0, 7), 7, backend=backend).shape == (0, 7)
    dx, dw, db = layer.layer_norm_gradient(values(0, 7), values(0, 7), 7, backend=backend)
    assert dx.shape == (0, 7)
    assert not dw.any()
    assert not db.any()
    x = values(3, 7)
    x[1, 2] = np.nan
    y = layer.layer_norm(x, 7, backend=backend)
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[[0, 2]]).all()


def test_torch_and_triton() -> None:
    x = torch.randn(4, 6, 5)
    w = torch.randn(6)
    got = group.group_norm(x, 2, w)
    assert torch.allclose(got, torch.nn.functional.group_norm(x, 2, w), atol=1e-5)
    pytest.importorskip("triton")
    a = values(5, 33)
    got = layer.layer_norm(a, 33, backend="triton", device="interpreter")
    close(got, row.reference_norm(a.astype(float), 1.0, 0.0, (1,), layer.EPS, False))


def test_refusals() -> None:
    x = values(4, 6)
    with pytest.raises(ArgumentShapeError, match="normalized_shape"):
        layer.layer_norm(x, 5)
    with pytest.raises(ArgumentShapeError, match=r"rms_norm\(\): weight: expected shape \(6,\)"):
        rms.rms_norm(x, 6, values(4))
    with pytest.raises(ArgumentDTypeError, match="x: expected"):
        layer.layer_norm(np.ones((2, 2), np.int32), 2)
    with pytest.raises(ArgumentShapeError, match="num_groups"):
        group.group_norm(x, 4)
    with pytest.raises(ArgumentTypeError, match="running_mean"):
        batch.batch_norm(x, None, None)
    with pytest.raises(ArgumentShapeError, match="more than one value"):
        batch.batch_norm(x[:1], None, None, training=True)
    with pytest.raises(ArgumentShapeError, match="grad"):
        layer.layer_norm_gradient(x[:2], x, 6)
    with pytest.raises(ArgumentTypeError, match="scale: expected mean and scale"):
        layer.layer_norm_gradient(x, x, 6, mean=values(3, 1))
    with pytest.raises(ArgumentShapeError, match="mean: expected shape"):
        layer.layer_norm_gradient(x, x, 6, mean=values(6), scale=values(6))
    with pytest.raises(ArgumentTypeError, match="scale: expected mean and scale"):
        batch.batch_norm_gradient(x, x, mean=values(6))
