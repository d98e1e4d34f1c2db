"""How the coordinator and its worker processes talk, and what the journal holds: one JSON object a line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from ..runtime.identity import Identity
from .model import Column, Errors, Outcome, Step
from .places import Found
from .states import State


def encode_step(step: Step) -> str:
    return json.dumps(dataclasses.asdict(step))


def decode_step(line: str) -> Step:
    fields = json.loads(line)
    return Step(**{**fields, "column": Column(**fields["column"])})


def encode_outcome(outcome: Outcome) -> str:
    return json.dumps({**dataclasses.asdict(outcome), "state": outcome.state.value})


def decode_outcome(line: str) -> Outcome:
    fields = json.loads(line)
    fields["state"] = State(fields["state"])
    fields["uses"] = tuple(fields.get("uses", ()))
    if fields.get("errors") is not None:
        fields["errors"] = Errors(**fields["errors"])
    return Outcome(**fields)


def encode_found(found: Mapping[str, Found]) -> str:
    return json.dumps({name: dataclasses.asdict(here) for name, here in found.items()})


def decode_found(line: str) -> dict[str, Found]:
    read = json.loads(line)
    return {
        name: Found(tuple(Identity(**i) for i in f["identities"]), f["error"], f["hint"], f["compiler"])
        for name, f in read.items()
    }
