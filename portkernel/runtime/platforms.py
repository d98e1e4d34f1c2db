"""Which OpenCL implementations a process sees: the loader's settings, made before it is loaded."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import config
from ..errors import ForkError, MissingDependencyError, NoDeviceError
from . import pocl
from .cache import write_whole

_SYSTEM_VENDORS = Path("/etc/OpenCL/vendors")
_INTEL = "libintelocl.so"
_INTEL_WHEEL = "intel-opencl-rt"


def load() -> ModuleType:
    """pyopencl, with every implementation that is installed within its sight.

    Raises :class:`~portkernel.errors.MissingDependencyError` where pyopencl is absent.
    """
    _prepare(config.get())  # the loader reads its settings when it is first asked for platforms
    try:
        import pyopencl
    except ImportError:
        raise MissingDependencyError(
            "opencl: pyopencl is not installed", hint='pip install "portkernel[cpu]"'
        ) from None
    return pyopencl


@cache
def import_invoker() -> None:
    """To be called before a ``pyopencl.Kernel`` is made: for the first one pyopencl opens a database in the user's cache folder,
    and fails without one."""
    import sqlite3
    import tempfile

    try:
        import_module("pyopencl.invoker")
    except (OSError, sqlite3.Error):
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="portkernel-pyopencl-")
        try:
            import_module("pyopencl.invoker")
        finally:
            if before is None:
                del os.environ["XDG_CACHE_HOME"]
            else:
                os.environ["XDG_CACHE_HOME"] = before


@cache
def _prepare(settings: config.Config) -> None:
    # One compilation per kernel, for the group size that the text requires, and that in our compiler process: PoCL
    # would otherwise compile again at the first launch, for the grid at hand.
    os.environ.setdefault("POCL_WORK_GROUP_SPECIALIZATION", "0")
    if find_spec("pocl_binary_distribution") is not None:  # another PoCL may have devices that this would hide
        os.environ.setdefault("POCL_DEVICES", pocl.DEVICES)
    if settings.cache_dir is not None:
        os.environ.setdefault("POCL_CACHE_DIR", str(settings.cache_dir / "pocl"))
    intel = _find_intel()
    if intel is None or "OCL_ICD_VENDORS" in os.environ:
        return
    if settings.cache_dir is None:
        import tempfile

        folder = Path(tempfile.mkdtemp(prefix="portkernel-icd-"))
    else:
        folder = settings.cache_dir / "icd"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / "intel.icd", f"{intel}\n")
        # The variable replaces the system's folder, so that one's entries come along.
        for entry in _SYSTEM_VENDORS.glob("*.icd") if _SYSTEM_VENDORS.is_dir() else ():
            _write(folder / entry.name, entry.read_text(encoding="utf-8"))
    except OSError:
        return
    os.environ["OCL_ICD_VENDORS"] = str(folder)


def _write(place: Path, text: str) -> None:
    if not place.is_file() or place.read_bytes() != text.encode():
        write_whole(place, text.encode())


def _find_intel() -> Path | None:
    """Intel's CPU runtime from its wheel, whose own .icd file names a path of the machine that built it."""
    for prefix in dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix)):
        found = Path(prefix) / "lib" / _INTEL
        if found.is_file():
            return found
    try:  # installed for one user, or into a folder on the path
        files = metadata.files(_INTEL_WHEEL) or ()
    except metadata.PackageNotFoundError:
        return None
    places = (Path(str(file.locate())).resolve() for file in files if file.name == _INTEL)
    return next((place for place in places if place.is_file()), None)


class _Process:
    """Whether OpenCL is in use here, and was before a fork. Set by the fork itself: asking for the process's number at
    every launch costs 0.15 µs."""

    used = False
    forked = False

    def after_fork(self) -> None:
        self.forked = self.used


_PROCESS = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PROCESS.after_fork)


def check_process() -> None:
    """Raise :class:`~portkernel.errors.ForkError` in a fork of a process that used OpenCL: its threads are not there,
    and a launch would wait for them for ever."""
    if _PROCESS.forked:
        raise ForkError(
            "opencl: expected the process that opened its devices, got a fork of it",
            hint='start workers with multiprocessing.get_context("spawn"), or use OpenCL first after the fork',
        )


def all_devices() -> list[Any]:
    """Every pyopencl device once, those of PoCL first, of them the one without workers last. PoCL's are repaired, its
    workers spread."""
    check_process()
    cl = load()
    _PROCESS.used = True
    running = pocl.threads()
    try:
        platforms = cl.get_platforms()
    except cl.Error as e:
        raise NoDeviceError(f"opencl: no platform was found ({e})", hint='pip install "portkernel[cpu]"') from None
    found: dict[int, Any] = {}
    for platform in platforms:
        try:
            for device in platform.get_devices():
                found.setdefault(device.int_ptr, device)
        except cl.Error:  # a platform with no device, as Intel's FPGA emulator
            continue
    pocl.spread(pocl.threads() - running, list(found.values()))
    for device in found.values():
        pocl.repair(device)
    return sorted(found.values(), key=lambda d: ("PoCL" not in d.version, pocl.is_alone(d)))
