"""Atomics that no built-in gives: compare-and-swap loops on the word. The first read is a swap too, so that no plain
access races with another thread's."""

_LOOP = """
FN T NAME(SPACE T* p, T v) {
  SPACE U* w = (SPACE U*)p;
  U seen = CAS(w, 0, 0), before;
  do {
    before = seen;
    seen = CAS(w, before, %s);
  } while (seen != before);
  return %s;
}
"""

_FLOAT = "bits_U({})", "bits_T(before)"


def _float(update: str) -> str:
    return _LOOP % (_FLOAT[0].format(update), _FLOAT[1])


ATOMICS: dict[str, str] = {
    "atomic_add/f": _float("bits_T(before) + v"),
    "atomic_max/f": _float("pk_max__T(bits_T(before), v)"),
    "atomic_min/f": _float("pk_min__T(bits_T(before), v)"),
    "atomic_xchg/f": _float("v"),
    "atomic_cas/f": """
FN T NAME(SPACE T* p, T expected, T v) {
  return bits_T(CAS((SPACE U*)p, bits_U(expected), bits_U(v)));
}
""",
}
"""The value stays a NaN once it is one: ``max`` and ``min`` here propagate it, as everywhere."""
