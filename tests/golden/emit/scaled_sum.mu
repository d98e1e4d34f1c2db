#ifdef __MUSA__
#include <musa_runtime.h>
#pragma clang fp contract(off)
#endif
typedef signed char i8; typedef unsigned char u8; typedef unsigned short u16;
typedef unsigned int u32; typedef long long i64; typedef unsigned long long u64;

static __device__ __forceinline__ float pk_round_f16(float x) {
  u32 u = __float_as_uint(x);
  u32 a = u & 0x7fffffffu;
  u32 n = (a + 0xfffu + ((a >> 13) & 1u)) & 0xffffe000u;
  n = n >= 0x47800000u ? 0x7f800000u : n;
  n = a < 0x38800000u ? __float_as_uint((__uint_as_float(a) + 0.5f) - 0.5f) : n;
  n = a > 0x7f800000u ? a : n;
  return __uint_as_float(n | (u & 0x80000000u));
}

static __device__ __forceinline__ float pk_load_f16(u16 h) {
  u32 u = (u32)(h);
  u32 m = (u & 0x7fffu) << 13;
  u32 n = m >= 0x0f800000u ? m + 0x70000000u : m + 0x38000000u;
  n = m < 0x00800000u ? __float_as_uint(__uint_as_float(m + 0x38800000u) - __uint_as_float(0x38800000u)) : n;
  return __uint_as_float(n | ((u & 0x8000u) << 16));
}

static __device__ __forceinline__ u16 pk_store_f16(float x) {
  u32 u = __float_as_uint(x);
  u32 a = u & 0x7fffffffu;
  u32 n = (a - 0x38000000u) >> 13;
  n = a < 0x38800000u ? __float_as_uint(__uint_as_float(a) + 0.5f) - 0x3f000000u : n;
  u32 p = (a >> 13) & 0x3ffu;
  p = p == 0u ? 1u : p;
  n = a >= 0x7f800000u ? 0x7c00u | (a == 0x7f800000u ? 0u : p) : n;
  return (u16)(n | ((u & 0x80000000u) >> 16));
}

extern "C" __global__ void __launch_bounds__(64) scaled_sum(
    const u16* __restrict__ x,
    i64 x_size0,
    u16* __restrict__ out,
    i64 out_size0,
    float scale,
    int* __restrict__ status
) {
  const int pid = (int)blockIdx.x;
  const int t1 = (int)((u32)pid * 64 + (int)threadIdx.x);
  float acc1 = 0.0f;
  float acc2 = -1.0f;
  #pragma unroll 4
  for (i64 i = 0LL; i < 8LL; ++i) {
    const float element = pk_load_f16(x[(i64)((u64)i * 64LL + (i64)t1)]);
    acc1 = fma(element, scale, acc1);
    acc2 = element;
  }
  out[t1] = pk_store_f16(pk_round_f16(acc1 - acc2));
}
