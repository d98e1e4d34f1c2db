"""Whether a CPU device's compiler survives 64-byte vectors.

LLVM 14 in PoCL's wheel aborts its process on some processors ("Do not know how to scalarize this operator's operand")
and is twice as fast with them on others. So the micro-kernel's operations, and those of loops over elements, are compiled
once in a child process; the answer stays in the disk cache.
"""

from __future__ import annotations

from typing import Any

from .. import config
from ..backends.c.opencl import MAD
from . import cache, pocl
from .cache import Entry
from .compilation import Refused
from .opencl_build import job_for

_PROBE = f"""\
{MAD}
__kernel void probe(__global const float* a, __global float* c, int n) {{
  float16 x = vload16(0, c), y = vload16(1, c);
  for (int k = 0; k < n; k++) {{
    float16 b = vload16(k, a);
    x = pk_mad((float16)(a[k]), b, x);
    y = pk_mad((float16)(a[k + n]), b, y);
  }}
  int16 m = (x > y) | (x != x);
  int16 i = convert_int16(rint(x)) + as_int16(y);
  x = select(y, exp(x) / sqrt(y), m);
  y = copysign(fabs(convert_float16(i << 3)), log(y));
  vstore16(x, 0, c);
  vstore16(y, 1, c);
  c[0] = convert_float16(convert_uchar16(m & 1)).s3;
}}
"""
_answers: dict[str, bool] = {}


def takes_wide_vectors(device: Any) -> bool:
    """True if 64-byte vectors compiled; False if they did not, or if this system has no child processes."""
    if "PoCL" not in device.version:
        return True
    settings = config.get()
    name = "|".join([device.version, device.name, device.driver_version, *pocl.build_options(device)])
    if name not in _answers:
        store = cache.at(settings.cache_dir)
        key = cache.key_of(_PROBE, name)
        known = store.get(key) if store is not None else None
        if known is None:
            from . import isolate

            if not isolate.is_possible():
                return False
            known = Entry(b"", "", {"survived": str(_survives(device, settings.compile_timeout))})
            if store is not None:
                store.put(key, known)
        _answers[name] = known.facts["survived"] == "True"
    return _answers[name]


def _survives(device: Any, seconds: float) -> bool:
    from . import isolate

    try:
        isolate.run(job_for(_PROBE, device), seconds)
    except (isolate.Crashed, Refused):
        return False
    return True
