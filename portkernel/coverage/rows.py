"""The rows of the report: every operator in its variants, and the kernels that no operator reaches."""

from __future__ import annotations

from collections.abc import Iterator

from .. import catalog
from .model import Row
from .operators import dtypes_of, registered, variants_of
from .sets import aten_by_operator


def all_rows() -> tuple[Row, ...]:
    """Every row: operators first, each plain and then in its variants, then kernels."""
    rows = tuple(_operators())
    reached = {kernel for row in rows for kernel in row.kernels}
    kernels = (
        Row(entry.name, kind="kernel", dtypes=tuple(d.name for d in entry.dtypes), kernels=(_kernel_name(entry),))
        for entry in catalog.all_entries()
        if _kernel_name(entry) not in reached
    )
    return (*rows, *kernels)


def _operators() -> Iterator[Row]:
    aten = aten_by_operator() or {}
    for name, operator in registered().items():
        dtypes, kernels = dtypes_of(operator), tuple(sorted(operator.kernels))
        for variant in variants_of(name, dtypes):
            yield Row(name, variant, "operator", dtypes, operator.follows, kernels, aten.get(name, ()))


def _kernel_name(entry: catalog.Entry) -> str:
    return str(getattr(entry.kernel, "name", entry.name))
