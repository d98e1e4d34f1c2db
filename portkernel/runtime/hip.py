"""HIP: a clang with AMD's back-end compiles the text for any of its GPUs; no header and no library of ROCm is needed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .cache import Entry
from .offload import OffloadDriver


class Driver(OffloadDriver):
    """Code objects for gfx targets. Calls of AMD's device library stay open; ``Binary.metadata["open"]`` names them."""

    name = "hip"
    compilers = ("amdclang++", "clang-21", "clang-20", "clang-19", "clang-18", "clang")
    cure = "apt-get install clang-19 lld-19, or ROCm's amdclang++"
    arch = "gfx"
    kind = "hsaco"
    instead = 'on an AMD GPU take backend="triton" or "opencl"'

    def command(self, compiler: str, arch: str, text: Path, out: Path) -> list[str]:
        device_only = ["-x", "hip", "--cuda-device-only", "--no-gpu-bundle-output", "-nogpulib", "-nogpuinc", "-w"]
        linked = ["-fuse-ld=lld", "-Xoffload-linker", "--unresolved-symbols=ignore-all"]
        return [compiler, *device_only, *linked, f"--offload-arch={arch}", str(text), "-o", str(out)]

    def architectures(self, compiler: str) -> frozenset[str]:
        return known_to(compiler)


@cache
def known_to(compiler: str) -> frozenset[str]:
    """The gfx targets that a clang knows; none where it does not say."""
    command = [compiler, "--target=amdgcn-amd-amdhsa", "-nogpulib", "--print-supported-cpus"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(word for word in (done.stdout + done.stderr).split() if word.startswith("gfx"))


def compile_job(job: Mapping[str, Any]) -> Entry:
    """For the compiler process."""
    return Driver().compile_job(job)
