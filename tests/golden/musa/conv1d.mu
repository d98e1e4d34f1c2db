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

extern "C" __global__ void __launch_bounds__(128) conv1d(
    const u16* __restrict__ x,
    i64 x_size0,
    const float* __restrict__ w,
    i64 w_size0,
    u16* __restrict__ out,
    i64 out_size0,
    int* __restrict__ status
) {
  const int t1 = (int)blockIdx.x;
  const int t2 = (int)((u32)t1 * 64);
  const i64 t3 = (i64)((u64)(i64)t1 * 64LL);
  const int t4 = (int)threadIdx.x;
  if (t4 < 64) {
    const int t5 = (int)((u32)t2 + t4);
    const i64 t6 = (i64)t5;
    const u64 t7 = (u64)x_size0;
    float t8;
    if ((t6 < x_size0) & ((u64)t6 < t7)) {
      const float t9 = pk_load_f16(x[t6]);
      t8 = t9;
    } else {
      t8 = 0.0f;
    }
    const u64 t10 = (u64)w_size0;
    float t11;
    if (0ULL < t10) {
      const float t12 = w[0LL];
      t11 = t12;
    } else {
      t11 = 0.0f;
    }
    const i64 t13 = (i64)(int)((u32)t5 + 1);
    float t14;
    if ((t13 < x_size0) & ((u64)t13 < t7)) {
      const float t15 = pk_load_f16(x[t13]);
      t14 = t15;
    } else {
      t14 = 0.0f;
    }
    float t16;
    if (1ULL < t10) {
      const float t17 = w[1LL];
      t16 = t17;
    } else {
      t16 = 0.0f;
    }
    const i64 t18 = (i64)(int)((u32)t5 + 2);
    float t19;
    if ((t18 < x_size0) & ((u64)t18 < t7)) {
      const float t20 = pk_load_f16(x[t18]);
      t19 = t20;
    } else {
      t19 = 0.0f;
    }
    float t21;
    if (2ULL < t10) {
      const float t22 = w[2LL];
      t21 = t22;
    } else {
      t21 = 0.0f;
    }
    const float t23 = pk_round_f16(0.0f + t8 * t11 + t14 * t16 + t19 * t21);
    const i64 t24 = (i64)((u64)t3 + (i64)t4);
    if ((u64)t24 < (u64)out_size0) {
      out[t24] = pk_store_f16(t23);
    }
  }
}
