"""Compiling OpenCL C, in the process at hand: the user's, or the child that :mod:`.worker` runs in."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from . import platforms, pocl
from .cache import Entry
from .compilation import Refused

OPTIONS: tuple[str, ...] = ("-cl-std=CL1.2",)
_EXACT_DIVISION = "-cl-fp32-correctly-rounded-divide-sqrt"


def options_for(device: Any) -> list[str]:
    """The build options: division and square root of float32 are correctly rounded wherever the device can."""
    exact = platforms.load().device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT
    division = [_EXACT_DIVISION] if device.single_fp_config & exact else []
    return [*OPTIONS, *division, *pocl.build_options(device)]


def job_for(text: str, device: Any) -> dict[str, object]:
    """What the compiler process needs to compile ``text`` for ``device``."""
    place = [d.int_ptr for d in platforms.all_devices()].index(device.int_ptr)
    return {"compiler": "opencl", "text": text, "device": place, "name": device.name, "options": options_for(device)}


def compile_job(job: Mapping[str, Any]) -> Entry:
    """Compile in this process. Raises :class:`.compilation.Refused` with the log."""
    cl = platforms.load()
    device = platforms.all_devices()[job["device"]]
    program = cl.Program(cl.Context([device]), job["text"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cl.CompilerWarning)  # what the compiler said is kept: Entry.log
            program = program.build(list(job["options"]), cache_dir=False)
    except cl.RuntimeError as e:
        raise Refused(str(e)) from None
    log = program.get_build_info(device, cl.program_build_info.LOG) or ""
    return Entry(program.get_info(cl.program_info.BINARIES)[0], log.strip(), {"device": device.name})
