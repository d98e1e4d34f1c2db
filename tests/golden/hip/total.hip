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
static inline __attribute__((device)) float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
template <class T, class V> static inline __attribute__((device)) T atomicAdd(T* p, V v) { return __hip_atomic_fetch_add(p, (T)v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT); }
#endif

static __device__ __forceinline__ float pk_load_bf16(u16 h) { return __uint_as_float((u32)(h) << 16); }

extern "C" __global__ void __launch_bounds__(64) total(
    const u16* __restrict__ x,
    i64 x_size0,
    float* __restrict__ out,
    i64 out_size0,
    int* __restrict__ status
) {
  __shared__ __attribute__((aligned(64))) float buffer1[64];
  __shared__ __attribute__((aligned(64))) float buffer2[1];
  __shared__ __attribute__((aligned(64))) float buffer3[1];
  const i64 t1 = (i64)((u64)(i64)(int)blockIdx.x * 256LL);
  const int t2 = (int)threadIdx.x;
  const u32 t3 = (u32)t2;
  const int t4 = (int)(t3 % 64u);
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
  for (int i1 = (int)((u32)t4 + 64); i1 < 256; i1 += 64) {
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
    for (int i2 = 1; i2 < 64; ++i2) {
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
