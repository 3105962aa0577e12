// The test runner of the native core: named cases that run on every backend that is present, and a table form that runs one operation several times,
// demands equal bytes (on the processor at 1, 2 and 5 threads), and compares with a float64 reference.
#pragma once
#include <cmath>
#include <cstring>
#include <functional>
#include <future>
#include <random>
#include <string>
#include <vector>

#include "core/convert.h"
#include "core/device.h"
#include "core/library-backend.h"

namespace bitwright_test {

using bitwright::DType;
using bitwright::Options;
using bitwright::Shape;
using bitwright::Status;
using bitwright::TensorSpec;

/// Where a case runs: on every backend, or once, because it asks about one part of the program.
enum class Where { every_backend, once };

/// Registers a case at start-up; a case throws Failure to fail, Skipped where it cannot run.
struct Case {
  Case(const std::string& name, std::function<void()> body, Where where = Where::every_backend);
};
struct Skipped {
  std::string reason;
};
struct Failure {
  std::string text;
};
inline void expect(bool condition, const std::string& text) {
  if (!condition) throw Failure{text};
}

/// A tensor on the host: dtype, shape, bytes.
struct Array {
  TensorSpec spec;
  std::vector<uint8_t> bytes;
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(bytes.data());
  }
  double at(int64_t i) const {
    switch (spec.dtype) {
      case DType::I8: return as<int8_t>()[i];
      case DType::U8:
      case DType::F8_E4M3: return as<uint8_t>()[i];  // the code
      case DType::I32: return as<int32_t>()[i];
      case DType::I64: return static_cast<double>(as<int64_t>()[i]);
      case DType::F64: return as<double>()[i];
      case DType::F16: return bitwright::f16_to_float(as<uint16_t>()[i]);
      case DType::BF16: return bitwright::bf16_to_float(as<uint16_t>()[i]);
      default: return as<float>()[i];
    }
  }
  /// Element of a matrix.
  double at(int64_t row, int64_t column) const { return at(row * spec.shape[1] + column); }
};

inline Array none() {
  Array array;
  array.spec.present = false;
  return array;
}
Array array_of(DType dtype, Shape shape, const std::function<double(int64_t)>& value);
/// Normal values, seeded.
Array normal(DType dtype, Shape shape, uint32_t seed, double deviation = 1.0);
Array ints(Shape shape, const std::vector<int32_t>& values);

/// Options from a braced list.
Options options(std::initializer_list<std::pair<const char*, Options::Value>> values);

/// Runs an operation on one device of the backend that the case runs on (n_threads counts on the processor alone); inputs that the operation changes in place are answered behind its results.
std::vector<Array> run(const std::string& operation, const std::vector<Array>& inputs, const Options& options, int n_threads, size_t n_in_place = 0);

/// Runs on 1, 2 and 5 threads, or twice on another backend; demands equal bytes, and of operations that round nothing or step by step the bytes of the
/// processor too; answers the result.
std::vector<Array> run_everywhere(const std::string& operation, const std::vector<Array>& inputs, const Options& options, size_t n_in_place = 0);

/// Runs `first` on `input` and, on the same device, `second` on what `inputs_of` makes of its result; `upload` brings more inputs.
using Upload = std::function<bitwright::Tensor(const Array&)>;
std::vector<Array> run_chain(const Array& input, const std::string& first, const Options& options, const std::string& second, const std::function<std::vector<bitwright::Tensor>(const bitwright::Tensor&, const Upload&)>& inputs_of);

/// Enqueues calls without options one behind the other and answers what the next sync tells.
std::string first_failure(const std::vector<std::pair<std::string, std::vector<Array>>>& calls);

/// `array` goes to the device, from there to host memory beside it, is released on the device while others are made there, and comes back; what fails is answered.
std::string parked(const Array& array, Array& back);

/// What a device says whose limit leaves room for 8 MB when 16 are asked for; 4 MB work before and after.
std::string beyond_limit();

/// |result - reference| ≤ bound · max|reference| + absolute for every element.
void expect_close(const Array& result, const std::vector<double>& reference, double bound, double absolute = 0);
/// The call must be refused with a sentence that holds `part`.
void expect_refused(const std::string& operation, const std::vector<Array>& inputs, const Options& options, const std::string& part);

/// The library of the backend that the case runs on; nullptr on the processor.
const bitwright::BackendLibrary* running_library();

/// The backend library of CUDA; throws Skipped where this build has none or it cannot be loaded.
const bitwright::BackendLibrary& cuda_library();

}  // namespace bitwright_test
