"""float16, bfloat16 and the 8-bit floats: rounding in a float register, and conversion from and to their bits.

All are bit tricks on the float32 pattern, so they vectorise and need no half type. Below the least normal number, adding
and subtracting a power of two whose own spacing is the subnormal spacing rounds to nearest even.
"""


def on_device(macro: str, body: str, piece: str) -> str:
    """``piece`` with the chip's own ``body`` where the compiler defines ``macro``; the plain text says what it means."""
    head, _, plain = piece.strip().partition("{")
    return f"{head}{{\n#ifdef {macro}\n  {body}\n#else{plain.removesuffix('}')}#endif\n}}\n"


def _round(name: str, dropped: int, least_normal: int, magic: str, top: str, nan: str) -> str:
    """Nearest even: ``dropped`` fraction bits go; ``top`` maps the rounded pattern ``n`` beyond the largest number."""
    half = (1 << (dropped - 1)) - 1
    mask = (0xFFFFFFFF << dropped) & 0xFFFFFFFF
    return f"""
FN f32 NAME(f32 x) {{
  u32 u = bits_u32(x);
  u32 a = u & (u32)(0x7fffffffu);
  u32 n = (a + (u32)({half:#x}u) + ((a >> {dropped}) & (u32)(1u))) & (u32)({mask:#x}u);
  n = {top} : n;
  n = a < (u32)({least_normal:#x}u) ? bits_u32((bits_f32(a) + (f32)({magic}f)) - (f32)({magic}f)) : n;
  n = a > (u32)(0x7f800000u) ? (u32)({nan}) : n;
  return bits_f32(n | (u & (u32)(0x80000000u)));
}}
"""


def _bits(
    type: str, dropped: int, bias: int, least_normal: int, magic: str, magic_bits: int, top: str, sign: int
) -> str:
    """The pattern of a register that already holds a value of the type."""
    return f"""
FN {type} NAME(f32 x) {{
  u32 u = bits_u32(x);
  u32 a = u & (u32)(0x7fffffffu);
  u32 n = (a - (u32)({bias:#x}u)) >> {dropped};
  n = a < (u32)({least_normal:#x}u) ? bits_u32(bits_f32(a) + (f32)({magic}f)) - (u32)({magic_bits:#x}u) : n;
{top}
  return to_{type}(n | ((u & (u32)(0x80000000u)) >> {sign}));
}}
"""


SMALL_FLOATS: dict[str, str] = {
    # Round to odd: a second rounding to a much narrower type then gives what one rounding from float64 would.
    "odd_f32": """
FN f32 NAME(f64 x) {
  f32 f = to_f32(x);
  f64 b = to_f64(f);
  u32 u = bits_u32(f);
  u = to_i32(fabs(b) > fabs(x)) ? u - (u32)(1u) : u;
  return bits_f32(to_i32(b != x) ? u | (u32)(1u) : u);
}
""",
    "round_f16": _round(
        "f16", 13, 0x38800000, "0.5", "n >= (u32)(0x47800000u) ? (u32)(0x7f800000u)", "0x7fc00000u"
    ).replace("(u32)(0x7fc00000u)", "a"),
    "round_bf16": """
FN f32 NAME(f32 x) {
  u32 u = bits_u32(x);
  u32 n = (u + (u32)(0x7fffu) + ((u >> 16) & (u32)(1u))) & (u32)(0xffff0000u);
  return bits_f32(x != x ? (u & (u32)(0x80000000u)) | (u32)(0x7fc00000u) : n);
}
""",
    "round_e4m3": _round("e4m3", 20, 0x3C800000, "16384.0", "n > (u32)(0x43e00000u) ? (u32)(0x7fc00000u)", "0x7fc00000u"),
    "round_e5m2": _round("e5m2", 21, 0x38800000, "128.0", "n >= (u32)(0x47800000u) ? (u32)(0x7f800000u)", "0x7fc00000u"),
    "load_f16": """
FN f32 NAME(u16 h) {
  u32 u = to_u32(h);
  u32 m = (u & (u32)(0x7fffu)) << 13;
  u32 n = m >= (u32)(0x0f800000u) ? m + (u32)(0x70000000u) : m + (u32)(0x38000000u);
  n = m < (u32)(0x00800000u) ? bits_u32(bits_f32(m + (u32)(0x38800000u)) - bits_f32((u32)(0x38800000u))) : n;
  return bits_f32(n | ((u & (u32)(0x8000u)) << 16));
}
""",
    "store_f16": _bits(
        "u16", 13, 0x38000000, 0x38800000, "0.5", 0x3F000000,
        "  u32 p = (a >> 13) & (u32)(0x3ffu);\n"
        "  p = p == (u32)(0u) ? (u32)(1u) : p;\n"
        "  n = a >= (u32)(0x7f800000u) ? (u32)(0x7c00u) | (a == (u32)(0x7f800000u) ? (u32)(0u) : p) : n;",
        16,
    ),
    # Through a register of its own: PoCL 3.0's vector form wants an address aligned to the whole vector.
    "pack_half": """
FN u16 NAME(f32 x) {
  u16 h;
  vstore_halfLANES_rte(x, 0, (half*)&h);
  return h;
}
""",
    "load_bf16": """
FN f32 NAME(u16 h) { return bits_f32(to_u32(h) << 16); }
""",
    "store_bf16": """
FN u16 NAME(f32 x) { return to_u16(bits_u32(x) >> 16); }
""",
    "load_e4m3": """
FN f32 NAME(u8 h) {
  u32 u = to_u32(h);
  u32 m = u & (u32)(0x7fu);
  u32 n = m < (u32)(8u) ? bits_u32(to_f32(m) * (f32)(0.001953125f)) : (m << 20) + (u32)(0x3c000000u);
  n = m == (u32)(0x7fu) ? (u32)(0x7fc00000u) : n;
  return bits_f32(n | ((u & (u32)(0x80u)) << 24));
}
""",
    "store_e4m3": _bits(
        "u8", 20, 0x3C000000, 0x3C800000, "16384.0", 0x46800000,
        "  n = a > (u32)(0x43e00000u) ? (u32)(0x7fu) : n;", 24,
    ),
    "load_e5m2": """
FN f32 NAME(u8 h) { return pk_load_f16(to_u16(to_u32(h) << 8)); }
""",
    "store_e5m2": _bits(
        "u8", 21, 0x38000000, 0x38800000, "128.0", 0x43000000,
        "  n = a >= (u32)(0x7f800000u) ? (a == (u32)(0x7f800000u) ? (u32)(0x7cu) : (u32)(0x7eu)) : n;", 24,
    ),
}  # fmt: skip
