"""Integer and float functions whose meaning is NumPy's where C's differs or is undefined."""

NUMERIC: dict[str, str] = {
    "number/f": """
FN T NAME(T x) { return x == x ? x : (T)(0); }
""",
    "max/f": """
FN T NAME(T x, T y) { return (x >= y) | (x != x) ? x : y; }
""",
    "max/iu": """
FN T NAME(T x, T y) { return x > y ? x : y; }
""",
    "min/f": """
FN T NAME(T x, T y) { return (x <= y) | (x != x) ? x : y; }
""",
    "min/iu": """
FN T NAME(T x, T y) { return x < y ? x : y; }
""",
    "abs/i": """
FN T NAME(T x) { return x < (T)(0) ? as_T((U)(0) - as_U(x)) : x; }
""",
    "sign/i": """
FN T NAME(T x) { return x > (T)(0) ? (T)(1) : (x < (T)(0) ? (T)(-1) : (T)(0)); }
""",
    "sign/u": """
FN T NAME(T x) { return x > (T)(0) ? (T)(1) : (T)(0); }
""",
    "sign/f": """
FN T NAME(T x) { return x > (T)(0) ? (T)(1) : (x < (T)(0) ? (T)(-1) : (x == (T)(0) ? (T)(0) : x)); }
""",
    "shl/iu": """
FN T NAME(T x, T y) { return as_U(y) < (U)(BITS) ? as_T(as_U(x) << (as_U(y) & (U)(BITS - 1))) : (T)(0); }
""",
    "shr/i": """
FN T NAME(T x, T y) { return as_U(y) < (U)(BITS) ? as_T(x >> (y & (T)(BITS - 1))) : (x < (T)(0) ? (T)(-1) : (T)(0)); }
""",
    "shr/u": """
FN T NAME(T x, T y) { return y < (U)(BITS) ? as_T(x >> (y & (T)(BITS - 1))) : (T)(0); }
""",
    "floordiv/i": """
FN T NAME(T x, T y) {
  T d = (y == (T)(0)) | (y == (T)(-1)) ? (T)(1) : y;
  T q = x / d;
  T r = x - q * d;
  q = (r != (T)(0)) & ((r ^ d) < (T)(0)) ? as_T(q - (T)(1)) : q;
  return y == (T)(0) ? (T)(0) : (y == (T)(-1) ? as_T((U)(0) - as_U(x)) : q);
}
""",
    "floordiv/u": """
FN T NAME(T x, T y) { return y == (T)(0) ? (T)(0) : as_T(x / (y == (T)(0) ? (T)(1) : y)); }
""",
    "mod/i": """
FN T NAME(T x, T y) {
  T d = (y == (T)(0)) | (y == (T)(-1)) ? (T)(1) : y;
  T r = x % d;
  return (r != (T)(0)) & ((r ^ d) < (T)(0)) ? as_T(r + d) : r;
}
""",
    "mod/u": """
FN T NAME(T x, T y) { return y == (T)(0) ? (T)(0) : as_T(x % (y == (T)(0) ? (T)(1) : y)); }
""",
    "mod/f": """
FN T NAME(T x, T y) {
  T r = fmod(x, y);
  T m = (r != (T)(0)) & ((r < (T)(0)) != (y < (T)(0))) ? r + y : r;
  return r == (T)(0) ? copysign((T)0, y) : m;
}
""",
    "floordiv/f": """
FN T NAME(T x, T y) {
  T r = fmod(x, y);
  T q = (x - r) / y;
  q = (r != (T)(0)) & ((r < (T)(0)) != (y < (T)(0))) ? q - (T)(1) : q;
  T f = floor(q);
  f = q - f > (T)(0.5f) ? f + (T)(1) : f;
  f = q == (T)(0) ? copysign((T)0, x / y) : f;
  return y == (T)(0) ? x / y : f;
}
""",
    "pow/i": """
FN T NAME(T x, T y) {
  if (y < 0) return x == 1 ? 1 : (x == -1 ? ((y & 1) ? -1 : 1) : 0);
  W r = 1, b = (W)x;
  for (W n = (W)y; n != 0; n >>= 1) {
    if (n & 1) r *= b;
    b *= b;
  }
  return (T)r;
}
""",
    "pow/u": """
FN T NAME(T x, T y) {
  W r = 1, b = (W)x;
  for (W n = (W)y; n != 0; n >>= 1) {
    if (n & 1) r *= b;
    b *= b;
  }
  return (T)r;
}
""",
    # Truncates and saturates; NaN gives 0. The bounds are powers of two, exact in both float types.
    "from_f32/i": """
FN T NAME(f32 x) {
  return x != x ? (T)0 : x < (f32)literal_min ? (T)literal_min : x >= -(f32)literal_min ? (T)literal_max : (T)x;
}
""",
    "from_f64/i": """
FN T NAME(f64 x) {
  return x != x ? (T)0 : x < (f64)literal_min ? (T)literal_min : x >= -(f64)literal_min ? (T)literal_max : (T)x;
}
""",
    "from_f32/u": """
FN T NAME(f32 x) {
  return !(x > 0.0f) ? (T)0 : x >= 2.0f * (f32)(literal_max / 2 + 1) ? (T)literal_max : (T)x;
}
""",
    "from_f64/u": """
FN T NAME(f64 x) {
  return !(x > 0.0) ? (T)0 : x >= 2.0 * (f64)(literal_max / 2 + 1) ? (T)literal_max : (T)x;
}
""",
}
"""``name/kinds`` → text; ``f`` float, ``i`` signed, ``u`` unsigned, ``iu`` both. ``pow`` and the ``from`` family have one lane."""
