// Work divided over the cores, for kernels of TensorFlow's C API, which offers no thread pool.

#ifndef ERRATA_TENSOR_PARALLEL_H_
#define ERRATA_TENSOR_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace errata {

// Calls work(begin, end) on parts of [0, count) that cover it, from several threads where that pays, and returns when all
// are through. `nanoseconds` is what one item takes, roughly. One caller at a time has the threads; others go alone.
void ParallelFor(int64_t count, int64_t nanoseconds, const std::function<void(int64_t, int64_t)>& work);

}  // namespace errata

#endif  // ERRATA_TENSOR_PARALLEL_H_
