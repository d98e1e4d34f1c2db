"""The measuring process of tuning, but candidates with a tile of 16 abort it and those of 32 never end."""

from __future__ import annotations

import os
import time
from typing import Any

from portkernel.runtime.worker import serve
from portkernel.tune.child import perform


def main() -> None:
    serve(_perform)


def _perform(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    if "[16]" in job["ir"]:
        os.abort()
    if "[32]" in job["ir"]:
        time.sleep(60)
    return perform(job)
