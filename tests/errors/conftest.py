"""The check of a kernel that must not lower."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from types import FunctionType

import pytest
from lowering import XON, Check, Types

from portkernel import errors
from portkernel.frontend import KernelFn, kernel_from_source


@pytest.fixture
def assert_kernel_error() -> Check:
    def check(
        fn: FunctionType | str,
        error: type[errors.PortkernelError],
        match: str,
        at: str,
        types: Types = XON,
        constants: Mapping[str, object] | None = None,
    ) -> errors.PortkernelError:
        """Lowering raises ``error`` itself, says ``match``, and stands on the line that contains ``at``."""
        made = kernel_from_source(fn, "kernel") if isinstance(fn, str) else fn
        with pytest.raises(error, match=match) as caught:
            KernelFn(made).lower(types, constants or {})
        assert type(caught.value) is error
        loc = caught.value.loc
        assert loc.is_known
        line = linecache.getline(loc.file, loc.line)
        assert at in line, f"the error stands at {loc}: {line!r}"
        assert at in str(caught.value)
        return caught.value

    return check


@pytest.fixture
def assert_expression_error(assert_kernel_error: Check) -> Check:
    def check(
        expression: str,
        error: type[errors.PortkernelError],
        match: str,
        types: Types = XON,
        scope: Mapping[str, object] | None = None,
    ) -> errors.PortkernelError:
        """The same of a kernel over arguments of ``types`` that computes ``expression``; ``scope`` are its globals."""
        text = f"def kernel({', '.join(types)}):\n    m = n * 2\n    q = {expression}\n"
        fn = kernel_from_source(text, "kernel", dict(scope or {}))
        return assert_kernel_error(fn, error, match, f"q = {expression}", types)

    return check
