"""What a launch refuses for lack of resources, packages or folders."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from launching import add, arrays, refused

import portkernel as pk
from portkernel import config, errors

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


@pytest.mark.parametrize("name", ["cache_dir", "dump_dir", "override_dir", "tune_dir"])
def test_folders_may_be_given_as_text(name, tmp_path):
    with config.override(**{name: str(tmp_path)}) as by_text, config.override(**{name: tmp_path}) as by_path:
        assert by_text is by_path
    if name != "override_dir":
        with config.override(**{name: "~/somewhere"}) as short, config.override(**{name: ""}) as none:
            assert getattr(short, name) == Path.home() / "somewhere"
            assert getattr(none, name) is None


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
    assert (
        done.returncode == 1
        and "SettingError: PORTKERNEL_TUNE: expected off, cached, budget:<seconds>s or full, got 'on'" in done.stderr
    )


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
