// The test runner of the native core: see runner.h. Prints failures by name and ends with `N passed, N failed`.
#include "runner.h"

#include <cstdio>

#include "core/gemm.h"

namespace bitwright_test {
namespace {

struct Named {
  std::string name;
  std::function<void()> body;
};
std::vector<Named>& all_cases() {
  static std::vector<Named> cases;
  return cases;
}

void store(Array& array, int64_t i, double value) {
  switch (array.spec.dtype) {
    case DType::I8: reinterpret_cast<int8_t*>(array.bytes.data())[i] = static_cast<int8_t>(value); break;
    case DType::U8: array.bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(value); break;
    case DType::I32: reinterpret_cast<int32_t*>(array.bytes.data())[i] = static_cast<int32_t>(value); break;
    case DType::I64: reinterpret_cast<int64_t*>(array.bytes.data())[i] = static_cast<int64_t>(value); break;
    case DType::F64: reinterpret_cast<double*>(array.bytes.data())[i] = value; break;
    case DType::F16: reinterpret_cast<uint16_t*>(array.bytes.data())[i] = bitwright::float_to_f16(static_cast<float>(value)); break;
    case DType::BF16: reinterpret_cast<uint16_t*>(array.bytes.data())[i] = bitwright::float_to_bf16(static_cast<float>(value)); break;
    default: reinterpret_cast<float*>(array.bytes.data())[i] = static_cast<float>(value);
  }
}

}  // namespace

Case::Case(const std::string& name, std::function<void()> body) { all_cases().push_back({name, std::move(body)}); }

Array array_of(DType dtype, Shape shape, const std::function<double(int64_t)>& value) {
  Array array;
  array.spec = {dtype, std::move(shape)};
  array.bytes.resize(static_cast<size_t>(array.spec.bytes()));
  for (int64_t i = 0; i < array.spec.count(); ++i) store(array, i, value(i));
  return array;
}

Array normal(DType dtype, Shape shape, uint32_t seed, double deviation) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> distribution(0, deviation);
  return array_of(dtype, std::move(shape), [&](int64_t) { return distribution(generator); });
}

Array ints(Shape shape, const std::vector<int32_t>& values) {
  return array_of(DType::I32, std::move(shape), [&](int64_t i) { return values[static_cast<size_t>(i)]; });
}

Options options(std::initializer_list<std::pair<const char*, Options::Value>> values) {
  Options all;
  for (const auto& [name, value] : values) all.set(name, value);
  return all;
}

std::vector<Array> run(const std::string& operation, const std::vector<Array>& inputs, const Options& options, int n_threads, size_t n_in_place) {
  bitwright::Device device(n_threads);
  std::vector<bitwright::Tensor> tensors, results;
  for (const Array& input : inputs) tensors.push_back(input.spec.present ? device.from_bytes(input.spec, input.bytes.data()) : nullptr);
  if (Status status = device.enqueue(operation, tensors, options, results); !status.ok()) throw Failure{status.message};
  results.insert(results.end(), tensors.begin(), tensors.begin() + static_cast<std::ptrdiff_t>(n_in_place));
  std::vector<Array> answer;
  for (const bitwright::Tensor& tensor : results) {
    std::promise<Status> promise;
    Array array;
    array.spec = tensor->spec;
    device.read(tensor, [&](Status status, std::vector<uint8_t> bytes) {
      array.bytes = std::move(bytes);
      promise.set_value(std::move(status));
    });
    if (Status status = promise.get_future().get(); !status.ok()) throw Failure{status.message};
    answer.push_back(std::move(array));
  }
  return answer;
}

std::vector<Array> run_everywhere(const std::string& operation, const std::vector<Array>& inputs, const Options& options, size_t n_in_place) {
  const std::vector<Array> first = run(operation, inputs, options, 1, n_in_place);
  for (int n_threads : {2, 5}) {
    const std::vector<Array> again = run(operation, inputs, options, n_threads, n_in_place);
    for (size_t i = 0; i < first.size(); ++i) expect(first[i].bytes == again[i].bytes, operation + ": other bytes with " + std::to_string(n_threads) + " threads");
  }
  return first;
}

void expect_close(const Array& result, const std::vector<double>& reference, double bound, double absolute) {
  expect(result.spec.count() == static_cast<int64_t>(reference.size()), "result " + result.spec.text() + " where " + std::to_string(reference.size()) + " values were expected");
  double largest = 0;
  for (double value : reference) largest = std::fmax(largest, std::fabs(value));
  for (size_t i = 0; i < reference.size(); ++i) {
    const double value = result.at(static_cast<int64_t>(i));
    expect(std::fabs(value - reference[i]) <= bound * largest + absolute,
           "element " + std::to_string(i) + " is " + std::to_string(value) + ", expected " + std::to_string(reference[i]) + " within " + std::to_string(bound * largest + absolute));
  }
}

void expect_refused(const std::string& operation, const std::vector<Array>& inputs, const Options& options, const std::string& part) {
  try {
    run(operation, inputs, options, 1);
  } catch (const Failure& failure) {
    expect(failure.text.find(part) != std::string::npos, "refused with \"" + failure.text + "\", which does not say \"" + part + "\"");
    return;
  }
  throw Failure{operation + " was not refused"};
}

}  // namespace bitwright_test

int main() {
  bitwright::make_blas_single_threaded();
  int n_passed = 0, n_failed = 0;
  for (const auto& [name, body] : bitwright_test::all_cases()) {
    try {
      body();
      ++n_passed;
    } catch (const bitwright_test::Failure& failure) {
      ++n_failed;
      std::printf("FAILED %s: %s\n", name.c_str(), failure.text.c_str());
    }
  }
  std::printf("%d passed, %d failed\n", n_passed, n_failed);
  return n_failed == 0 ? 0 : 1;
}
