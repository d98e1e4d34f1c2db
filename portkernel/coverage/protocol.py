"""How the coordinator and its worker processes talk: one JSON object a line."""

from __future__ import annotations

import dataclasses
import json

from .model import Outcome, State, Step


def encode_step(step: Step) -> str:
    return json.dumps(dataclasses.asdict(step))


def decode_step(line: str) -> Step:
    return Step(**json.loads(line))


def encode_outcome(outcome: Outcome) -> str:
    return json.dumps({**dataclasses.asdict(outcome), "state": outcome.state.name})


def decode_outcome(line: str) -> Outcome:
    fields = json.loads(line)
    fields["state"] = State[fields["state"]]
    fields["emulated"] = tuple(fields["emulated"])
    return Outcome(**fields)
