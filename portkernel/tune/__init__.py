"""Sizes by measurement instead of by the analytic model: ``PORTKERNEL_TUNE``, ``portkernel tune``."""

from .search import choose, watching
from .store import Choice, Store, Trial, stored

__all__ = ["Choice", "Store", "Trial", "choose", "stored", "watching"]
