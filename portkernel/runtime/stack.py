"""How large the calling thread's stack is: drivers that run a kernel on that thread put the kernel's arrays there."""

from __future__ import annotations

import ctypes
import threading

_USUAL = 512 << 10
"""What a thread is taken to have where the system does not say: the least that one of Python gets by default anywhere."""
_SHARE = 8
"""The kernel's arrays take one part in so many: the frames above it, and what a compiler spills, need room as well."""
_ATTRIBUTES = 256
"""Bytes for a ``pthread_attr_t``, which takes 56 or 64."""


class _Known(threading.local):
    limit: int | None = None


_known = _Known()


def holds(size: int) -> bool:
    """Whether arrays of ``size`` bytes are safe on the calling thread's stack."""
    limit = _known.limit
    if limit is None:
        limit = _known.limit = (_measured() or _USUAL) // _SHARE
    return size <= limit


def _measured() -> int:
    """The size of the calling thread's stack in bytes; 0 where the C library does not tell (macOS, Windows)."""
    try:
        library = ctypes.CDLL(None)
        describe, read, free = library.pthread_getattr_np, library.pthread_attr_getstack, library.pthread_attr_destroy
        library.pthread_self.restype = ctypes.c_void_p
    except (OSError, TypeError, AttributeError):
        return 0
    attributes, lowest, size = ctypes.create_string_buffer(_ATTRIBUTES), ctypes.c_void_p(), ctypes.c_size_t()
    if describe(ctypes.c_void_p(library.pthread_self()), attributes):
        return 0
    failed = read(attributes, ctypes.byref(lowest), ctypes.byref(size))
    free(attributes)
    return 0 if failed else int(size.value)
