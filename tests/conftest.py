"""Before anything else looks for OpenCL platforms, the loader learns of every implementation that is installed."""

from __future__ import annotations

import contextlib

from portkernel.errors import MissingDependencyError
from portkernel.runtime import platforms

with contextlib.suppress(MissingDependencyError):
    platforms.load()
