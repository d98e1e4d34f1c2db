"""What a kernel's emitted text depends on, as a hash: the same in every process, and told without reading the kernel.

The text follows from the files of the functions that the kernel is made of, from the globals and closures that those see,
from the arguments' types, the constants and the target, and from this package. Functions are found by the names that their
bytecode reads, so that nothing is parsed. Whatever cannot be told for certain (an object with state, an import inside a
function, a file edited while this process runs) makes the whole unknown, and the kernel is lowered as if nothing were kept.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import linecache
import math
import opcode
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np

from .cache import key_of

Reads = dict[tuple[int, str], tuple[Mapping[str, object], str, object]]
"""The globals that were looked at, by namespace and name."""

_STARTED = time.time()
_PACKAGE = Path(__file__).parent.parent
_OURS = _PACKAGE.name
_PARTS = ("backends", "frontend", "ir", "lang", "passes", "runtime", "targets")
"""The folders that texts depend on; runtime lowers, and lays out what is kept."""
_STATE = frozenset({"random", "config", "stats", "target_of", "environ"})
"""What may differ from one process to the next, in modules that are known otherwise."""
_UNTOLD = frozenset({
    "getattr", "setattr", "delattr", "vars", "dir", "globals", "locals", "eval", "exec", "compile", "open", "input", "__import__", "id",
    "hash",
})  # fmt: skip
"""Builtins by which a function reaches more than the names in its text."""
_GENERATED = ("<string>", dataclasses.__file__)
"""Where the methods come from that a dataclass gets by its fields."""
_REFUSED = frozenset(opcode.opmap[name] for name in ("IMPORT_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"))
_LOAD, _MORE = opcode.opmap["LOAD_GLOBAL"], opcode.opmap["EXTENDED_ARG"]
_CACHE = opcode.opmap.get("CACHE", -1)
_ATTRIBUTE = frozenset(opcode.opmap[name] for name in ("LOAD_ATTR", "LOAD_METHOD") if name in opcode.opmap)
_SHIFT = 1 if sys.version_info >= (3, 11) else 0
"""LOAD_GLOBAL counts names in twos since Python 3.11: the odd ones also push a null."""


class Unknown(Exception):
    """Something that no hash can stand for."""


def examine() -> str | None:
    """What every text depends on: Python, NumPy and the files of this package. None where these have changed meanwhile.

    Files count by size and time of change, as in Python's own cache of bytecode.
    """
    if sys.flags.optimize:  # bytecode then lacks the assertions that the text has
        return None
    found = [sys.version, np.__version__]
    try:
        for file in _files():
            facts = file.stat()
            if facts.st_mtime >= _STARTED:  # this process may run an older text
                return None
            found.append(f"{file.path[len(str(_PACKAGE)) :]} {facts.st_size} {facts.st_mtime_ns}")
    except OSError:  # a package that is no folder
        return None
    return key_of(*found)


environment = functools.cache(examine)
"""As :func:`examine` found it the first time."""


def _files() -> Iterator[os.DirEntry[str]]:
    waiting = [_PACKAGE, *(_PACKAGE / part for part in _PARTS)]
    while waiting:
        folder = waiting.pop(0)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if entry.is_dir():
                    if folder != _PACKAGE and entry.name != "__pycache__":
                        waiting.append(Path(entry.path))
                elif entry.name.endswith((".py", ".toml")):
                    yield entry


class Reader:
    """Tells values apart by texts. ``reads`` are the globals that it has looked at."""

    def __init__(self) -> None:
        self.reads: Reads = {}
        self._seen: dict[int, int] = {}

    def tell(self, value: object) -> str:
        """A text that is equal for equal values alone. Raises :class:`Unknown`."""
        kind = type(value)
        if value is None or kind in (bool, int, str, bytes):
            return f"{kind.__name__} {value!r}"
        if isinstance(value, float):
            return f"{kind.__name__} {value.hex()}"
        if kind in (tuple, list):
            return f"{kind.__name__} [{self._all(value)}]"  # type: ignore[arg-type]  # one of the two
        if isinstance(value, (set, frozenset)):
            return f"set [{','.join(sorted(map(self.tell, value)))}]"
        if kind is dict:
            return f"dict [{self._all(value.items())}]"  # type: ignore[attr-defined]  # a dict
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, (type, BuiltinFunctionType, np.ufunc)):
            return self._named(value)
        if isinstance(value, np.generic):
            return f"{value.dtype.str} {value.tobytes().hex()}"
        if isinstance(value, np.dtype):
            return f"dtype {value.str} {value.name}"
        if isinstance(value, functools.partial):
            return f"partial [{self._all((value.func, value.args, value.keywords))}]"
        if _is_ours(kind) or kind is functools._lru_cache_wrapper:
            wrapped = getattr(value, "__wrapped__", None)
            if isinstance(wrapped, FunctionType):
                return f"wrapped {self._function(wrapped)}"
        if dataclasses.is_dataclass(kind):
            held = self._all(getattr(value, f.name) for f in dataclasses.fields(kind))
            return f"{kind.__module__}.{kind.__qualname__} {self._class(kind)} [{held}]"
        if isinstance(value, Enum) and _is_ours(kind):
            return str(value)
        raise Unknown(kind.__name__)

    def _all(self, values: Iterable[object]) -> str:
        return ",".join(map(self.tell, values))

    def _named(self, value: Any) -> str:
        module = getattr(value, "__module__", None) or ("numpy" if isinstance(value, np.ufunc) else "")
        known = module in ("builtins", "math", "_operator") or module.partition(".")[0] == "numpy"
        if isinstance(value, np.ufunc):  # np.frompyfunc makes others
            known = getattr(np, value.__name__, None) is value
        if not known and not _is_ours(value):
            raise Unknown(f"{module}.{value.__name__}")
        return f"{module}.{getattr(value, '__qualname__', value.__name__)}"

    def _class(self, kind: type) -> str:
        """What a dataclass has besides its fields: methods, properties and constants."""
        if _is_ours(kind):
            return ""
        if id(kind) in self._seen:
            return f"class {self._seen[id(kind)]}"
        self._seen[id(kind)] = len(self._seen)
        told = [_text(getattr(sys.modules.get(kind.__module__), "__file__", None) or "")]
        for base in kind.__mro__[:-1]:
            for name, member in sorted(vars(base).items()):
                inner = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
                if isinstance(inner, FunctionType):
                    if inner.__code__.co_filename not in _GENERATED:
                        told.append(f"{name}={self._function(inner)}")
                elif not name.startswith("__") and not isinstance(inner, MemberDescriptorType):
                    told.append(f"{name}={self.tell(inner)}")
        return f"class [{','.join(told)}]"

    def _function(self, fn: FunctionType) -> str:
        if id(fn) in self._seen:
            return f"function {self._seen[id(fn)]}"
        self._seen[id(fn)] = len(self._seen)
        told = [fn.__name__, fn.__qualname__, fn.__module__ or "", self._cells(fn)]
        if _is_ours(fn):  # its text is in the environment
            return f"function [{','.join(told)}]"
        told += [_text(fn.__code__.co_filename), *map(self.tell, (fn.__defaults__, fn.__kwdefaults__, fn.__dict__))]
        codes = [*_nested(fn.__code__)]
        told += [self._code(code) for code in codes]
        names = {name for code in codes for name in code.co_names}
        if names & _STATE:
            raise Unknown(str(names & _STATE))
        for name, is_whole in sorted({read for code in codes for read in _globals(code)}):
            if is_whole and _is_users_module(fn.__globals__.get(name)):  # what is done with it cannot be seen here
                raise Unknown(name)
            told.append(f"{name}={self._global(fn.__globals__, name, names)}")
        return f"function [{','.join(told)}]"

    def _cells(self, fn: FunctionType) -> str:
        try:
            return self._all(cell.cell_contents for cell in fn.__closure__ or ())
        except ValueError:  # a variable that is assigned later
            raise Unknown("cell") from None

    def _code(self, code: CodeType) -> str:
        constants = [c for c in code.co_consts if not isinstance(c, CodeType)]
        numbers = f"{code.co_firstlineno} {code.co_flags} {code.co_argcount} {code.co_kwonlyargcount}"
        names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
        raw = hashlib.sha256(code.co_code + b"|" + bytes(code.co_linetable)).hexdigest()
        return f"{code.co_name} {numbers} {names} {raw} {self._all(c for c in constants if c is not ...)}"

    def _global(self, space: dict[str, object], name: str, names: set[str]) -> str:
        if name in space:
            value = space[name]
            if isinstance(value, ModuleType):
                return self._module(value, names)
            self.reads[id(space), name] = (space, name, value)
            return self.tell(value)
        if name in _UNTOLD:
            raise Unknown(name)
        return "builtin"

    def _module(self, module: ModuleType, names: set[str]) -> str:
        """A module of the user's stands for all of its attributes that the function might mean."""
        name = module.__name__
        if not _is_users_module(module):
            return f"module {name}"
        if id(module) in self._seen:
            return f"module {self._seen[id(module)]}"
        self._seen[id(module)] = len(self._seen)
        inside = vars(module)
        told = (f"{n}={self.tell(inside[n])}" for n in sorted(names & inside.keys()))
        return f"module {name} [{','.join(told)}]"


def _is_users_module(value: object) -> bool:
    return isinstance(value, ModuleType) and not (value is math or value is np or _is_ours_by_name(value.__name__))


def _is_ours(value: Any) -> bool:
    return _is_ours_by_name(getattr(value, "__module__", None) or "")


def _is_ours_by_name(module: str) -> bool:
    """Whether the files of :func:`environment` hold a module; others of this package count as a user's, whose files are read."""
    package, _, rest = module.partition(".")
    return package == _OURS and rest.partition(".")[0] in _own_modules()


@functools.cache
def _own_modules() -> frozenset[str]:
    return frozenset({"", *_PARTS, *(file.stem for file in _PACKAGE.glob("*.py"))})


def _text(file: str) -> str:
    """The hash of a file's text, or of what stands for it where there is no file."""
    known = linecache.cache.get(file)
    if known is not None and len(known) == 4 and known[1] is None:
        return hashlib.sha256("".join(known[2]).encode()).hexdigest()
    try:
        return f"{file} {hashlib.sha256(Path(file).read_bytes()).hexdigest()}"
    except OSError:
        raise Unknown(file) from None


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _globals(code: CodeType) -> Iterator[tuple[str, bool]]:
    """The names that are read from the module, or from the builtins; and whether for more than one of their attributes."""
    high, name = 0, ""
    for op, low in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        if op == _CACHE:
            continue
        if op == _MORE:
            high = (high | low) << 8
            continue
        if name:
            yield name, op not in _ATTRIBUTE
            name = ""
        if op in _REFUSED:
            raise Unknown(opcode.opname[op])
        if op == _LOAD:
            name = code.co_names[(high | low) >> _SHIFT]
        high = 0
