// The words of Metal that kernels use, on lanes.
#define device
#define constant
#define thread
#define threadgroup static
#define thread_index_in_simdgroup (lanes::current->index % 32)
#define simdgroup_index_in_threadgroup (lanes::current->index / 32)
#define threadgroup_position_in_grid lanes::group
#define threadgroups_per_grid lanes::groups
#define thread_position_in_grid lanes::position()
#define threadgroup_barrier(flags) lanes::everyone.meet()
#define INFINITY __builtin_inff()

namespace {

// Adds in the order of a butterfly.
float simd_sum(float value) {
  const float* given = lanes::exchanged(value);
  float sums[32];
  for (int i = 0; i < 32; ++i) sums[i] = given[i];
  for (int offset = 16; offset > 0; offset /= 2)
    for (int i = 0; i < offset; ++i) sums[i] += sums[i + offset];
  return sums[0];
}

}  // namespace
