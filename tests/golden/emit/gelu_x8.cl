#pragma OPENCL FP_CONTRACT OFF
typedef ushort8 pk_ushort8 __attribute__((aligned(sizeof(ushort))));
static inline float8 pk_round_bf16_x8(float8 x) {
  uint8 u = as_uint8(x);
  uint8 n = (u + (uint8)(0x7fffu) + ((u >> 16) & (uint8)(1u))) & (uint8)(0xffff0000u);
  return as_float8(x != x ? (u & (uint8)(0x80000000u)) | (uint8)(0x7fc00000u) : n);
}

static inline float8 pk_load_bf16_x8(ushort8 h) { return as_float8(convert_uint8(h) << 16); }

static inline ushort8 pk_store_bf16_x8(float8 x) { return convert_ushort8(as_uint8(x) >> 16); }

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void gelu(
    __global const ushort* restrict x,
    long x_offset,
    long x_size0,
    __global ushort* restrict out,
    long out_offset,
    long out_size0,
    __global int* restrict status
) {
  x += x_offset;
  out += out_offset;
  const int pid = (int)get_group_id(0);
  const int t1 = (int)(((uint)pid * 1 + 0) * 8);
  const float8 v = pk_load_bf16_x8(*(__global const pk_ushort8*)(x + t1));
  const float8 t2 = pk_round_bf16_x8(pk_round_bf16_x8(erf(pk_round_bf16_x8(v * (float8)(0.70703125f)))) + (float8)(1.0f));
  const float8 t3 = select((float8)(0.0f), pk_round_bf16_x8(v * pk_round_bf16_x8(t2 * (float8)(0.5f))), v > (float8)(-8.0f));
  *(__global pk_ushort8*)(out + t1) = pk_store_bf16_x8(t3);
}
