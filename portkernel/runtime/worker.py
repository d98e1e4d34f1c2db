"""The compiler process: reads jobs from stdin, answers on stdout. See :mod:`.isolate`."""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from typing import IO, Any

from .compilation import Refused
from .isolate import _HEADER, write_message

COMPILERS = {
    "opencl": "portkernel.runtime.opencl_build",
    "cuda": "portkernel.runtime.cuda",
    "triton": "portkernel.runtime.triton",
    "hip": "portkernel.runtime.hip",
    "musa": "portkernel.runtime.musa",
}
"""Modules with ``compile_job(job) -> Entry``."""


def main() -> None:
    """Serve until stdin ends. What compilers print goes to stderr, which the parent keeps for its messages."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


def serve(jobs: IO[bytes], answers: IO[bytes]) -> None:
    while True:
        head = jobs.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return
        job: dict[str, Any] = json.loads(jobs.read(_HEADER.unpack(head)[0]))
        try:
            entry = import_module(COMPILERS[job["compiler"]]).compile_job(job)
        except Refused as e:
            write_message(answers, {"refused": True, "log": str(e)})
        except Exception as e:
            write_message(answers, {"failed": f"{type(e).__name__}: {e}", "log": traceback.format_exc()})
        else:
            write_message(answers, {"log": entry.log, "facts": entry.facts}, entry.data)
