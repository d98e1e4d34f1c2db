#ifdef __MUSA__
#include <musa_runtime.h>
#pragma clang fp contract(off)
#endif
typedef signed char i8; typedef unsigned char u8; typedef unsigned short u16;
typedef unsigned int u32; typedef long long i64; typedef unsigned long long u64;

static __device__ __forceinline__ float pk_max_f32(float x, float y) { return (x >= y) | (x != x) ? x : y; }

extern "C" __global__ void __launch_bounds__(128) softmax(
    const float* __restrict__ x,
    i64 x_size0,
    i64 x_size1,
    i64 x_stride0,
    float* __restrict__ out,
    i64 out_size0,
    i64 out_size1,
    i64 out_stride0,
    int* __restrict__ status
) {
  __shared__ __align__(64) float buffer1[128];
  __shared__ __align__(64) float buffer2[128];
  __shared__ __align__(64) float buffer3[1];
  __shared__ __align__(64) float buffer4[128];
  __shared__ __align__(64) float buffer5[128];
  __shared__ __align__(64) float buffer6[1];
  const i64 t1 = (i64)(int)blockIdx.x;
  const int t2 = (int)threadIdx.x;
  const u64 t3 = (u64)t1;
  const i64 t4 = (i64)t2;
  const u64 t5 = (u64)t4;
  const i64 t6 = (i64)((u64)t1 * x_stride0 + t4);
  float t7;
  if ((t3 < (u64)x_size0) & (t5 < (u64)x_size1)) {
    const float t8 = x[t6];
    t7 = t8;
  } else {
    t7 = -__int_as_float(0x7f800000);
  }
  buffer1[t2] = t7;
  __syncthreads();
  const u32 t9 = (u32)t2;
  const int t10 = (int)(t9 % 128u);
  const float t11 = buffer1[t10];
  const int t12 = (int)((u32)t10 + 128);
  float acc1 = t11;
  for (int i1 = t12; i1 < 128; i1 += 128) {
    const float t13 = buffer1[i1];
    acc1 = pk_max_f32(acc1, t13);
  }
  buffer2[t10] = acc1;
  __syncthreads();
  const bool t14 = t2 < 1;
  if (t14) {
    const float t15 = buffer2[0];
    float acc2 = t15;
    for (int i2 = 1; i2 < 128; ++i2) {
      const float t16 = buffer2[i2];
      acc2 = pk_max_f32(acc2, t16);
    }
    buffer3[0] = acc2;
  }
  __syncthreads();
  const float t17 = buffer3[0];
  const float t18 = exp(t7 - t17);
  buffer4[t2] = t18;
  __syncthreads();
  const float t19 = buffer4[t10];
  float acc3 = t19;
  for (int i3 = t12; i3 < 128; i3 += 128) {
    const float t20 = buffer4[i3];
    acc3 = acc3 + t20;
  }
  buffer5[t10] = acc3;
  __syncthreads();
  if (t14) {
    const float t21 = buffer5[0];
    float acc4 = t21;
    for (int i4 = 1; i4 < 128; ++i4) {
      const float t22 = buffer5[i4];
      acc4 = acc4 + t22;
    }
    buffer6[0] = acc4;
  }
  __syncthreads();
  const float t23 = buffer6[0];
  const float t24 = t18 / t23;
  const i64 t25 = (i64)((u64)t1 * out_stride0 + t4);
  if ((t3 < (u64)out_size0) & (t5 < (u64)out_size1)) {
    out[t25] = t24;
  }
}
