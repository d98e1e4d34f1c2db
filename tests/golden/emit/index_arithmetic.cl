#pragma OPENCL FP_CONTRACT OFF
static inline float pk_number_f32(float x) { return x == x ? x : 0; }

static inline int pk_max_i32(int x, int y) { return x > y ? x : y; }

static inline int pk_floordiv_i32(int x, int y) {
  int d = (y == 0) | (y == -1) ? 1 : y;
  int q = x / d;
  int r = x - q * d;
  q = (r != 0) & ((r ^ d) < 0) ? (int)(q - 1) : q;
  return y == 0 ? 0 : (y == -1 ? (int)(0 - (uint)(x)) : q);
}

static inline int pk_mod_i32(int x, int y) {
  int d = (y == 0) | (y == -1) ? 1 : y;
  int r = x % d;
  return (r != 0) & ((r ^ d) < 0) ? (int)(r + d) : r;
}

__kernel __attribute__((reqd_work_group_size(32, 1, 1)))
void kernel_(
    __global const float* restrict float4_,
    long float4__offset,
    long float4__size0,
    __global int* restrict out,
    long out_offset,
    long out_size0,
    __global int* restrict status
) {
  float4_ += float4__offset;
  out += out_offset;
  const int pid = (int)get_group_id(0);
  const int t1 = (int)((uint)pid * 32 + (int)get_local_id(0));
  const float t2 = float4_[t1];
  const int t3 = convert_int_sat(pk_number_f32(t2));
  const int row = pk_floordiv_i32(t3, 7);
  const int column = pk_mod_i32(t3, 7);
  out[t1] = (int)((uint)((int)((uint)row << 3) ^ pk_max_i32(column, t1)) * row - ((uint)column + 1));
}
