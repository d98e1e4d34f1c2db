"""What a launch refuses, by class and message; no output is touched by a refused launch."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import portkernel as pk
from portkernel import config, errors


@pk.kernel
def add(x, y, out, B: pk.constexpr[int] = 64):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) + pk.load(y, (i,), (B,)))


@pk.kernel
def scale(x, factor, out, B: pk.constexpr[int] = 64):
    i = pk.program_id(0)
    pk.store(out, (i,), (pk.load(x, (i,), (B,)) * factor).astype(out.dtype))


@pk.kernel
def in_place(x, B: pk.constexpr[int] = 64):
    i = pk.program_id(0)
    pk.store(x, (i,), pk.load(x, (i,), (B,)) + 1)


def arrays(n: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.arange(n, dtype=np.float32)
    return x, x + 1, np.full(n, -7, np.float32)


def refused(error: type[Exception], message: str, kernel=add, args=None, grid=(2,), **kwargs) -> errors.PortkernelError:
    """The launch raises ``error`` with ``message`` in it, and writes to no array."""
    args = arrays() if args is None else args
    before = [a.copy() for a in args if isinstance(a, np.ndarray)]
    kwargs.setdefault("backend", "numpy")
    with pytest.raises(error) as caught:
        kernel[grid](*args, **kwargs)
    assert type(caught.value) is error
    assert message in caught.value.message
    after = [a for a in args if isinstance(a, np.ndarray)]
    for old, new in zip(before, after, strict=True):
        assert old.tobytes() == new.tobytes()
    return caught.value


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


# --- the grid -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ((), "expected 1 to 3 sizes, got 0"),
        ((1, 1, 1, 1), "expected 1 to 3 sizes, got 4"),
        ((-1,), "expected sizes of at least 0, got -1 in dimension 0"),
        ((2, -3), "got -3 in dimension 1"),
        ((1 << 40,), "expected at most 2147483647 in dimension 0"),
        ((1.5,), "expected integers, got 1.5"),
        (("2",), "expected integers, got str"),
        (True, "expected integers, got True"),
        (None, "expected integers, got NoneType"),
        (lambda meta: (meta["B"] / 2,), "expected integers, got 32.0"),
    ],
)
def test_grid(grid, message):
    refused(errors.GridError, message, grid=grid)


def test_a_grid_with_a_zero_launches_nothing_and_still_checks():
    x, y, out = arrays()
    add[(0,)](x, y, out, backend="numpy")
    assert (out == -7).all()
    refused(errors.OverlapError, "got memory shared with x", args=(x, y, x), grid=(0,))


def test_grid_forms():
    for grid in (2, (2,), [2], np.int64(2), (np.int32(2), 1, 1), lambda meta: pk.cdiv(100, meta["B"])):
        x, y, out = arrays()
        add[grid](x, y, out, backend="numpy")
        np.testing.assert_array_equal(out, x + y)


# --- backends and devices -----------------------------------------------------------------------------------


def test_unknown_backend():
    refused(errors.UnknownBackendError, "add(): backend: expected a known backend, got 'metal'", backend="metal")
    with pytest.raises(errors.UnknownBackendError, match=r"use\(\): backend"), pk.use(backend="metal"):
        pass


def test_unknown_device():
    refused(errors.NoDeviceError, "device: expected numpy, got 'gpu7'", device="gpu7")


def test_unknown_target():
    with pytest.raises(errors.UnknownTargetError, match="expected a known profile, got 'nvidia-z9'"):
        add.source(*arrays(), backend="opencl", target="nvidia-z9")


def test_numpy_has_no_compiler():
    with pytest.raises(errors.UnsupportedOpError, match="expected a backend with a compiler"):
        add.compile(*arrays(), backend="numpy")


class OnCuda:
    """An array on a CUDA device, as far as anyone can see without one."""

    def __init__(self, device: int = 0) -> None:
        self.device = SimpleNamespace(id=device)
        self.dtype = np.dtype(np.float32)

    @property
    def __cuda_array_interface__(self) -> dict[str, object]:
        return {"shape": (100,), "typestr": "<f4", "data": (1 << 20, False), "version": 3, "strides": None}


def test_arrays_on_different_devices():
    x, _, out = arrays()
    refused(
        errors.DeviceMismatchError,
        "add(): y: expected an array on cpu like x, got one on cuda:0",
        args=(x, OnCuda(), out),
    )
    refused(
        errors.DeviceMismatchError,
        "add(): y: expected an array on cuda:0 like x, got one on cuda:1",
        args=(OnCuda(), OnCuda(1), out),
    )


def test_backend_that_does_not_reach_the_arrays():
    with pytest.raises(errors.DeviceMismatchError, match="expected a device that reaches the arrays on cuda:0"):
        add[(2,)](OnCuda(), OnCuda(), OnCuda(), backend="numpy")


@pytest.fixture
def without_pyopencl(monkeypatch):
    """A process where pyopencl is not installed."""
    from portkernel.runtime import driver

    driver.find.cache_clear()
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    yield
    driver.find.cache_clear()


def test_package_that_is_not_installed(without_pyopencl):
    found = refused(errors.MissingDependencyError, "opencl: pyopencl is not installed", backend="opencl")
    assert found.hint == 'pip install "portkernel[cpu]"'


def test_fallback_to_numpy_is_logged_once_and_counted(without_pyopencl, caplog):
    x, y, out = arrays()
    pk.reset_stats()
    with caplog.at_level(logging.WARNING, "portkernel"):
        fresh = pk.kernel(add.fn)
        fresh[(2,)](x, y, out)
        fresh[(2,)](x[:50], y[:50], out[:50])
    np.testing.assert_array_equal(out, x + y)
    (reason,) = pk.stats().fallbacks
    assert "pyopencl is not installed" in reason
    assert len([r for r in caplog.records if "pyopencl" in r.getMessage()]) == 1


def test_strict_refuses_the_fallback(without_pyopencl):
    with pk.use(strict=True):
        found = refused(errors.FallbackError, "host arrays run on NumPy", kernel=pk.kernel(add.fn), backend=None)
    assert "portkernel[cpu]" in found.hint


@pytest.mark.skipif(importlib.util.find_spec("pyopencl") is None, reason="pyopencl is not installed")
def test_unknown_opencl_device():
    found = refused(
        errors.NoDeviceError, "opencl: device: expected a known device, got 'nosuch'", backend="opencl", device="nosuch"
    )
    assert "the devices are" in found.hint


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy is not installed")
def test_no_cuda_device(monkeypatch):
    from portkernel.runtime import cuda

    monkeypatch.setattr(cuda.Driver, "devices", lambda self: ())
    refused(errors.NoDeviceError, "cuda: no device was found", backend="cuda")


def test_device_assertion():
    @pk.kernel
    def checked(x, B: pk.constexpr[int] = 64):
        tile = pk.load(x, (0,), (B,))
        pk.device_assert(tile >= 0, "x is negative")
        pk.store(x, (0,), tile + 1)

    for backend in ("numpy", *(["opencl"] if importlib.util.find_spec("pyopencl") else [])):
        x = np.zeros(64, np.float32)
        checked[(1,)](x, backend=backend)
        x[5] = -1
        with pytest.raises(errors.DeviceAssertionError, match=r"^device_assert\(\): x is negative\n") as caught:
            checked[(1,)](x, backend=backend)
        assert caught.value.loc.file == __file__
        assert 'pk.device_assert(tile >= 0, "x is negative")' in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_triton_is_interpreted_only_where_that_was_asked_for(monkeypatch):
    from portkernel.runtime import triton

    monkeypatch.setattr(triton, "_gpus", lambda: ())
    found = refused(errors.NoDeviceError, "triton: no GPU was found", backend="triton")
    assert 'device="interpreter"' in found.hint
    x, y, out = arrays()
    add[(2,)](x, y, out, backend="triton", device="interpreter")
    np.testing.assert_array_equal(out, x + y)


# --- what a target, or a machine, lacks ---------------------------------------------------------------------


def test_dtype_that_the_target_lacks():
    from portkernel import targets

    bare = targets.variant(targets.find("opencl-cpu"), name="bare", absent=frozenset({"float64"}))
    doubles = pk.TensorSpec((100,), "float64")
    with pytest.raises(errors.UnsupportedDTypeError, match=r"add\(\): x: expected a dtype that bare has, got float64"):
        add.source(doubles, doubles, doubles, backend="opencl", target=bare)

    @pk.kernel
    def widens(x, B: pk.constexpr[int] = 64):
        wide = pk.load(x, (0,), (B,)).astype(pk.float64) * 0.1
        pk.store(x, (0,), wide.astype(x.dtype))

    with pytest.raises(errors.UnsupportedDTypeError, match="got float64") as caught:
        widens.source(pk.TensorSpec((100,), "float32"), backend="opencl", target=bare)
    assert "astype(pk.float64)" in str(caught.value)


@pk.kernel
def turn(x, out, B: pk.constexpr[int] = 16):
    t = pk.load(x, (0, 0), (B, B))
    pk.store(out, (0, 0), pk.cumsum(t, axis=0).T)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"backend": "opencl", "target": "opencl-gpu"},
            "turn(): local memory: expected at most 32768 bytes on opencl-gpu",
        ),
        ({"backend": "cuda", "target": "nvidia-h100"}, "turn(): local memory: expected at most 232448 bytes on nvidia"),
        ({"backend": "opencl", "target": "opencl-cpu"}, "turn(): private memory: expected at most"),
        (
            {"backend": "triton", "target": "nvidia-h100"},
            "triton: tile: expected at most 1048576 elements, got 16777216",
        ),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_a_tile_that_does_not_fit(options, match):
    square = pk.TensorSpec(2, "float32")
    with pytest.raises(errors.ResourceError) as caught:
        turn.source(square, square, B=4096, **options)
    assert type(caught.value) is errors.ResourceError and match in caught.value.message
    assert caught.value.hint == "use smaller tiles"
    first = turn.fn.__code__.co_firstlineno
    assert caught.value.loc.file == __file__ and first < caught.value.loc.line <= first + 3


def test_configurations_that_do_not_fit_are_passed_over():
    """The first that fits is taken; where none does, the error of the last is raised."""
    x, out = np.ones((8, 8), np.float32), np.zeros((8, 8), np.float32)
    fits = pk.kernel(configs=[pk.Config(B=4096), pk.Config(B=8)])(turn.fn)
    fits[(1,)](x, out, backend="opencl")
    np.testing.assert_array_equal(out, np.cumsum(x, axis=0).T)
    large = pk.kernel(configs=[pk.Config(B=8192), pk.Config(B=4096)])(turn.fn)
    with pytest.raises(errors.ResourceError, match="got 67108864"):
        large[(1,)](x, out, backend="opencl")


def test_compiler_that_is_not_installed(monkeypatch):
    from portkernel.runtime import nvrtc

    nvrtc.library.cache_clear()
    monkeypatch.setattr(nvrtc, "_candidates", lambda: ["libnosuch.so"])
    spec = pk.TensorSpec((100,), "float32")
    with pytest.raises(errors.MissingDependencyError, match="NVRTC is not installed") as caught:
        add.compile(spec, spec, spec, backend="cuda")
    assert caught.value.hint == 'pip install "portkernel[cuda]"'


def test_compile_for_a_target_of_another_vendor():
    pytest.importorskip("nvidia")
    spec = pk.TensorSpec((100,), "float32")
    with pytest.raises(errors.UnsupportedOpError, match="expected a target of NVIDIA, got 'amd-mi300x'"):
        add.compile(spec, spec, spec, backend="cuda", target="amd-mi300x")


@pytest.mark.skipif(importlib.util.find_spec("pyopencl") is None, reason="pyopencl is not installed")
def test_no_opencl_platform(monkeypatch):
    from portkernel.runtime import opencl, platforms

    monkeypatch.setattr(platforms, "all_devices", lambda: [])
    found = refused(errors.NoDeviceError, "opencl: no device was found", backend="opencl")
    assert found.hint == 'pip install "portkernel[cpu]"'
    assert opencl.Driver().devices() == ()


@pytest.mark.parametrize("method", ["ir", "source", "compile"])
def test_options_that_a_method_has_not(method):
    with pytest.raises(
        errors.ArgumentTypeError, match=rf"add\.{method}\(\): device: expected no such option, got 'cpu'"
    ):
        getattr(add, method)(*arrays(), device="cpu")


def test_targets_that_are_none():
    with pytest.raises(
        errors.ArgumentTypeError, match=r"add.source\(\): target: expected a profile or its name, got int"
    ):
        add.source(*arrays(), target=3)


@pytest.mark.parametrize(
    ("value", "hint"), [(memoryview(b"ab"), "numpy.asarray"), (Fraction(1), "float"), (None, "constexpr")]
)
def test_the_cure_for_an_argument_of_another_type(value, hint):
    assert (
        hint in refused(errors.ArgumentTypeError, "x: expected an array or a scalar", args=(value, *arrays()[1:])).hint
    )


@pytest.mark.parametrize("side", [2**31, 2**40])
def test_tiles_beyond_every_memory(side):
    refused(errors.ShapeError, "expected at most 2147483647 elements", backend="numpy", B=side)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COMPILE_TIMEOUT", "abc"),
        ("COMPILE_TIMEOUT", "inf"),
        ("NUMPY_CHUNK", "-5"),
        ("NUMPY_CHUNK", "64MB"),
        ("SCHEDULE", "foo"),
        ("TUNE", "budget:"),
        ("TUNE", "budget:-1s"),
        ("TUNE", "on"),
        ("OVERRIDE", "/nonexistent/folder"),
    ],
)
def test_settings_that_make_no_sense(name, value):
    with pytest.raises(errors.SettingError, match=f"PORTKERNEL_{name}: expected .*, got '{value}'"):
        config.from_environment({f"PORTKERNEL_{name}": value})


def test_stages_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with config.override(dump_dir=tmp_path / "file" / "below"):
        refused(errors.SettingError, "PORTKERNEL_DUMP: expected a folder that can be written", B=48)


@pytest.mark.parametrize("setting", ["dump_dir", "override_dir", "cache_dir"])
def test_a_folder_that_is_a_file(setting, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(errors.SettingError, match="expected a folder, got the file"),
        config.override(**{setting: tmp_path / "file"}),
    ):
        pass


def test_a_setting_is_refused_on_import():
    env = os.environ | {"PORTKERNEL_TUNE": "on"}
    done = subprocess.run([sys.executable, "-c", "import portkernel"], env=env, capture_output=True, text=True)
    assert done.returncode == 1 and "SettingError: PORTKERNEL_TUNE: expected off, cached, budget:<seconds>s or full, got 'on'" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_opencl_in_a_fork(monkeypatch):
    platforms = pytest.importorskip("portkernel.runtime.platforms")
    monkeypatch.setattr(platforms._PROCESS, "forked", True)  # as the child of a process that used OpenCL
    with pytest.raises(errors.NoDeviceError, match="got a fork of it"):
        platforms.check_process()
    monkeypatch.setattr(platforms._PROCESS, "forked", False)
    platforms.check_process()


def test_auto_of_no_integers():
    with pytest.raises(errors.CallError, match="expected integers with 1 <= low <= high, got 'a' and 2"):
        pk.auto("a", 2)
