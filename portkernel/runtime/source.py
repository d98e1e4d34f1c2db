"""Kernels from text, for generators and tests: errors still show the line."""

from __future__ import annotations

import hashlib
import linecache
from collections.abc import Mapping
from types import FunctionType

from ..errors import ArgumentTypeError, SourceUnavailableError
from .kernel import Kernel


def kernel_from_source(text: str, name: str | None = None, namespace: Mapping[str, object] | None = None) -> Kernel:
    """The kernel that ``text``, a Python module, defines: the one called ``name``, or the last function in it.

    ``namespace`` holds further globals beside ``pk`` and ``portkernel``. A plain function is made a kernel; one that
    the text decorates is taken as it is. The text is kept for error messages.

    Raises :class:`~portkernel.errors.SourceUnavailableError` if there is no such function, ArgumentTypeError for what
    is no text, and SyntaxError.

    >>> import numpy as np
    >>> negate = kernel_from_source("def negate(x):\\n    pk.store(x, (0,), -pk.load(x, (0,), (4,)))")
    >>> x = np.arange(3)
    >>> negate[(1,)](x, backend="numpy")
    >>> x
    array([ 0, -1, -2])
    """
    if not isinstance(text, str):
        raise ArgumentTypeError(f"kernel_from_source(): text: expected a string, got {type(text).__name__}")
    file = f"<portkernel {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    scope: dict[str, object] = {
        "__name__": "portkernel_source",
    }
    exec("import portkernel\nimport portkernel as pk\n", scope)
    scope.update(namespace or {})
    before = set(scope)
    exec(compile(text, file, "exec"), scope)
    found = {n: v for n, v in scope.items() if n not in before and isinstance(v, (Kernel, FunctionType))}
    kernels = [n for n, v in found.items() if isinstance(v, Kernel)]
    wanted = name or next(reversed(kernels or list(found)), None)
    if wanted is None or wanted not in found:
        raise SourceUnavailableError(
            f"kernel_from_source(): name: expected a function of the text, got {wanted!r}",
            hint="the text defines " + (", ".join(found) or "no function"),
        )
    made = found[wanted]
    return made if isinstance(made, Kernel) else Kernel(made)
