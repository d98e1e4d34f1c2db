"""Elementary functions in float32 that a device's compiler takes lane by lane, or slowly: for languages with ``mad``."""

_EXP = """
FN f32 NAME(f32 x) {{
  f32 a = x < (f32)(-104.0f) ? (f32)(-104.0f) : x;
  a = a > (f32)(89.0f) ? (f32)(89.0f) : a;
  f32 magic = {magic};
  f32 t = mad(a, (f32)(1.44269504f), magic);
  f32 n = t - magic;
  f32 r = mad(n, (f32)(-0.693359375f), a);
  r = mad(n, (f32)(0.00021219444f), r);
  f32 p = (f32)(0.00138145837f);
  p = mad(p, r, (f32)(0.00836872403f));
  p = mad(p, r, (f32)(0.0416683890f));
  p = mad(p, r, (f32)(0.166665211f));
  p = mad(p, r, (f32)(0.49999994f));
  p = mad(p, r, (f32)(1.0f));
  p = mad(p, r, (f32)(1.0f));
  return {result};
}}
"""
"""exp(x) = 2^n · exp(r) with r = x - n·log 2, |r| <= log(2) / 2: a fit of our own of (exp(r) - 1 - r) / r², 0.05 ulp off. n is
rounded in the last place of t. 0.9 ulp; 1.2 where mad rounds twice."""

EXP_SCALED = _EXP.format(magic="(f32)(12582912.0f)", result="PK_SCALE_LANES(p, n)")
"""``exp`` where ``PK_SCALE_LANES(p, n)`` is p · 2^n, rounded once."""

ELEMENTARY: dict[str, str] = {
    # The low bits of t are the exponent of 2^(n ± 64); the other 2^64 keeps either end of the range right, subnormal
    # results too.
    "exp": _EXP.format(
        magic="a < (f32)(0.0f) ? (f32)(12583103.0f) : (f32)(12582975.0f)",
        result="p * bits_f32(bits_u32(t) << 23) * (a < (f32)(0.0f) ? (f32)(5.42101086e-20f) : (f32)(1.84467441e+19f))",
    ),
    # Least-squares fits of our own, weighted to equal errors: erf(x) / x - 1 in x² below 1, log(erfc(x)) up to 4. 1.3 ulp
    # beside the error of exp, which counts for a sixth at most.
    "erf": """
FN f32 NAME(f32 x) {
  f32 a = fabs(x);
  f32 u = x * x;
  f32 t = a > (f32)(4.0f) ? (f32)(4.0f) : a;
  f32 p = (f32)(7.88912221e-05f);
  p = mad(p, u, (f32)(-0.000802084222f));
  p = mad(p, u, (f32)(0.00518953521f));
  p = mad(p, u, (f32)(-0.0268544443f));
  p = mad(p, u, (f32)(0.112836003f));
  p = mad(p, u, (f32)(-0.37612626f));
  p = mad(p, u, (f32)(0.128379166f));
  f32 q = (f32)(2.51297934e-07f);
  q = mad(q, t, (f32)(-2.53144062e-05f));
  q = mad(q, t, (f32)(0.000463785604f));
  q = mad(q, t, (f32)(-0.0042823744f));
  q = mad(q, t, (f32)(0.025373539f));
  q = mad(q, t, (f32)(-0.108638979f));
  q = mad(q, t, (f32)(-0.633039653f));
  q = mad(q, t, (f32)(-1.1296612f));
  q = mad(q, t, (f32)(0.000204358425f));
  return a < (f32)(1.0f) ? mad(x, p, x) : copysign((f32)(1.0f) - pk_exp(q), x);
}
""",
    # A least-squares fit of our own of tanh(x) / x - 1 in x², 0.01 ulp off, below 0.55; 1 - 2 / (exp(2x) + 1) above. 1.6 ulp.
    "tanh": """
FN f32 NAME(f32 x) {
  f32 a = fabs(x);
  f32 u = x * x;
  f32 p = (f32)(-0.00627423218f);
  p = mad(p, u, (f32)(0.0210716743f));
  p = mad(p, u, (f32)(-0.0538523085f));
  p = mad(p, u, (f32)(0.13332586f));
  p = mad(p, u, (f32)(-0.333333164f));
  f32 far = (f32)(1.0f) - (f32)(2.0f) / (pk_exp(a + a) + (f32)(1.0f));
  return copysign(a < (f32)(0.55f) ? mad(a * u, p, a) : far, x);
}
""",
}
