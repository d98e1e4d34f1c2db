"""Arrays of every library, looked at; scalars; the classes that kernels are specialised for."""

from __future__ import annotations

import numpy as np
import pytest

import portkernel as pk
from portkernel.ir import Tensor
from portkernel.runtime.arguments import ArrayRef, as_array, as_scalar, tensor_type


def ref(a: object) -> ArrayRef:
    found = as_array(a, "f(): a")
    assert found is not None
    return found


def kind(a: object) -> Tensor:
    return tensor_type(ref(a))


def aligned(shape: tuple[int, ...], dtype: str = "float32", offset: int = 0) -> np.ndarray:
    """An array whose first element lies ``offset`` elements past a multiple of 64 bytes."""
    size = int(np.prod(shape)) + offset + 64
    raw = np.zeros(size, dtype)
    start = (-raw.ctypes.data // raw.itemsize) % (64 // raw.itemsize) + offset
    return raw[start : start + int(np.prod(shape))].reshape(shape)


def test_open_and_static_sizes_and_strides():
    assert kind(aligned((4, 1, 48))) == Tensor(3, pk.float32, (None, 1, None), (None, 0, 1), 16)
    assert kind(aligned((4, 3))[:, ::-1]).strides == (None, None)
    assert kind(np.broadcast_to(np.float32(1), (3, 4))).strides == (0, 0)
    assert kind(np.zeros((), np.float64)) == Tensor(0, pk.float64, (), (), kind(np.zeros(())).align)


@pytest.mark.parametrize(
    ("shape", "offset", "align"), [((4, 48), 0, 16), ((4, 40), 0, 1), ((4, 48), 1, 1), ((4, 48), 4, 16)]
)
def test_alignment(shape, offset, align):
    assert kind(aligned(shape, offset=offset)).align == align


def test_the_stride_of_a_side_of_one_does_not_matter():
    a = aligned((1, 48))
    odd = np.lib.stride_tricks.as_strided(a, (1, 48), (1234, 4))
    assert kind(a) == kind(odd)


def test_negative_strides_point_at_the_first_element():
    a = np.arange(12, dtype=np.int32).reshape(3, 4)[::-1, ::-1]
    found = ref(a)
    assert found.ptr == a.ctypes.data and found.strides == (-4, -1)
    assert found.extent == (-44, 4)
    np.testing.assert_array_equal(found.numpy(), a)


def test_extent_of_an_empty_array():
    assert ref(np.zeros((0, 4), np.float32)).extent == (0, 0)


def test_what_lies_in_the_hosts_memory():
    assert pk.on_host(np.zeros(2)[::-1])
    with pytest.raises(pk.errors.ArgumentTypeError, match=r"on_host\(\): x: expected an array, got list"):
        pk.on_host([1, 2])


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    t = torch.arange(12, dtype=torch.float32).reshape(3, 4).t()
    found = ref(t)
    assert (found.ptr, found.shape, found.strides, found.dtype) == (t.data_ptr(), (4, 3), (1, 4), pk.float32)
    np.testing.assert_array_equal(found.numpy(), t.numpy())
    assert ref(torch.zeros(3, dtype=torch.bfloat16)).dtype is pk.bfloat16
    assert ref(torch.zeros(3, dtype=torch.bool)).dtype is pk.bool_
    with pytest.raises(pk.errors.ArgumentTypeError, match="dense tensor"):
        ref(torch.zeros(3, 3).to_sparse())
    with pytest.raises(pk.errors.ArgumentDTypeError):
        ref(torch.zeros(3, dtype=torch.complex64))


class OnlyDLPack:
    """A producer that offers nothing else; ``old`` knows no versions, as before DLPack 1.0."""

    def __init__(self, a: np.ndarray, old: bool = False) -> None:
        self.a = a
        self.old = old

    def __dlpack__(self, **options: object) -> object:
        if self.old and options:
            raise TypeError("unexpected keyword argument")
        return self.a.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.a.__dlpack_device__()


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int8", "uint16", "bool", "float64"])
def test_dlpack_producers(old, dtype):
    a = np.arange(6).astype(dtype).reshape(2, 3)[:, ::2]
    found = ref(OnlyDLPack(a, old))
    assert (found.shape, found.strides, found.dtype.name, found.device) == ((2, 2), (3, 2), dtype, "cpu")
    assert not found.readonly
    np.testing.assert_array_equal(found.numpy(), a)


def test_dlpack_read_only_is_seen():
    a = np.zeros(4, np.float32)
    a.flags.writeable = False
    assert ref(OnlyDLPack(a)).readonly


def test_small_floats():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        a = np.zeros(5, getattr(ml_dtypes, name))
        assert ref(a).dtype.name == name
        assert ref(a).numpy().dtype == a.dtype


def test_pyopencl_arrays():
    pytest.importorskip("pyopencl")
    from portkernel.runtime import driver

    cl_array = pytest.importorskip("pyopencl.array")
    handle = driver.find("opencl").device(None, None).handle
    a = cl_array.to_device(handle.queue, np.arange(10, dtype=np.float32))
    assert not pk.on_host(a)
    found = ref(a[3:])
    assert found.ptr == 12 and found.shape == (7,) and found.strides == (1,)
    assert found.device == f"opencl:{handle.context.int_ptr}:{handle.queue.int_ptr}"


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1, "int32"), (-(2**31), "int32"), (2**31, "int64"), (2**63, "uint64"), (True, "bool"), (1.5, "float32"),
        (np.int8(3), "int8"), (np.float64(1), "float64"), (np.float16(1), "float16"), (np.bool_(True), "bool"),
    ],
)  # fmt: skip
def test_scalars(value, dtype):
    found = as_scalar(value, double=False)
    assert found is not None and found[0].name == dtype and found[1] == value


def test_a_float_beside_float64_arrays_is_float64():
    assert as_scalar(1.5, double=True) == (pk.float64, 1.5)


def test_specs():
    spec = pk.TensorSpec
    assert spec((4, 1, 48), pk.float32).type == kind(aligned((4, 1, 48)))
    assert spec(2, "float16").type == Tensor(2, pk.float16, (None, None), (None, 1), 1)
    assert spec((4, 48), "int8", strides=(1, 4)).type.strides == (1, None)
    with pytest.raises(pk.errors.ArgumentShapeError, match="expected 2 of them, got 1"):
        spec((4, 48), "int8", strides=(1,))
    with pytest.raises(pk.errors.ArgumentShapeError, match="at most 5"):
        spec(6, "int8")


@pytest.mark.parametrize("shape", [-1, (3, -4), (3.5,), "ab", (3, None)])
def test_specs_of_no_array(shape):
    with pytest.raises((pk.errors.ArgumentShapeError, pk.errors.ArgumentTypeError), match=r"TensorSpec\(\): shape"):
        pk.TensorSpec(shape, "int8")


def test_a_class_made_from_a_torch_tensor():
    torch = pytest.importorskip("torch")

    class Weight(torch.Tensor):
        pass

    found = ref(torch.ones(7).as_subclass(Weight))
    assert found.shape == (7,) and found.device == "cpu"


def test_no_capsule():
    class Producer:
        def __dlpack__(self, **options):
            return 3

    with pytest.raises(pk.errors.ArgumentTypeError, match="expected a capsule from __dlpack__, got int"):
        ref(Producer())


def test_elements_at_odd_addresses():
    odd = np.zeros(401, np.uint8)[1:].view(np.float32)
    with pytest.raises(pk.errors.ArgumentShapeError, match="multiples of their 4 bytes, got the address 0x"):
        ref(odd)
