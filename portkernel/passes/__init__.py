"""Passes on tile IR: pure functions from function to function."""

from .cse import eliminate_common
from .dce import eliminate_dead
from .fold import fold
from .licm import hoist
from .pipeline import PIPELINE, Pass, optimize

__all__ = ["PIPELINE", "Pass", "eliminate_common", "eliminate_dead", "fold", "hoist", "optimize"]
