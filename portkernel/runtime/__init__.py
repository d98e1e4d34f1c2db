"""From a call to a launch. The only place where device packages are imported, each when it is first needed."""

from . import choice
from .binding import constant_key
from .captured import Captured, capture
from .kernel import Kernel, kernel
from .recorder import note_allocation, note_host_work
from .route import on_host, target_of, use
from .source import kernel_from_source
from .specs import Config, TensorSpec
from .statistics import Stats
from .statistics import reset as reset_stats
from .statistics import snapshot as stats

__all__ = [
    "Captured",
    "Config",
    "Kernel",
    "Stats",
    "TensorSpec",
    "capture",
    "choice",
    "constant_key",
    "kernel",
    "kernel_from_source",
    "note_allocation",
    "note_host_work",
    "on_host",
    "reset_stats",
    "stats",
    "target_of",
    "use",
]
