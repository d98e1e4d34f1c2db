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
    texts = [candidate["ir"] for candidate in job["candidates"]]
    if any("[16]" in text for text in texts):
        os.abort()
    if any("[32]" in text for text in texts):
        time.sleep(60)
    return perform(job)
