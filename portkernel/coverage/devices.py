"""What this machine has for each backend, as the drivers see it. Asked in a child process: see :func:`.pool.ask`."""

from __future__ import annotations

from ..errors import PortkernelError
from ..runtime import driver
from .plan import ROUTES


def probe() -> dict[str, dict[str, object]]:
    """For each backend the names of its ``devices``, or the ``error`` and ``hint`` of its driver."""
    return {route.backend: probe_backend(route.backend) for route in ROUTES}


def probe_backend(name: str) -> dict[str, object]:
    try:
        found = [device.name for device in driver.find(name).devices()]
    except PortkernelError as error:
        return {"devices": [], "error": error.message, "hint": error.hint}
    except Exception as error:  # a broken installation raises what it likes
        return {"devices": [], "error": f"{type(error).__name__}: {error}", "hint": ""}
    return {"devices": found, "error": "", "hint": ""}
