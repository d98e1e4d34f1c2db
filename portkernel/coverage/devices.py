"""What this machine has for each backend, as the drivers see it. Asked in a child process: see :func:`.pool.ask`."""

from __future__ import annotations

from ..errors import PortkernelError
from ..runtime import driver
from .plan import ROUTES


def probe() -> dict[str, dict[str, object]]:
    """For each backend the names of its ``devices`` and of its ``interpreters`` on the CPU, or the ``error`` and ``hint`` of its driver."""
    return {route.backend: probe_backend(route.backend) for route in ROUTES}


def probe_backend(name: str) -> dict[str, object]:
    try:
        present = driver.find(name).devices()
    except PortkernelError as error:
        return {"devices": [], "interpreters": [], "error": error.message, "hint": error.hint}
    except Exception as error:  # a broken installation raises what it likes
        return {"devices": [], "interpreters": [], "error": f"{type(error).__name__}: {error}", "hint": ""}
    interpreters = [device.name for device in present if device.key.endswith(":interpreter")]
    devices = [device.name for device in present if device.name not in interpreters]
    return {"devices": devices, "interpreters": interpreters, "error": "", "hint": ""}
