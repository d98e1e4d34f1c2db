"""From a call to a launch. The only place where device packages are imported, each when it is first needed."""

from .kernel import Kernel, kernel
from .route import target_of, use
from .source import kernel_from_source
from .specs import Config, TensorSpec
from .statistics import Stats
from .statistics import reset as reset_stats
from .statistics import snapshot as stats

__all__ = [
    "Config", "Kernel", "Stats", "TensorSpec", "kernel", "kernel_from_source", "reset_stats", "stats", "target_of", "use",
]  # fmt: skip
