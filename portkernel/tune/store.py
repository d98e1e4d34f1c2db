"""Measured choices on disk: one readable JSON file each, written whole, never executed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import ArgumentTypeError
from ..runtime.cache import is_private, write_whole

_log = logging.getLogger("portkernel")
FORMAT = 2
_SHIPPED = Path(__file__).with_name("shipped")


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate and its shortest run in seconds, or the reason why it has none.

    ``config`` is the place of its configuration among the kernel's (0 where it has none), ``sizes`` what was open in it.
    ``typical`` is the median of its turns beside the other finalists, if it is one.
    """

    config: int
    sizes: dict[str, int]
    seconds: float | None = None
    reason: str = ""
    typical: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What was measured for one kernel, class of shapes, dtypes, device and compiler. ``facts`` say which, for a reader.

    ``chosen`` is one of ``trials``; the first trial is the analytic choice. ``spent`` are the seconds that measuring was
    given so far; ``finished`` says that more of them would try nothing else. ``tried`` counts the trials, also where only
    two of them are kept.
    """

    key: str
    facts: dict[str, str]
    trials: tuple[Trial, ...]
    chosen: int
    spent: float
    finished: bool
    tried: int

    @property
    def best(self) -> Trial:
        return self.trials[self.chosen]

    @property
    def analytic(self) -> Trial:
        return self.trials[0]

    @property
    def gain(self) -> float | None:
        """The analytic choice's time divided by the best one's, of turns side by side where there were any."""
        first, best = self.analytic, self.best
        if first.typical is not None and best.typical:
            return first.typical / best.typical
        return None if first.seconds is None or not best.seconds else first.seconds / best.seconds


def to_json(choice: Choice) -> str:
    return json.dumps({"format": FORMAT, **asdict(choice)}, indent=1, ensure_ascii=False) + "\n"


def from_fields(fields: Mapping[str, Any]) -> Choice:
    """Raises ``ValueError``, ``KeyError`` or ``TypeError`` for what :func:`to_json` did not write."""
    if fields["format"] != FORMAT:
        raise ValueError(f"format {fields['format']}")
    trials = tuple(Trial(**t) for t in fields["trials"])
    choice = Choice(
        str(fields["key"]), dict(fields["facts"]), trials, int(fields["chosen"]), float(fields["spent"]),
        bool(fields["finished"]), int(fields["tried"]),
    )  # fmt: skip
    if not 0 <= choice.chosen < len(trials):
        raise ValueError(f"chosen {choice.chosen} of {len(trials)} trials")
    return choice


class Store:
    """The choices of one folder (None: of this process alone), over those that ship with the package."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._own: dict[str, Choice] = {}

    def get(self, key: str) -> Choice | None:
        """The choice under ``key``, that of the package where there is none of the folder."""
        found = self.own(key)
        return found if found is not None else shipped().get(key)

    def own(self, key: str) -> Choice | None:
        """The folder's choice under ``key``; a damaged file, or one in a folder that others may write to, is none."""
        found = self._own.get(key)
        if found is None and self.folder is not None and self._trusted():
            found = _read(self.folder / f"{key}.json")
        return found

    def put(self, choice: Choice) -> None:
        """Keep ``choice``, in place of an older one. A folder that cannot be written is said once, and no error."""
        self._own[choice.key] = choice
        if self.folder is None:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self.folder / f"{choice.key}.json", to_json(choice).encode())
        except OSError as e:
            _log.warning("tune: %s cannot be written: %s", self.folder, e)

    def all(self) -> list[Choice]:
        """Every choice of the folder, by kernel, shapes, dtypes and scalars."""
        files = self.folder.glob("*.json") if self.folder is not None and self._trusted() else ()
        read = [choice for file in files if (choice := _read(file)) is not None]
        found = {c.key: c for c in (*read, *self._own.values())}
        names = "kernel", "shapes", "dtypes", "scalars"
        return sorted(found.values(), key=lambda c: (*(c.facts.get(name, "") for name in names), c.key))

    def clear(self) -> int:
        """Remove every choice of the folder; returns how many files went."""
        self._own.clear()
        files = list(self.folder.glob("*.json")) if self.folder is not None else []
        for file in files:
            file.unlink(missing_ok=True)
        return len(files)

    def _trusted(self) -> bool:
        return self.folder is not None and self.folder.is_dir() and is_private(self.folder)


def _read(file: Path) -> Choice | None:
    try:
        return from_fields(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as e:
        _log.warning("tune: %s is damaged and is not used: %s", file.name, e)
        return None


@cache
def shipped() -> dict[str, Choice]:
    """The choices that come with the package, by key."""
    found: dict[str, Choice] = {}
    for file in sorted(_SHIPPED.glob("*.json")):
        for fields in json.loads(file.read_text(encoding="utf-8"))["choices"]:
            choice = from_fields({"format": FORMAT, **fields})
            found[choice.key] = choice
    return found


def export(choices: Iterable[Choice]) -> str:
    """Choices as one file of the form that ships: of each the analytic trial and the chosen one."""
    kept = []
    for choice in choices:
        trials = (choice.analytic,) if choice.chosen == 0 else (choice.analytic, choice.best)
        kept.append(asdict(replace(choice, trials=trials, chosen=len(trials) - 1)))
    if not kept:
        raise ArgumentTypeError("export(): choices: expected measurements, got none")
    return json.dumps({"format": FORMAT, "choices": kept}, indent=1, ensure_ascii=False) + "\n"


_stores: dict[Path | None, Store] = {}


def stored(folder: Path | None) -> Store:
    """The store of a folder, one for each in a process."""
    return _stores.setdefault(folder, Store(folder))
