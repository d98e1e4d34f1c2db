"""CUDA: NVRTC compiles, CuPy launches. Compiling needs neither a driver nor CuPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import config, targets
from ..backends import Source
from ..errors import NoDeviceError, UnsupportedOpError
from ..ir import Func
from ..targets import Target
from ..targets.detection import nearest
from . import nvrtc
from .arguments import HOST, ArrayRef
from .cache import Entry
from .compilation import obtain
from .cuda_kernel import Loaded, package
from .driver import Binary, Device
from .specialize import outputs

_OPTIONS = ("--std=c++17", "--fmad=false", "--device-int128")
_PROFILES = {7: "nvidia-v100", 8: "nvidia-a100"}
"""By the major number of the architecture, where no profile knows the device; the newest that we know for later ones."""


class Driver:
    """The CUDA devices that CuPy sees, none of which is needed to compile."""

    name = "cuda"

    def devices(self) -> Sequence[Device]:
        try:
            runtime = package().cuda.runtime
            count = runtime.getDeviceCount()
        except Exception:  # no CuPy; or CuPy has an error class of its own for each library that may be missing
            return ()
        names = [runtime.getDeviceProperties(i)["name"].decode() for i in range(count)]
        return tuple(Device("cuda", name, f"cuda:{i}", f"cuda:{i}", i) for i, name in enumerate(names))

    def device(self, wanted: str | None, like: ArrayRef | None) -> Device:
        package()
        found = self.devices()
        if not found:
            raise NoDeviceError(
                "cuda: no device was found", hint="kernel.source() and kernel.compile() work without one"
            )
        if wanted is None:
            wanted = like.device if like is not None and like.device != HOST else "0"
        for device in found:
            if wanted in (str(device.handle), device.key) or (
                not wanted.isdigit() and wanted.lower() in device.name.lower()
            ):
                return device
        known = ", ".join(d.name for d in found)
        raise NoDeviceError(f"cuda: device: expected a known device, got {wanted!r}", hint=f"the devices are {known}")

    def target(self, device: Device) -> Target:
        facts = package().cuda.runtime.getDeviceProperties(device.handle)
        arch = f"sm_{facts['major']}{facts['minor']}"
        return targets.variant(
            nearest(device.name, arch, _PROFILES.get(facts["major"], "nvidia-h100")),
            arch=arch,
            local_bytes=int(facts.get("sharedMemPerBlockOptin") or facts["sharedMemPerBlock"]),
            units=int(facts["multiProcessorCount"]),
        )

    def compile(self, source: Source, func: Func, device: Device) -> Loaded:
        return Loaded(source, device, _obtain(source, "cubin").data, outputs(func))

    def binary(self, source: Source) -> Binary:
        nvrtc.library()
        if source.target.vendor != "nvidia":
            raise UnsupportedOpError(f"compile(): target: expected a target of NVIDIA, got {source.target.name!r}")
        entry = _obtain(source, "ptx")
        return Binary("ptx", entry.data, entry.log, {"arch": source.target.arch, "entry": source.entry, **entry.facts})


def _obtain(source: Source, form: str) -> Entry:
    job = {"compiler": "cuda", "text": source.text, "entry": source.entry, "arch": source.target.arch, "form": form}
    named = "nvrtc " + ".".join(map(str, nvrtc.version()))
    return obtain(source, named, {"form": form, "options": _OPTIONS}, job, lambda: compile_job(job), config.get())


def compile_job(job: Mapping[str, Any]) -> Entry:
    """Compile in this process. Raises :class:`.compilation.Refused` with the log."""
    ptx, cubin, log = nvrtc.compile(job["text"], f"{job['entry']}.cu", job["arch"], _OPTIONS)
    return Entry(ptx if job["form"] == "ptx" else cubin, log, {"arch": job["arch"]})
