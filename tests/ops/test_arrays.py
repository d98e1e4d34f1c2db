"""Arrays of every library in and out, where they lie: no copies on a CPU device, ``out`` of any strides, nothing lost."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import portkernel as pk
from portkernel.errors import ArgumentTypeError, DeviceMismatchError
from portkernel.ops.samples import samples

torch = pytest.importorskip("torch")
needs_opencl = pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 33)).astype(np.float32)
WANT = np.exp(X) / np.exp(X).sum(1, keepdims=True)


class Foreign:
    """An array of a library that is known to none: it has DLPack and nothing else."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


class Namespaced(Foreign):
    """One whose library follows the array API standard."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        class Library:
            from_dlpack = staticmethod(lambda x: Namespaced(np.from_dlpack(x)))

        return Library


def test_numpy_gives_numpy() -> None:
    assert type(pk.ops.softmax(X, backend="numpy")) is np.ndarray


@pytest.mark.parametrize("backend", ["numpy", pytest.param("opencl", marks=needs_opencl)])
def test_torch_gives_torch(backend: str) -> None:
    got = pk.ops.softmax(torch.from_numpy(X), backend=backend)
    assert isinstance(got, torch.Tensor) and torch.allclose(got, torch.from_numpy(WANT), atol=1e-6)
    weight = torch.nn.Parameter(torch.ones(7, 33))
    with torch.no_grad():
        assert pk.ops.linear(torch.from_numpy(X), weight, backend=backend).shape == (5, 7)


def test_a_subclass_of_a_tensor_is_a_tensor() -> None:
    class Mine(torch.Tensor):
        pass

    got = pk.ops.exp(torch.from_numpy(X).as_subclass(Mine), backend="numpy")
    assert isinstance(got, torch.Tensor) and torch.allclose(
        got.as_subclass(torch.Tensor), torch.exp(torch.from_numpy(X))
    )


def test_a_recorded_gradient_is_refused_not_dropped() -> None:
    x = torch.from_numpy(X.copy()).requires_grad_()
    for _ in range(4):
        assert pk.ops.exp(x.detach(), backend="numpy").shape == (5, 33)
        with torch.no_grad():
            assert pk.ops.exp(x, backend="numpy").shape == (5, 33)
        with pytest.raises(ArgumentTypeError, match=r"exp\(\): x: expected a tensor without gradient"):
            pk.ops.exp(x, backend="numpy")


def test_a_producer_of_dlpack_gives_numpy_or_its_own_kind() -> None:
    got = pk.ops.softmax(Foreign(X), backend="numpy")
    assert type(got) is np.ndarray and np.allclose(got, WANT, atol=1e-6)
    own = pk.ops.softmax(Namespaced(X), backend="numpy")
    assert type(own) is Namespaced and np.allclose(own.array, WANT, atol=1e-6)
    total = pk.ops.concatenate([Foreign(X), Foreign(X)], backend="numpy")
    assert np.array_equal(total, np.concatenate([X, X]))


def test_out_of_a_producer_of_dlpack_is_filled_and_returned() -> None:
    out = Foreign(np.full_like(X, np.nan))
    assert pk.ops.softmax(Foreign(X), out=out, backend="numpy") is out
    assert np.allclose(out.array, WANT, atol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "exp", "cumsum", "transpose", "linear", "matmul", "tril", "take"])
@pytest.mark.parametrize("backend", ["numpy", pytest.param("opencl", marks=needs_opencl)])
def test_out_of_any_strides(name: str, backend: str) -> None:
    sample = samples(name, "float32")[0]
    op = pk.ops.find(name)
    plain = op(*sample.args, **sample.kwargs, backend=backend)
    room = np.full((*plain.shape[:-1], 2 * plain.shape[-1]), np.nan, plain.dtype)
    out = room[..., ::-2]
    assert op(*sample.args, **sample.kwargs, out=out, backend=backend) is out
    assert sample.check(out) <= 1
    assert np.isnan(room[..., ::2]).all()  # the gaps stay


@needs_opencl
def test_pyopencl_gives_pyopencl_on_its_own_queue() -> None:
    import pyopencl as cl
    import pyopencl.array as cla

    device = pk.runtime.platforms.all_devices()[0]
    queue = cl.CommandQueue(cl.Context([device]))
    x = cla.to_device(queue, X)
    got = pk.ops.softmax(x)
    assert isinstance(got, cla.Array) and got.queue is queue and np.allclose(got.get(), WANT, atol=1e-6)
    with pytest.raises(DeviceMismatchError, match=r"add\(\): y: expected an array on opencl:.* like x, got one on cpu"):
        pk.ops.add(x, X)


@needs_opencl
def test_host_arrays_are_not_copied_for_a_cpu_device() -> None:
    pk.reset_stats()
    pk.ops.softmax(X, backend="opencl")
    pk.ops.softmax(torch.from_numpy(X), backend="opencl")
    pk.ops.linear(X, X[:, ::-1], backend="opencl")
    found = pk.stats()
    assert found.bytes_copied == 0 and sum(found.launches.values()) == 3


@pytest.mark.parametrize(
    "name", ["transpose", "reshape", "squeeze", "expand_dims", "broadcast_to", "swapaxes", "ravel"]
)
def test_views_launch_nothing_and_share_memory(name: str) -> None:
    sample = samples(name, "float32")[0]
    pk.reset_stats()
    got = pk.ops.find(name)(*sample.args, **sample.kwargs)
    assert np.shares_memory(got, sample.args[0]) and not pk.stats().launches
    tensor = torch.from_numpy(sample.args[0])
    again = pk.ops.find(name)(tensor, *sample.args[1:], **sample.kwargs)
    assert again.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,)], ids=str)
def test_scalars_and_empty_arrays_as_numpy(shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    for name in ("exp", "add", "sum", "transpose", "ravel"):
        args = (x, x) if name == "add" else (x,)
        want = getattr(np, name)(*args)
        got = pk.ops.find(name)(*args, backend="numpy")
        assert np.shape(got) == np.shape(want) and np.allclose(got, want)


def test_dtypes_combine_as_in_pytorch() -> None:
    for a in ("int8", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64", "bool"):
        for b in ("int8", "int32", "float16", "bfloat16", "float32", "float64"):
            x, y = torch.ones(3, dtype=getattr(torch, a)), torch.ones(3, dtype=getattr(torch, b))
            assert pk.ops.add(x, y, backend="numpy").dtype == (x + y).dtype, (a, b)
        scalar = pk.ops.multiply(torch.ones(3, dtype=getattr(torch, a)), 2.5, backend="numpy")
        assert scalar.dtype == (torch.ones(3, dtype=getattr(torch, a)) * 2.5).dtype, a


@pytest.mark.parametrize(
    "name", ["sort", "argsort", "topk", "split", "var_mean", "layer_norm_gradient", "fold_batch_norm"]
)
def test_out_also_where_results_are_several(name: str) -> None:
    sample = samples(name, "float32")[0]
    op = pk.ops.find(name)
    want = op(*sample.args, **sample.kwargs, backend="numpy")
    several = isinstance(want, (tuple, list))
    out = tuple(np.zeros((*w.shape, 2), w.dtype)[..., 1] for w in (want if several else (want,)))
    given = out if several else out[0]
    for _ in range(4):  # the later ones without the host function
        for o in out:
            o[...] = 0
        got = op(*sample.args, **sample.kwargs, out=given, backend="numpy")
        assert all(a is b for a, b in zip(got if several else (got,), out, strict=True)) and sample.check(got) <= 1
    wrong = tuple(np.zeros(3, np.int16) for _ in out)
    with pytest.raises(pk.errors.LaunchError, match=rf"^{name}\(\): out: expected"):
        op(*sample.args, **sample.kwargs, out=wrong if several else wrong[0], backend="numpy")


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose1d", "max_pool2d", "avg_pool3d", "adaptive_avg_pool2d"])
def test_one_image_without_its_axis_as_in_pytorch(name: str) -> None:
    rank = int(name[-2])
    x = RNG.standard_normal((3, *(6,) * rank)).astype(np.float32)
    if "conv" in name:
        rest: tuple[Any, ...] = (RNG.standard_normal((3, 3, *(3,) * rank)).astype(np.float32),)
    else:
        rest = (2,)
    want = getattr(torch.nn.functional, name)(
        *(torch.from_numpy(t) if isinstance(t, np.ndarray) else t for t in (x, *rest))
    )
    op = pk.ops.find(name)
    got = op(x, *rest, backend="numpy")
    assert got.shape == tuple(want.shape) and np.allclose(got, want.numpy(), atol=1e-5)
    out = np.empty_like(got)
    assert op(x, *rest, out=out, backend="numpy") is out and np.array_equal(out, got)
    if name == "max_pool2d":
        values, places = op(x, 2, return_indices=True, backend="numpy")
        assert values.shape == places.shape == got.shape
