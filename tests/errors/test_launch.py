"""What a launch refuses of its arguments: class, message, hint; and that nothing was written."""

from __future__ import annotations

import numpy as np
import pytest
from launching import add, arrays, in_place, refused, scale

import portkernel as pk
from portkernel import errors

# --- the list of arguments ----------------------------------------------------------------------------------


def test_missing_argument():
    found = refused(errors.ArgumentError, "add(): out: expected a value, got none", args=arrays()[:2])
    assert "add[grid](x, y, out, B=64)" in found.hint


def test_unknown_argument():
    found = refused(errors.ArgumentError, "add(): Bb: expected a parameter of the kernel", Bb=3)
    assert "did you mean B?" in found.hint


def test_doubled_argument():
    refused(errors.ArgumentError, "add(): x: expected one value, got two", x=arrays()[0])


def test_too_many_arguments():
    refused(errors.ArgumentError, "add(): expected at most 4 arguments, got 5", args=(*arrays(), 64, 3))


@pytest.mark.parametrize("name", ["backend", "device", "num_warps", "num_stages", "target"])
def test_reserved_parameter_name(name):
    with pytest.raises(errors.ArgumentError, match=rf"bad\(\): {name}: expected another name"):
        pk.kernel_from_source(f"@pk.kernel\ndef bad(x, {name}): pass\n")


def test_a_parameter_called_self():
    """The names of our own methods' first parameters are the user's to take."""
    made = pk.kernel_from_source("@pk.kernel\ndef f(x, self):\n    pk.store(x, (0,), pk.full((3,), self, x.dtype))\n")
    x = np.zeros(3, np.int32)
    assert made.ir(x, self=3) and made.source(x, self=3, backend="opencl")
    made[(1,)](x, self=4, backend="numpy")
    made.eager[(1,)](x, self=4)
    assert (x == 4).all()


def test_key_of_an_unknown_parameter():
    with pytest.raises(
        errors.ArgumentError, match=r"add\(\): key: expected parameters of the kernel, got 'n'"
    ) as caught:
        pk.kernel(key=["n"])(add.fn)
    assert caught.value.hint == "the parameters are x, y, out, B"


def test_call_without_grid():
    with pytest.raises(errors.LaunchError, match=r"add\(\): expected a grid"):
        add(*arrays())


def test_options_of_the_wrong_type():
    refused(errors.ArgumentTypeError, "add(): num_warps: expected a positive integer, got 0", num_warps=0)
    refused(errors.ArgumentTypeError, "add(): backend: expected a name, got int", backend=3)


def test_configuration_with_an_unknown_constant():
    configured = pk.kernel(configs=[pk.Config(C=3)])(add.fn)
    refused(errors.ArgumentError, "configs: expected compile-time parameters", kernel=configured)


# --- one argument -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["text", None, [1.0, 2.0], object()])
def test_neither_array_nor_scalar(value):
    refused(
        errors.ArgumentTypeError, "add(): y: expected an array or a scalar, got", args=(arrays()[0], value, arrays()[2])
    )


def test_integer_beyond_64_bits():
    x, _, out = arrays()
    refused(
        errors.ArgumentDTypeError, "scale(): factor: expected an integer of at most 64 bits", scale, (x, 1 << 64, out)
    )


def test_complex_scalar():
    x, _, out = arrays()
    refused(
        errors.ArgumentDTypeError,
        "scale(): factor: expected a scalar of a kernel dtype",
        scale,
        (x, np.complex64(1), out),
    )


@pytest.mark.parametrize(
    "dtype", [object, "S3", "U3", "c8", "c16", "datetime64[s]", [("a", "f4"), ("b", "i4")], "V4"], ids=str
)
def test_dtype_that_kernels_do_not_take(dtype):
    x, _, out = arrays()
    refused(
        errors.ArgumentDTypeError,
        "add(): y: expected an array of a kernel dtype, got",
        args=(x, np.zeros(100, dtype), out),
    )


def test_big_endian():
    x, _, out = arrays()
    found = refused(
        errors.ArgumentDTypeError, "add(): y: expected native byte order, got >f4", args=(x, x.astype(">f4"), out)
    )
    assert "newbyteorder" in found.hint


def test_masked_array():
    x, y, out = arrays()
    refused(
        errors.ArgumentTypeError,
        "add(): y: expected an array or a scalar, got a masked array",
        args=(x, np.ma.array(y), out),
    )


def test_elements_between_multiples_of_their_size():
    x, _, out = arrays()
    field = np.zeros(100, [("a", "i1"), ("b", "f4")])["b"]
    refused(
        errors.ArgumentShapeError, "add(): y: expected elements at multiples of their 4 bytes", args=(x, field, out)
    )


def test_rank_above_five():
    x, _, out = arrays()
    refused(
        errors.ArgumentShapeError,
        "add(): y: expected an array of at most 5 dimensions, got 6",
        args=(x, np.zeros((1,) * 6), out),
    )


# --- outputs ------------------------------------------------------------------------------------------------


def test_read_only_output():
    x, y, out = arrays()
    out.flags.writeable = False
    refused(errors.ReadOnlyError, "add(): out: expected a writable array, got a read-only one", args=(x, y, out))


def test_read_only_input_is_legal():
    x, y, out = arrays()
    x.flags.writeable = False
    add[(2,)](x, y, out, backend="numpy")
    np.testing.assert_array_equal(out, x + y)


def test_output_that_is_an_input():
    x, y, _ = arrays()
    refused(errors.OverlapError, "add(): out: expected memory of its own, got memory shared with x", args=(x, y, x))


def test_output_that_overlaps_an_input_partly():
    base = np.arange(150, dtype=np.float32)
    refused(
        errors.OverlapError,
        "out: expected memory of its own, got memory shared with y",
        args=(arrays()[0], base[:100], base[50:]),
    )


def test_overlap_is_seen_again_by_a_launch_that_reuses_a_plan():
    x, y, out = arrays()
    add[(2,)](x, y, out, backend="numpy")
    refused(errors.OverlapError, "got memory shared with x", args=(x, y, x))
    refused(errors.OverlapError, "got memory shared with y", args=(x, y, y[::1]))


def test_interleaved_arrays_do_not_overlap():
    base = np.zeros(200, np.float32)
    base[::2] = np.arange(100)
    y = np.ones(100, np.float32)
    for _ in range(2):
        add[(2,)](base[::2], y, base[1::2], backend="numpy")
    np.testing.assert_array_equal(base[1::2], np.arange(100) + 1)


def test_output_that_overlaps_itself():
    x, y, _ = arrays()
    out = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (100,), (0,))
    refused(errors.OverlapError, "add(): out: expected distinct elements, got strides (0,)", args=(x, y, out))


def test_one_array_twice_as_input_is_legal():
    x, _, out = arrays()
    add[(2,)](x, x, out, backend="numpy")
    np.testing.assert_array_equal(out, 2 * x)


def test_a_parameter_may_be_read_and_written():
    x = np.arange(100, dtype=np.float32)
    in_place[(2,)](x, backend="numpy")
    np.testing.assert_array_equal(x, np.arange(100) + 1)
