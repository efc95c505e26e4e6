// The words of CUDA that kernels use, on lanes.
#define __device__ static
#define __forceinline__ inline
#define __shared__ static
#define threadIdx (uint3{lanes::current->index, 0, 0})
#define blockIdx lanes::group
#define blockDim lanes::threads
#define gridDim lanes::groups
#define make_uint3(x, y, z) (uint3{x, y, z})

namespace {

void __syncthreads() { lanes::everyone.meet(); }

float __shfl_xor_sync(unsigned, float value, int offset) { return lanes::exchanged(value)[(lanes::current->index % 32) ^ offset]; }

float __int_as_float(int bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace
