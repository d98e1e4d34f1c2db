"""Every conformance case, in its dtypes, on every route that this machine has.

Where compiling is slow, a case runs in one dtype or two (each case in others, so that all of them occur) unless
``PORTKERNEL_CONFORMANCE=full`` asks for all.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import pytest
from routes import ON_DEVICE, ROUTES, Route

from portkernel.dtypes import DType
from portkernel.errors import UnsupportedDTypeError, UnsupportedOpError
from portkernel.testing import CASES, Case, run

FULL = os.environ.get("PORTKERNEL_CONFORMANCE") == "full"


def _dtypes(case: Case, route: Route) -> tuple[DType, ...]:
    if FULL or not route.share:
        return case.dtypes
    if case.dense and route.share == 1:
        return ()
    start = zlib.crc32(f"{route.name}/{case.name}".encode())
    count = min(route.share, len(case.dtypes))
    return tuple(case.dtypes[(start + i) % len(case.dtypes)] for i in range(count))


def _cells() -> Iterator[object]:
    for route in ROUTES.values():
        marks = [pytest.mark.device] if route.name in ON_DEVICE else []
        for case in CASES:
            for dtype in _dtypes(case, route):
                yield pytest.param(route, case, dtype, id=f"{route.name}-{case.name}-{dtype}", marks=marks)


@pytest.mark.parametrize(("route", "case", "dtype"), list(_cells()))
def test_conformance(route: Route, case: Case, dtype: DType) -> None:
    reason = route.absent()
    if reason:
        pytest.skip(reason)
    try:
        wrong = run(case.launch(dtype), route.launch)
    except (UnsupportedDTypeError, UnsupportedOpError) as e:
        pytest.skip(f"declared unsupported: {e.message}")
    assert not wrong
