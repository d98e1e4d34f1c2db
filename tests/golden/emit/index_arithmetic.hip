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
#endif

static __device__ __forceinline__ int pk_max_i32(int x, int y) { return x > y ? x : y; }

static __device__ __forceinline__ int pk_floordiv_i32(int x, int y) {
  int d = (y == 0) | (y == -1) ? 1 : y;
  int q = x / d;
  int r = x - q * d;
  q = (r != 0) & ((r ^ d) < 0) ? (int)(q - 1) : q;
  return y == 0 ? 0 : (y == -1 ? (int)(0 - (u32)(x)) : q);
}

static __device__ __forceinline__ int pk_mod_i32(int x, int y) {
  int d = (y == 0) | (y == -1) ? 1 : y;
  int r = x % d;
  return (r != 0) & ((r ^ d) < 0) ? (int)(r + d) : r;
}

static __device__ __forceinline__ int pk_from_f32_i32(float x) {
  return x != x ? (int)0 : x < (float)(-2147483647 - 1) ? (int)(-2147483647 - 1) : x >= -(float)(-2147483647 - 1) ? (int)2147483647 : (int)x;
}

extern "C" __global__ void __launch_bounds__(32) kernel_(
    const float* __restrict__ float4_,
    i64 float4__size0,
    int* __restrict__ out,
    i64 out_size0,
    int* __restrict__ status
) {
  const int pid = (int)blockIdx.x;
  const int t1 = (int)((u32)pid * 32 + (int)threadIdx.x);
  const float t2 = float4_[t1];
  const int t3 = pk_from_f32_i32(t2);
  const int row = pk_floordiv_i32(t3, 7);
  const int column = pk_mod_i32(t3, 7);
  out[t1] = (int)((u32)((int)((u32)row << 3) ^ pk_max_i32(column, t1)) * row - ((u32)column + 1));
}
