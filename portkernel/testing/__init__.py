"""The conformance suite that every backend runs, ours and those of other packages."""

from .case import Case, Launch
from .suite import CASES, ConformanceError, Outcome, Report, conformance, run

__all__ = ["CASES", "Case", "ConformanceError", "Launch", "Outcome", "Report", "conformance", "run"]
