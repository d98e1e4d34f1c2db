"""What a launch refuses of its grid, backend and device."""

from __future__ import annotations

import importlib.util
import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from launching import add, arrays, refused

import portkernel as pk
from portkernel import errors

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
