#ifdef __MUSA__
#include <musa_runtime.h>
#pragma clang fp contract(off)
#endif
typedef signed char i8; typedef unsigned char u8; typedef unsigned short u16;
typedef unsigned int u32; typedef long long i64; typedef unsigned long long u64;

static __device__ __forceinline__ float pk_load_f16(u16 h) {
  u32 u = (u32)(h);
  u32 m = (u & 0x7fffu) << 13;
  u32 n = m >= 0x0f800000u ? m + 0x70000000u : m + 0x38000000u;
  n = m < 0x00800000u ? __float_as_uint(__uint_as_float(m + 0x38800000u) - __uint_as_float(0x38800000u)) : n;
  return __uint_as_float(n | ((u & 0x8000u) << 16));
}

extern "C" __global__ void __launch_bounds__(128) matmul(
    const u16* __restrict__ a,
    i64 a_size0,
    i64 a_size1,
    i64 a_stride0,
    const u16* __restrict__ b,
    i64 b_size0,
    i64 b_size1,
    i64 b_stride0,
    float* __restrict__ out,
    i64 out_size0,
    i64 out_size1,
    i64 out_stride0,
    int* __restrict__ status
) {
  __align__(64) float buffer1[8];
  __shared__ __align__(64) float buffer2[512];
  __shared__ __align__(64) float buffer3[512];
  const i64 t1 = (i64)((u64)(i64)(int)blockIdx.x * 32LL);
  const i64 t2 = (i64)((u64)(i64)(int)blockIdx.y * 32LL);
  const int t3 = (int)threadIdx.x;
  const u32 t4 = (u32)t3;
  const int t5 = (int)(t4 / 16u);
  const int t6 = (int)(t4 % 16u);
  #pragma unroll
  for (int i1 = 0; i1 < 8; ++i1) {
    const u32 t7 = (u32)i1;
    const u32 t8 = t7 % 8u;
    buffer1[i1] = 0.0f;
  }
  const i64 t9 = (i64)((u64)a_size1 + 15LL) >> 4;
  for (i64 i2 = 0LL; i2 < t9; ++i2) {
    const i64 t10 = (i64)((u64)i2 * 16LL);
    const i64 t11 = (i64)((u64)t1 * a_stride0 + t10);
    const i64 t12 = (i64)((u64)t10 * b_stride0 + t2);
    __syncthreads();
    #pragma unroll
    for (int i3 = 0; i3 < 4; ++i3) {
      const u32 t13 = (u32)i3 * 128 + t3;
      const int t14 = (int)(t13 / 16u);
      const int t15 = (int)(t13 % 16u);
      const i64 t16 = (i64)t14;
      const i64 t17 = (i64)t15;
      const i64 t18 = (i64)(t11 + (u64)t16 * a_stride0 + t17);
      float t19;
      if (((u64)t1 + t16 < (u64)a_size0) & ((u64)t10 + t17 < (u64)a_size1)) {
        const float t20 = pk_load_f16(a[t18]);
        t19 = t20;
      } else {
        t19 = 0.0f;
      }
      buffer2[(int)((u32)t14 * 16 + t15)] = t19;
    }
    __syncthreads();
    #pragma unroll
    for (int i4 = 0; i4 < 4; ++i4) {
      const u32 t21 = (u32)i4 * 128 + t3;
      const int t22 = (int)(t21 / 32u);
      const int t23 = (int)(t21 % 32u);
      const i64 t24 = (i64)t22;
      const i64 t25 = (i64)t23;
      const i64 t26 = (i64)(t12 + (u64)t24 * b_stride0 + t25);
      float t27;
      if (((u64)t10 + t24 < (u64)b_size0) & ((u64)t2 + t25 < (u64)b_size1)) {
        const float t28 = pk_load_f16(b[t26]);
        t27 = t28;
      } else {
        t27 = 0.0f;
      }
      buffer3[(int)((u32)t22 * 32 + t23)] = t27;
    }
    __syncthreads();
    const int t29 = (int)((u32)t5 + 8);
    const int t30 = (int)((u32)t5 + 16);
    const int t31 = (int)((u32)t5 + 24);
    const int t32 = (int)((u32)t6 + 16);
    const float t33 = buffer1[0];
    const float t34 = buffer1[1];
    const float t35 = buffer1[2];
    const float t36 = buffer1[3];
    const float t37 = buffer1[4];
    const float t38 = buffer1[5];
    const float t39 = buffer1[6];
    const float t40 = buffer1[7];
    float acc1 = t33;
    float acc2 = t34;
    float acc3 = t35;
    float acc4 = t36;
    float acc5 = t37;
    float acc6 = t38;
    float acc7 = t39;
    float acc8 = t40;
    #pragma unroll 4
    for (int i5 = 0; i5 < 16; ++i5) {
      const float t41 = buffer2[(int)((u32)t5 * 16 + i5)];
      const float t42 = buffer2[(int)((u32)t29 * 16 + i5)];
      const float t43 = buffer2[(int)((u32)t30 * 16 + i5)];
      const float t44 = buffer2[(int)((u32)t31 * 16 + i5)];
      const int t45 = (int)((u32)i5 * 32);
      const float t46 = buffer3[(int)((u32)t45 + t6)];
      const float t47 = buffer3[(int)((u32)t45 + t32)];
      acc1 = fma(t41, t46, acc1);
      acc2 = fma(t41, t47, acc2);
      acc3 = fma(t42, t46, acc3);
      acc4 = fma(t42, t47, acc4);
      acc5 = fma(t43, t46, acc5);
      acc6 = fma(t43, t47, acc6);
      acc7 = fma(t44, t46, acc7);
      acc8 = fma(t44, t47, acc8);
    }
    buffer1[0] = acc1;
    buffer1[1] = acc2;
    buffer1[2] = acc3;
    buffer1[3] = acc4;
    buffer1[4] = acc5;
    buffer1[5] = acc6;
    buffer1[6] = acc7;
    buffer1[7] = acc8;
  }
  const i64 t48 = (i64)((u64)t1 * out_stride0 + t2);
  #pragma unroll
  for (int i6 = 0; i6 < 8; ++i6) {
    const u32 t49 = (u32)i6;
    const u32 t50 = t49 % 8u;
    const float t51 = buffer1[i6];
    const i64 t52 = (i64)(int)(t5 + t50 / 2u * 8);
    const i64 t53 = (i64)(int)(t6 + t50 % 2u * 16);
    const i64 t54 = (i64)(t48 + (u64)t52 * out_stride0 + t53);
    if (((u64)t1 + t52 < (u64)out_size0) & ((u64)t2 + t53 < (u64)out_size1)) {
      out[t54] = t51;
    }
  }
}
