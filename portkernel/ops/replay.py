"""The fast path of an operator's call: what its host function did for a like call is done again, without it.

The first two calls of a signature run the host function and are recorded. If both did the same, the calls that follow
launch the same kernels with their own addresses (:class:`~portkernel.runtime.replay.Replay`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np

from .. import config
from ..dtypes import DType
from ..runtime.address import reader_of
from ..runtime.arguments import MAX_RANK
from ..runtime.observation import OBSERVED
from ..runtime.recorder import Recorder, Recording, recording
from ..runtime.replay import MISSED, Replay

_SIGNATURES = 1024
"""Signatures remembered for an operator under some settings; beyond it all are forgotten and learnt anew."""
_SETTINGS = 16
_TRIALS = 4
"""Runs of a signature after which one that never did the same twice is left to the host function."""
_PLAIN = frozenset({int, bool, str, type(None), type, range, DType})
"""Kinds of arguments that are part of the signature by value."""

Key = tuple[Any, ...]
Slow = Callable[[tuple[Any, ...], dict[str, Any]], Any]


@dataclass(slots=True)
class _Trial:
    """A signature whose host function still runs."""

    runs: int = 0
    recording: Recording | None = None


_Table = dict[Key, "_Trial | Replay"]


class Replays:
    """What is known of the calls of one operator. ``slow(args, kwargs)`` is its complete path."""

    __slots__ = ("_slow", "_tables")

    def __init__(self, slow: Slow) -> None:
        self._slow = slow
        self._tables: dict[int, tuple[config.Config, _Table]] = {}

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What ``slow(args, kwargs)`` gives, and raises."""
        if OBSERVED.is_watched:
            return self._slow(args, kwargs)
        key: list[Any] = []
        arrays: list[Any] = []
        addresses: list[int] = []
        try:
            known = describe(args, key, arrays, addresses)
            if known and kwargs:
                key += kwargs
                known = describe(kwargs.values(), key, arrays, addresses)
        except RuntimeError:  # a tensor without memory
            known = False
        if not known:
            return self._slow(args, kwargs)
        table = self.table()
        signature = tuple(key)
        entry = table.get(signature)
        if type(entry) is Replay:
            if not entry.is_stale:
                result = entry.run(arrays, addresses)
                return self._slow(args, kwargs) if result is MISSED else result
            entry = None
        return self._learn(table, signature, entry, args, kwargs, arrays)  # type: ignore[arg-type]  # a trial or None

    def clear(self) -> None:
        """Forget everything."""
        self._tables = {}

    def table(self) -> _Table:
        """What is known under the settings in force."""
        settings = config.get()
        found = self._tables.get(id(settings))
        if found is None:
            if len(self._tables) >= _SETTINGS:
                self._tables = {}
            found = self._tables.setdefault(id(settings), (settings, {}))
        return found[1]

    def _learn(
        self,
        table: _Table,
        signature: Key,
        trial: _Trial | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        arrays: Sequence[Any],
    ) -> Any:
        if trial is not None and trial.runs >= _TRIALS:
            return self._slow(args, kwargs)
        if any(len(x.shape) > MAX_RANK for x in arrays):  # a host function may merge axes, a launch cannot take them
            return self._slow(args, kwargs)
        with recording(Recorder(arrays)) as recorder:
            result = self._slow(args, kwargs)
        made = recorder.finish(result)
        if len(table) >= _SIGNATURES:
            table.clear()
        if made is not None and trial is not None and trial.recording == made:
            table[signature] = Replay(made)
        else:
            table[signature] = _Trial(1 if trial is None else trial.runs + 1, made)
        return result


def describe(values: Any, key: list[Any], arrays: list[Any], addresses: list[int]) -> bool:
    """Add to ``key`` all that a host function may decide upon; False for an argument that tells no such thing.

    Arrays at one address count as one memory, and the key says which they are.
    """
    for value in values:
        kind = type(value)
        if kind in _PLAIN:
            key += (kind, value)
        elif kind is float:  # 0.0 equals -0.0, and NaN nothing
            key += (kind, value if value and value == value else value.hex())
        elif (reader := reader_of(kind)) is not None:
            address, facts = reader(value)
            key += (kind, facts)
            if address in addresses:
                key.append(addresses.index(address))
            else:
                addresses.append(address)
                arrays.append(value)
        elif kind is tuple or kind is list:
            key.append(kind)
            key.append(len(value))
            if not describe(value, key, arrays, addresses):
                return False
        elif isinstance(value, np.generic):
            key.append(kind)
            key.append(value.tobytes())
        elif isinstance(value, np.dtype) or (kind.__module__ == "torch" and kind.__name__ == "dtype"):
            key.append(kind)
            key.append(value)
        elif kind is FunctionType and value.__closure__ is None:
            key.append(value)  # the globals that it reads are looked at by the replay
        else:
            return False
    return True
