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
static inline __attribute__((device)) void __syncthreads() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
static inline __attribute__((device)) float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
extern "C" __attribute__((device, visibility("default"))) float __ocml_exp_f32(float x);
static inline __attribute__((device)) float exp(float x) { return __ocml_exp_f32(x); }
extern "C" __attribute__((device, visibility("default"))) double __ocml_exp_f64(double x);
static inline __attribute__((device)) double exp(double x) { return __ocml_exp_f64(x); }
#endif

static __device__ __forceinline__ float pk_max_f32(float x, float y) { return (x >= y) | (x != x) ? x : y; }

extern "C" __global__ void __launch_bounds__(64) softmax(
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
  __shared__ __attribute__((aligned(64))) float buffer1[128];
  __shared__ __attribute__((aligned(64))) float buffer2[64];
  __shared__ __attribute__((aligned(64))) float buffer3[1];
  __shared__ __attribute__((aligned(64))) float buffer4[128];
  __shared__ __attribute__((aligned(64))) float buffer5[64];
  __shared__ __attribute__((aligned(64))) float buffer6[1];
  const i64 t1 = (i64)(int)blockIdx.x;
  const i64 t2 = (i64)((u64)t1 * x_stride0);
  #pragma unroll
  for (int i1 = 0; i1 < 2; ++i1) {
    const int t3 = (int)((u32)i1 * 64 + (int)threadIdx.x);
    const i64 t4 = (i64)t3;
    const i64 t5 = (i64)((u64)t2 + t4);
    float t6;
    if (((u64)t1 < (u64)x_size0) & ((u64)t4 < (u64)x_size1)) {
      const float t7 = x[t5];
      t6 = t7;
    } else {
      t6 = -__int_as_float(0x7f800000);
    }
    buffer1[t3] = t6;
  }
  __syncthreads();
  const int t8 = (int)threadIdx.x;
  const u32 t9 = (u32)t8;
  const int t10 = (int)(t9 % 64u);
  const float t11 = buffer1[t10];
  const int t12 = (int)((u32)t10 + 64);
  float acc1 = t11;
  for (int i2 = t12; i2 < 128; i2 += 64) {
    const float t13 = buffer1[i2];
    acc1 = pk_max_f32(acc1, t13);
  }
  buffer2[t10] = acc1;
  __syncthreads();
  const bool t14 = t8 < 1;
  if (t14) {
    const float t15 = buffer2[0];
    float acc2 = t15;
    for (int i3 = 1; i3 < 64; ++i3) {
      const float t16 = buffer2[i3];
      acc2 = pk_max_f32(acc2, t16);
    }
    buffer3[0] = acc2;
  }
  __syncthreads();
  #pragma unroll
  for (int i4 = 0; i4 < 2; ++i4) {
    const int t17 = (int)((u32)i4 * 64 + t8);
    const float t18 = buffer1[t17];
    const float t19 = buffer3[0];
    buffer4[t17] = exp(t18 - t19);
  }
  __syncthreads();
  const float t20 = buffer4[t10];
  float acc3 = t20;
  for (int i5 = t12; i5 < 128; i5 += 64) {
    const float t21 = buffer4[i5];
    acc3 = acc3 + t21;
  }
  buffer5[t10] = acc3;
  __syncthreads();
  if (t14) {
    const float t22 = buffer5[0];
    float acc4 = t22;
    for (int i6 = 1; i6 < 64; ++i6) {
      const float t23 = buffer5[i6];
      acc4 = acc4 + t23;
    }
    buffer6[0] = acc4;
  }
  __syncthreads();
  const i64 t24 = (i64)((u64)t1 * out_stride0);
  #pragma unroll
  for (int i7 = 0; i7 < 2; ++i7) {
    const int t25 = (int)((u32)i7 * 64 + t8);
    const float t26 = buffer4[t25];
    const float t27 = buffer6[0];
    const float t28 = t26 / t27;
    const i64 t29 = (i64)t25;
    const i64 t30 = (i64)((u64)t24 + t29);
    if (((u64)t1 < (u64)out_size0) & ((u64)t29 < (u64)out_size1)) {
      out[t30] = t28;
    }
  }
}
