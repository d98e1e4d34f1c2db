"""The compiler process; and how any child of :mod:`.isolate` reads jobs from stdin and answers on stdout."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .compilation import Refused
from .isolate import HEADER, write_message

COMPILERS = {
    "opencl": "portkernel.runtime.opencl_build",
    "cuda": "portkernel.runtime.cuda",
    "triton": "portkernel.runtime.triton",
    "hip": "portkernel.runtime.hip",
    "musa": "portkernel.runtime.musa",
}
"""Modules with ``compile_job(job) -> Entry``."""


def main() -> None:
    """Compile until stdin ends."""
    serve(_compile)


def _compile(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        entry = import_module(COMPILERS[job["compiler"]]).compile_job(job)
    except Refused as e:
        return {"refused": True, "log": str(e)}, b""
    return {"log": entry.log, "facts": entry.facts}, entry.data


def serve(perform: Callable[[dict[str, Any]], tuple[dict[str, Any], bytes]]) -> None:
    """Say that this process is ready, then answer jobs from stdin on stdout until stdin ends; what ``perform`` raises is the
    answer ``failed``.

    What compilers and kernels print goes to stderr, which the parent keeps for its messages.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    jobs = sys.stdin.buffer
    write_message(answers, {})
    while True:
        head = jobs.read(HEADER.size)
        if len(head) < HEADER.size:
            return
        job: dict[str, Any] = json.loads(jobs.read(HEADER.unpack(head)[0]))
        jobs.read(job.pop("size"))
        try:
            header, data = perform(job)
        except Exception as e:
            header, data = {"failed": f"{type(e).__name__}: {e}", "log": traceback.format_exc()}, b""
        write_message(answers, header, data)
