"""The operators of ``pk.ops`` as rows: their variants are the features of their samples, their trials the samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import ops
from ..dtypes import BY_NAME
from ..ops.samples import Sample, samples
from .peers import Array, operator_peer
from .trials import Route, Trial, seeded


def registered() -> Mapping[str, ops.Operator]:
    """The operators that have samples to be tried on, by name."""
    return {name: operator for name, operator in ops.operators().items() if samples(name, "float32")}


def dtypes_of(operator: ops.Operator) -> tuple[str, ...]:
    """The dtypes that an operator takes, in the order of :data:`portkernel.dtypes.BY_NAME`; float32 first."""
    return tuple(sorted((d.name for d in operator.dtypes), key=lambda d: (d != "float32", list(BY_NAME).index(d))))


def variant_of(sample: Sample) -> str:
    """``transposed``, ``groups+strided``; empty for the plain call."""
    return "+".join(sorted(sample.features))


def variants_of(name: str, dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """The variants that the samples try, the plain call first."""
    found = dict.fromkeys(variant_of(s) for s in samples(name, dtypes[0]))
    return tuple(sorted(found, key=bool))


def operator_trials(row: str, dtype: str) -> list[Trial]:
    """The samples of a row, ``name`` or ``name[variant]``, on ``dtype``."""
    name, _, variant = row.removesuffix("]").partition("[")
    operator = ops.find(name)
    made = [s for s in samples(name, dtype, seeded(name, dtype)) if variant_of(s) == variant]
    return [_trial(operator, sample, dtype) for sample in made]


def _trial(operator: ops.Operator, sample: Sample, dtype: str) -> Trial:
    def run(route: Route) -> Mapping[str, Array]:
        return _named(operator(*sample.args, **sample.kwargs, **route))

    peer = operator_peer(operator.name, operator.follows, sample)
    arrays = tuple(a for a in (*sample.args, *sample.kwargs.values()) if isinstance(a, np.ndarray))
    return Trial(
        sample.label,
        run,
        lambda: _named(sample.reference()),
        lambda: _named(sample.bound()),
        sum(a.size for a in arrays),
        peer[0] if peer else "",
        peer[1] if peer else None,
        arrays,
    )


def _named(found: Any) -> dict[str, Array]:
    """Results by place: ``out``, or ``out0``, ``out1`` … of an operator with several."""
    if not isinstance(found, (tuple, list)):
        return {"out": np.asarray(found)}
    if len(found) == 1:
        return {"out": np.asarray(found[0])}
    return {f"out{i}": np.asarray(one) for i, one in enumerate(found)}
