#ifdef __MUSA__
#include <musa_runtime.h>
#pragma clang fp contract(off)
#endif
typedef signed char i8; typedef unsigned char u8; typedef unsigned short u16;
typedef unsigned int u32; typedef long long i64; typedef unsigned long long u64;

static __device__ __forceinline__ float pk_load_bf16(u16 h) { return __uint_as_float((u32)(h) << 16); }

extern "C" __global__ void __launch_bounds__(128) total(
    const u16* __restrict__ x,
    i64 x_size0,
    float* __restrict__ out,
    i64 out_size0,
    int* __restrict__ status
) {
  __shared__ __align__(64) float buffer1[128];
  __shared__ __align__(64) float buffer2[1];
  __shared__ __align__(64) float buffer3[1];
  const i64 t1 = (i64)((u64)(i64)(int)blockIdx.x * 256LL);
  const int t2 = (int)threadIdx.x;
  const u32 t3 = (u32)t2;
  const int t4 = (int)(t3 % 128u);
  const i64 t5 = (i64)((u64)t1 + (i64)t4);
  const u64 t6 = (u64)x_size0;
  float t7;
  if ((u64)t5 < t6) {
    const float t8 = pk_load_bf16(x[t5]);
    t7 = t8;
  } else {
    t7 = 0.0f;
  }
  float acc1 = t7;
  for (int i1 = (int)((u32)t4 + 128); i1 < 256; i1 += 128) {
    const i64 t9 = (i64)((u64)t1 + (i64)i1);
    float t10;
    if ((u64)t9 < t6) {
      const float t11 = pk_load_bf16(x[t9]);
      t10 = t11;
    } else {
      t10 = 0.0f;
    }
    acc1 = acc1 + t10;
  }
  buffer1[t4] = acc1;
  __syncthreads();
  if (t2 < 1) {
    const float t12 = buffer1[0];
    float acc2 = t12;
    for (int i2 = 1; i2 < 128; ++i2) {
      const float t13 = buffer1[i2];
      acc2 = acc2 + t13;
    }
    buffer2[0] = acc2;
  }
  __syncthreads();
  const float t14 = buffer2[0];
  if (t2 == 0) {
    float t15;
    if (0ULL < (u64)out_size0) {
      const float t16 = atomicAdd(&out[0LL], t14);
      t15 = t16;
    } else {
      t15 = 0.0f;
    }
    buffer3[0] = t15;
  }
  __syncthreads();
}
