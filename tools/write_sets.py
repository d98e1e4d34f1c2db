"""Write ``portkernel/coverage/sets.json``: the operator sets that percentages are of, from PyTorch's and ONNX's own tables.

Needs torch and onnx. Run from the repository root: ``python tools/write_sets.py``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PLACE = Path("portkernel/coverage/sets.json")


def core_aten() -> dict[str, Any]:
    """The overloads that PyTorch tags as core."""
    import torch

    names: set[str] = set()
    for schema in torch._C._jit_get_all_schemas():
        space, _, base = schema.name.partition("::")
        packet = getattr(torch.ops.aten, base, None) if space == "aten" else None
        overload = getattr(packet, schema.overload_name or "default", None)
        if overload is not None and torch.Tag.core in overload.tags:
            names.add(f"{base}.{schema.overload_name or 'default'}")
    count = len({name.partition(".")[0] for name in names})
    version = torch.__version__.partition("+")[0]
    return {"what": f"overloads of the core ATen set (PyTorch {version}; {count} names)", "names": sorted(names)}


def onnx_operators() -> dict[str, Any]:
    """The live operators of ONNX's own domain."""
    import onnx

    live = [s for s in onnx.defs.get_all_schemas() if not s.domain and not s.deprecated]
    bodies = sum(s.has_function or s.has_context_dependent_function for s in live)
    what = f"operators of ONNX (opset {onnx.defs.onnx_opset_version()}; {bodies} have function bodies)"
    return {"what": what, "names": sorted({s.name for s in live})}


def text() -> str:
    """What the file should hold."""
    return json.dumps({"aten-core": core_aten(), "onnx": onnx_operators()}, indent=1) + "\n"


def main() -> int:
    PLACE.write_text(text(), encoding="utf-8")
    print(PLACE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
