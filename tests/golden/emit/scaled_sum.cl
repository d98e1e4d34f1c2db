#pragma OPENCL FP_CONTRACT OFF
static inline float pk_round_f16(float x) {
  uint u = as_uint(x);
  uint a = u & 0x7fffffffu;
  uint n = (a + 0xfffu + ((a >> 13) & 1u)) & 0xffffe000u;
  n = n >= 0x47800000u ? 0x7f800000u : n;
  n = a < 0x38800000u ? as_uint((as_float(a) + 0.5f) - 0.5f) : n;
  n = a > 0x7f800000u ? a : n;
  return as_float(n | (u & 0x80000000u));
}

static inline float pk_load_f16(ushort h) {
  uint u = (uint)(h);
  uint m = (u & 0x7fffu) << 13;
  uint n = m >= 0x0f800000u ? m + 0x70000000u : m + 0x38000000u;
  n = m < 0x00800000u ? as_uint(as_float(m + 0x38800000u) - as_float(0x38800000u)) : n;
  return as_float(n | ((u & 0x8000u) << 16));
}

static inline ushort pk_store_f16(float x) {
  uint u = as_uint(x);
  uint a = u & 0x7fffffffu;
  uint n = (a - 0x38000000u) >> 13;
  n = a < 0x38800000u ? as_uint(as_float(a) + 0.5f) - 0x3f000000u : n;
  uint p = (a >> 13) & 0x3ffu;
  p = p == 0u ? 1u : p;
  n = a >= 0x7f800000u ? 0x7c00u | (a == 0x7f800000u ? 0u : p) : n;
  return (ushort)(n | ((u & 0x80000000u) >> 16));
}

__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void scaled_sum(
    __global const ushort* restrict x,
    long x_offset,
    long x_size0,
    __global ushort* restrict out,
    long out_offset,
    long out_size0,
    float scale,
    __global int* restrict status
) {
  x += x_offset;
  out += out_offset;
  const int pid = (int)get_group_id(0);
  const int t1 = (int)((uint)pid * 64 + (int)get_local_id(0));
  float acc1 = 0.0f;
  float acc2 = -1.0f;
  #pragma unroll 4
  for (long i = 0L; i < 8L; ++i) {
    const float element = pk_load_f16(x[(long)((ulong)i * 64L + (long)t1)]);
    acc1 = mad(element, scale, acc1);
    acc2 = element;
  }
  out[t1] = pk_store_f16(pk_round_f16(acc1 - acc2));
}
