#pragma OPENCL FP_CONTRACT OFF
#ifdef __FMA__
#define pk_mad fma
#else
#define pk_mad mad
#endif

__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void scaled_sum(
    __global const ushort* restrict x,
    long x_offset,
    long x_size0,
    __global ushort* restrict out,
    long out_offset,
    long out_size0,
    float scale,
    __global int* restrict status
) {
  x += x_offset;
  out += out_offset;
  const int pid = (int)get_group_id(0);
  const int t1 = (int)((uint)pid * 64 + (int)get_local_id(0));
  float acc1 = 0.0f;
  float acc2 = -1.0f;
  #pragma unroll 4
  for (long i = 0L; i < 8L; ++i) {
    const float element = vload_half(0, (__global const half*)x + (long)((ulong)i * 64L + (long)t1));
    acc1 = pk_mad(element, scale, acc1);
    acc2 = element;
  }
  vstore_half_rte(acc1 - acc2, 0, (__global half*)out + t1);
}
