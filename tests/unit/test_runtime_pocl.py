"""The CPU's name in the record of a PoCL device."""

from __future__ import annotations

import ctypes
import platform
from types import SimpleNamespace

import pytest

from portkernel.runtime import pocl

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86-64 CPUs")


class Device:
    """A record of which PoCL would know where the name is, and what pyopencl says of it."""

    def __init__(
        self, cpu: str, build: str = "PoCL 3.0-rc2 LLVM 14.0.6, DISTRO", triple: str = "x86_64-unknown-linux-gnu"
    ):
        self.texts = [ctypes.create_string_buffer(text.encode()) for text in ("other", triple, cpu)]
        words = [0, 7, *map(ctypes.addressof, self.texts), 3]
        self.record = (ctypes.c_uint64 * (pocl._RECORD_BYTES // 8))(*words)
        self.int_ptr = ctypes.addressof(self.record)
        self.name, self.version = "pthread-a CPU", f"OpenCL 3.0 PoCL HSTR: pthread-{triple}-{cpu}"
        self.platform = SimpleNamespace(version=f"OpenCL 3.0 {build}")

    @property
    def cpu(self) -> str:
        text = ctypes.cast(self.record[4], ctypes.c_char_p).value
        assert text is not None
        return text.decode()


@pytest.fixture(autouse=True)
def a_haswell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pocl, "_given", {})
    monkeypatch.setattr(pocl, "_cpu_name", lambda: "haswell")


@pytest.mark.parametrize("cpu", ["generic", "znver3", "icelake-server", "skylake-avx512"])
def test_a_cpu_without_built_ins_of_its_own_takes_the_name_of_one_with(cpu: str) -> None:
    device = Device(cpu)
    assert pocl.build_options(device) == []
    assert pocl.repair(device) == "haswell" == device.cpu
    assert pocl.repair(device) == "haswell"
    assert pocl.build_options(device) == ["-DPORTKERNEL_CPU=haswell"]


@pytest.mark.parametrize(
    "device",
    [
        Device("haswell"),
        Device("znver3", build="PoCL 6.0 LLVM 18"),  # whose built-ins were compiled for the CPU at hand
        Device("znver3", triple="aarch64-unknown-linux-gnu"),
    ],
    ids=["of its own", "built here", "another architecture"],
)
def test_other_names_stay(device: Device) -> None:
    before = device.cpu
    assert pocl.repair(device) is None and device.cpu == before and pocl.build_options(device) == []
