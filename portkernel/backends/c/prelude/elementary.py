"""Elementary functions in float32 that a device's compiler takes lane by lane, or slowly: for languages with ``mad``."""

ELEMENTARY: dict[str, str] = {
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
  return a < (f32)(1.0f) ? mad(x, p, x) : copysign((f32)(1.0f) - exp(q), x);
}
""",
}
