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
extern "C" __attribute__((device, visibility("default"))) float __ocml_erf_f32(float x);
static inline __attribute__((device)) float erf(float x) { return __ocml_erf_f32(x); }
extern "C" __attribute__((device, visibility("default"))) double __ocml_erf_f64(double x);
static inline __attribute__((device)) double erf(double x) { return __ocml_erf_f64(x); }
#endif

static __device__ __forceinline__ float pk_round_bf16(float x) {
  u32 u = __float_as_uint(x);
  u32 n = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
  return __uint_as_float(x != x ? (u & 0x80000000u) | 0x7fc00000u : n);
}

static __device__ __forceinline__ float pk_load_bf16(u16 h) { return __uint_as_float((u32)(h) << 16); }

static __device__ __forceinline__ u16 pk_store_bf16(float x) { return (u16)(__float_as_uint(x) >> 16); }

extern "C" __global__ void __launch_bounds__(128) gelu(
    const u16* __restrict__ x,
    i64 x_size0,
    u16* __restrict__ out,
    i64 out_size0,
    int* __restrict__ status
) {
  const int pid = (int)blockIdx.x;
  const int t1 = (int)((u32)pid * 128 + (int)threadIdx.x);
  const float v = pk_load_bf16(x[t1]);
  const float t2 = pk_round_bf16(v * pk_round_bf16(pk_round_bf16(pk_round_bf16(erf(pk_round_bf16(v * 0.70703125f))) + 1.0f) * 0.5f));
  out[t1] = pk_store_bf16(v > -8.0f ? t2 : 0.0f);
}
