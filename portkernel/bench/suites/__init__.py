"""The suites, as data. A new suite is a module here with a ``SUITES`` tuple, and its line below."""

from __future__ import annotations

from ..model import Suite
from . import attention, convolution, folds, gemm, maps, norms

SUITES: dict[str, Suite] = {
    s.name: s for module in (gemm, convolution, attention, folds, norms, maps) for s in module.SUITES
}
