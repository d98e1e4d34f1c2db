"""What the coordinator and its worker processes tell each other, and what the journal holds: objects of JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..runtime.identity import Identity
from .model import Column, Errors, Outcome, Step
from .places import Found
from .states import State

Fields = dict[str, Any]


def encode_step(step: Step) -> Fields:
    return dataclasses.asdict(step)


def decode_step(fields: Fields) -> Step:
    return Step(**{**fields, "column": Column(**fields["column"])})


def encode_outcome(outcome: Outcome) -> Fields:
    return {**dataclasses.asdict(outcome), "state": outcome.state.value}


def decode_outcome(fields: Fields) -> Outcome:
    errors = fields.get("errors")
    read = {
        "state": State(fields["state"]),
        "uses": tuple(fields.get("uses", ())),
        "errors": errors and Errors(**errors),
    }
    return Outcome(**{**fields, **read})


def encode_found(found: Mapping[str, Found]) -> Fields:
    return {name: dataclasses.asdict(here) for name, here in found.items()}


def decode_found(fields: Fields) -> dict[str, Found]:
    return {
        name: Found(tuple(Identity(**i) for i in f["identities"]), f["error"], f["hint"], f["compiler"])
        for name, f in fields.items()
    }
