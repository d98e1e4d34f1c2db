#pragma OPENCL FP_CONTRACT OFF
static inline float pk_round_bf16(float x) {
  uint u = as_uint(x);
  uint n = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
  return as_float(x != x ? (u & 0x80000000u) | 0x7fc00000u : n);
}

static inline float pk_load_bf16(ushort h) { return as_float((uint)(h) << 16); }

static inline ushort pk_store_bf16(float x) { return (ushort)(as_uint(x) >> 16); }

__kernel __attribute__((reqd_work_group_size(128, 1, 1)))
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
  const int t1 = (int)((uint)pid * 128 + (int)get_local_id(0));
  const float v = pk_load_bf16(x[t1]);
  const float t2 = pk_round_bf16(v * pk_round_bf16(pk_round_bf16(pk_round_bf16(erf(pk_round_bf16(v * 0.70703125f))) + 1.0f) * 0.5f));
  out[t1] = pk_store_bf16(v > -8.0f ? t2 : 0.0f);
}
