"""One compilation, wherever its result comes from: the disk, a child process, or this one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from .. import config
from ..backends import Source
from ..errors import CompilerCrashError, CompilerError
from ..loc import UNKNOWN
from . import cache
from .cache import Entry
from .statistics import COUNTERS

_ERROR_LINE = re.compile(
    r"[:(](\d+)(?:[:,]\d+)?\)?:\s*(?:fatal\s+|catastrophic\s+)?error\b|^error:\s[^\s:]*:(\d+):\d+:", re.MULTILINE
)
"""``file:3:14: error`` of clang, ``file(3): error`` of NVRTC, ``error: file:3:14:`` of PoCL."""


class Refused(Exception):
    """A compiler said no; the argument is its log."""


def obtain(
    source: Source,
    compiler: str,
    options: Mapping[str, object],
    job: Mapping[str, object],
    local: Callable[[], Entry],
    settings: config.Config,
    fresh: bool = False,
) -> Entry:
    """The compiled form of ``source``: from the cache, else compiled by ``job`` in a child process (by ``local`` here,
    if isolation is off) and put into the cache. ``fresh`` does not look into the cache.

    Raises CompilerError with the compiler's log, and CompilerCrashError if the compiler died or hung.
    """
    key = key_for(source, compiler, options)
    store = cache.at(settings.cache_dir)
    entry = store.get(key) if store is not None and not fresh else None
    if entry is not None:
        COUNTERS.add("disk_hits")
        return entry
    from . import isolate  # with all that child processes take, where there is something to compile
    from .ahead import AHEAD

    COUNTERS.add("compilations")
    begun = None if fresh else AHEAD.take(key)
    try:
        if begun is not None:
            entry = begun.result()
        elif settings.isolate and isolate.is_possible():
            entry = isolate.run(job, settings.compile_timeout)
        else:
            entry = local()
    except Refused as e:
        raise compiler_error(source, str(e)) from None
    except isolate.Crashed as e:
        raise CompilerCrashError(
            f"{source.entry}(): the {source.backend} compiler {e.what}",
            hint="this process is unharmed; report the emitted text, and try another tile size, device or backend",
            log=e.log,
            source=source.text,
        ) from None
    if store is not None:
        store.put(key, entry)
    return entry


def begin(
    source: Source, compiler: str, options: Mapping[str, object], job: Mapping[str, object], settings: config.Config
) -> None:
    """Start to compile ``source`` in a child process, unless the disk has it; :func:`obtain` takes what comes of it."""
    from . import isolate
    from .ahead import AHEAD

    if not (settings.isolate and isolate.is_possible()):
        return
    key = key_for(source, compiler, options)
    store = cache.at(settings.cache_dir)
    if store is None or store.get(key) is None:
        AHEAD.begin(key, job, settings.compile_timeout)


def key_for(source: Source, compiler: str, options: Mapping[str, object]) -> str:
    """The cache's key of what ``source`` compiles to."""
    said = json.dumps(dict(options), sort_keys=True, default=str)
    return cache.key_of(source.text, source.entry, compiler, source.target.arch, said)


def compiler_error(source: Source, log: str) -> CompilerError:
    """A compiler's complaint, with the emitted line and the kernel line that caused it."""
    found = _ERROR_LINE.search(log)
    number = int(found.group(1) or found.group(2)) if found else 0
    lines = source.text.splitlines()
    shown = ""
    loc = UNKNOWN
    if 0 < number <= len(lines):
        shown = f"\n  emitted line {number}: {lines[number - 1].strip()}"
        loc = source.loc_of(number) or UNKNOWN
    first = next((line.strip() for line in log.splitlines() if "error" in line.lower()), log.strip()[:200])
    return CompilerError(
        f"{source.entry}(): expected text that the {source.backend} compiler accepts, got: {first}{shown}",
        loc=loc,
        hint="the emitted text is wrong: please report it; .log and .source of this error hold both sides",
        log=log,
        source=source.text,
    )
