"""The ways to run a kernel on this machine, each with what it takes to try it and why it may be absent."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from portkernel import config, targets
from portkernel.errors import PortkernelError
from portkernel.testing import Launch
from portkernel.testing.suite import launcher

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "emulation"))


@dataclass(frozen=True)
class Route:
    """``absent`` says why the route cannot run here, or nothing.

    ``share`` is how many dtypes of a case run by default: 0 for all, fewer where compiling is slow.
    """

    name: str
    launch: Callable[[Launch], None]
    absent: Callable[[], str]
    share: int = 0


def _here() -> str:
    return ""


@cache
def opencl_device(wanted: str) -> str:
    """The name of an OpenCL device whose name or platform contains ``wanted``; empty if there is none."""
    try:
        from portkernel.runtime import driver

        return driver.find("opencl").device(wanted, None).name
    except (ImportError, PortkernelError):
        return ""


def _opencl(wanted: str, schedule: str) -> tuple[Callable[[Launch], None], Callable[[], str]]:
    run = launcher("opencl", wanted)

    def launch(item: Launch) -> None:
        # A crash of the compiler would end the test run; a process for each of many small kernels would double its time.
        with config.override(opencl_schedule=schedule, isolate=False):
            run(item)

    return launch, lambda: "" if opencl_device(wanted) else f"no OpenCL device called {wanted}"


@cache
def _no_triton() -> str:
    try:
        import triton  # noqa: F401
    except ImportError:
        return "triton is not installed"
    return ""


def _emulate(item: Launch) -> None:
    from harness import run_cuda_on_cpu

    target = targets.find("nvidia-a100")
    specs = [item.args[p.name] for p in item.kernel.parsed.params if not p.constexpr]
    text = item.kernel.source(*specs, **item.constants, backend="cuda", target=target)
    run_cuda_on_cpu(text.source, item.grid, item.args)


@cache
def _no_compiler() -> str:
    from harness import available

    return "" if available() else "no C++ compiler"


@cache
def _no_gpu() -> str:
    try:
        from portkernel.runtime import driver

        return "" if driver.find("cuda").devices() else "no CUDA device"
    except (ImportError, PortkernelError) as e:
        return str(e).splitlines()[0]


ROUTES = {
    route.name: route
    for route in (
        Route("numpy", launcher("numpy"), _here),
        Route("eager", launcher("eager"), _here),
        Route("opencl-cpu", *_opencl("pocl", "cpu"), share=2),
        Route("opencl-gpu", *_opencl("pocl", "gpu"), share=1),
        Route("opencl-intel", *_opencl("intel", "cpu"), share=1),
        Route("triton-interpreter", launcher("triton", "interpreter"), _no_triton, share=1),
        Route("cuda-emulation", _emulate, _no_compiler, share=1),
        Route("cuda", launcher("cuda"), _no_gpu),
        Route("triton", launcher("triton", "0"), _no_gpu),
    )
}
ON_DEVICE = ("cuda", "triton")
