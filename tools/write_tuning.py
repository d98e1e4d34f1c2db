"""Ship measured choices, and publish how near the analytic ones are: a file for each device, and a table in ``docs/tuning.md``.

Run from the repository root: ``python tools/write_tuning.py FOLDER``, where FOLDER is the ``PORTKERNEL_TUNE_DIR`` of
``portkernel tune``. The file of a device is written anew: it holds what FOLDER has of it and nothing else.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from portkernel.coverage.outputs.markdown import page_with
from portkernel.coverage.provenance import machine_name
from portkernel.tune.store import Choice, Store, export
from portkernel.tune.summary import spreads

SHIPPED = Path("portkernel/tune/shipped")
PAGE = Path("docs/tuning.md")
DEVICE = ("backend", "device", "target", "compiler", "space")
"""The facts that choices of one file share."""


def by_device(choices: Sequence[Choice]) -> dict[tuple[str, ...], list[Choice]]:
    found: dict[tuple[str, ...], list[Choice]] = {}
    for choice in choices:
        found.setdefault(tuple(choice.facts[name] for name in DEVICE), []).append(choice)
    return dict(sorted(found.items()))


def file_of(device: tuple[str, ...]) -> Path:
    """The name tells a reader the device's, and other targets of that name apart."""
    name = re.sub(r"[^a-z0-9]+", "-", device[1].lower()).strip("-")
    return SHIPPED / f"{name}-{hashlib.sha256(repr(device).encode()).hexdigest()[:6]}.json"


def table(device: tuple[str, ...], choices: Sequence[Choice], day: str) -> str:
    facts = dict(zip(DEVICE, device, strict=True))
    lines = [
        f"**{facts['device']}** on {machine_name()}, {day}; {facts['compiler']}; {facts['target'].partition(', features')[0]}:",
        "",
        "| kernel | choices | candidates tried | median | worst | within 15 % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for s in spreads(choices):
        lines.append(f"| {s.name} | {s.count} | {s.tried} | {s.median:.2f} | {s.worst:.2f} | {s.near} of {s.count} |")
    return "\n".join(lines) + "\n"


def main(folder: Path, day: str) -> None:
    found = by_device(Store(folder).all())
    if not found:
        raise SystemExit(f"expected a folder that portkernel tune wrote, got {folder}")
    SHIPPED.mkdir(exist_ok=True)
    for device, choices in found.items():
        file_of(device).write_text(export(choices), encoding="utf-8")
        print(f"{len(choices)} choices written to {file_of(device)}")
    text = "\n".join(table(device, choices, day) for device, choices in found.items())
    PAGE.write_text(page_with("choices", text, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), date.today().isoformat())
