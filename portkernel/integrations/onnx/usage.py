"""Which ONNX operators each operator of ``pk.ops`` serves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def serving() -> Mapping[str, tuple[str, ...]]:
    """For each operator of ``pk.ops`` the ONNX operators whose nodes call it, alone or among others; names in order.

    It is what the ONNX project's node cases were seen to call as they passed, bodies of definitions included:
    ``python -m portkernel.integrations.onnx.cases --serving FILE`` writes it anew. What launches nothing, such as Reshape, is
    nowhere.

    >>> serving()["matmul"][-2:]
    ('RNN', 'STFT')
    """
    found: dict[str, list[str]] = json.loads(files(__package__).joinpath("serving.json").read_text(encoding="utf-8"))
    return {name: tuple(served) for name, served in found.items()}
