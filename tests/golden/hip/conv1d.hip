typedef signed char i8; typedef unsigned char u8; typedef unsigned short u16;
typedef unsigned int u32; typedef long long i64; typedef unsigned long long u64;

#if defined(__HIP__) && !defined(__HIPCC_RTC__) && !defined(HIP_INCLUDE_HIP_HIP_RUNTIME_H)
#pragma clang fp contract(off)
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(n) __attribute__((amdgpu_flat_work_group_size(1, n)))
struct pk_dim { unsigned x, y, z; };
#define threadIdx (pk_dim{__builtin_amdgcn_workitem_id_x(), __builtin_amdgcn_workitem_id_y(), __builtin_amdgcn_workitem_id_z()})
#define blockIdx (pk_dim{__builtin_amdgcn_workgroup_id_x(), __builtin_amdgcn_workgroup_id_y(), __builtin_amdgcn_workgroup_id_z()})
static inline __attribute__((device)) unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
static inline __attribute__((device)) float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
#endif

static __device__ __forceinline__ float pk_round_f16(float x) {
#ifdef __AMDGCN__
  return (float)(_Float16)x;
#else
  u32 u = __float_as_uint(x);
  u32 a = u & 0x7fffffffu;
  u32 n = (a + 0xfffu + ((a >> 13) & 1u)) & 0xffffe000u;
  n = n >= 0x47800000u ? 0x7f800000u : n;
  n = a < 0x38800000u ? __float_as_uint((__uint_as_float(a) + 0.5f) - 0.5f) : n;
  n = a > 0x7f800000u ? a : n;
  return __uint_as_float(n | (u & 0x80000000u));
#endif
}

static __device__ __forceinline__ float pk_load_f16(u16 h) {
#ifdef __AMDGCN__
  return (float)__builtin_bit_cast(_Float16, h);
#else
  u32 u = (u32)(h);
  u32 m = (u & 0x7fffu) << 13;
  u32 n = m >= 0x0f800000u ? m + 0x70000000u : m + 0x38000000u;
  n = m < 0x00800000u ? __float_as_uint(__uint_as_float(m + 0x38800000u) - __uint_as_float(0x38800000u)) : n;
  return __uint_as_float(n | ((u & 0x8000u) << 16));
#endif
}

static __device__ __forceinline__ u16 pk_store_f16(float x) {
#ifdef __AMDGCN__
  return __builtin_bit_cast(u16, (_Float16)x);
#else
  u32 u = __float_as_uint(x);
  u32 a = u & 0x7fffffffu;
  u32 n = (a - 0x38000000u) >> 13;
  n = a < 0x38800000u ? __float_as_uint(__uint_as_float(a) + 0.5f) - 0x3f000000u : n;
  u32 p = (a >> 13) & 0x3ffu;
  p = p == 0u ? 1u : p;
  n = a >= 0x7f800000u ? 0x7c00u | (a == 0x7f800000u ? 0u : p) : n;
  return (u16)(n | ((u & 0x80000000u) >> 16));
#endif
}

extern "C" __global__ void __launch_bounds__(64) conv1d(
    const u16* __restrict__ x,
    i64 x_size0,
    const float* __restrict__ w,
    i64 w_size0,
    u16* __restrict__ out,
    i64 out_size0,
    int* __restrict__ status
) {
  const int t1 = (int)blockIdx.x;
  const int t2 = (int)threadIdx.x;
  const int t3 = (int)((u32)t1 * 64 + t2);
  const i64 t4 = (i64)t3;
  const u64 t5 = (u64)x_size0;
  float t6;
  if ((t4 < x_size0) & ((u64)t4 < t5)) {
    const float t7 = pk_load_f16(x[t4]);
    t6 = t7;
  } else {
    t6 = 0.0f;
  }
  const u64 t8 = (u64)w_size0;
  float t9;
  if (0ULL < t8) {
    const float t10 = w[0LL];
    t9 = t10;
  } else {
    t9 = 0.0f;
  }
  const i64 t11 = (i64)(int)((u32)t3 + 1);
  float t12;
  if ((t11 < x_size0) & ((u64)t11 < t5)) {
    const float t13 = pk_load_f16(x[t11]);
    t12 = t13;
  } else {
    t12 = 0.0f;
  }
  float t14;
  if (1ULL < t8) {
    const float t15 = w[1LL];
    t14 = t15;
  } else {
    t14 = 0.0f;
  }
  const i64 t16 = (i64)(int)((u32)t3 + 2);
  float t17;
  if ((t16 < x_size0) & ((u64)t16 < t5)) {
    const float t18 = pk_load_f16(x[t16]);
    t17 = t18;
  } else {
    t17 = 0.0f;
  }
  float t19;
  if (2ULL < t8) {
    const float t20 = w[2LL];
    t19 = t20;
  } else {
    t19 = 0.0f;
  }
  const float t21 = pk_round_f16(0.0f + t6 * t9 + t12 * t14 + t17 * t19);
  const i64 t22 = (i64)((u64)(i64)t1 * 64LL + (i64)t2);
  if ((u64)t22 < (u64)out_size0) {
    out[t22] = pk_store_f16(t21);
  }
}
