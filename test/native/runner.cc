// The test runner of the native core: see runner.h. Prints failures and what is skipped by name and ends with `N passed, N failed, N skipped`.
// Backends: cpu; cuda, emulated (the same kernels compiled for the processor, see emulation/); the same where races of threads are looked for, and with streams that lag, in two orders; cuda. Options: --json FILE writes every outcome; --only TEXT, once or more often, runs the cases with this in their name; --backend NAME runs on one backend alone.
#include "runner.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <set>

#include "core/gemm.h"

namespace bitwright_test {
namespace {

struct Named {
  std::string name;
  std::function<void()> body;
  Where where;
};
std::vector<Named>& all_cases() {
  static std::vector<Named> cases;
  return cases;
}

/// The device of the pass that is not the processor's; opening one takes longer than most cases.
std::unique_ptr<bitwright::Device> other_device;
std::shared_ptr<const bitwright::BackendLibrary> other_library;
std::string other_path;

/// Operations whose results are the processor's to the bit: they move, compare or count, or round each step as quantizers/grid.h says.
bool is_exact(const std::string& operation, const std::vector<Array>& inputs, const Options& options) {
  static const std::set<std::string> exact = {"cast",          "gather_columns",   "embedding",        "rope",       "add",           "fake_quantize_dynamic", "fake_quantize_static", "column_range_accumulate",
                                              "range_accumulate", "weighted_accumulate", "activation_scale", "quantize_rtn",  "dequantize", "clipped_share", "hessian_order",         "dead_columns",         "column_absmax_accumulate",
                                              "multiply_columns", "divide_rows",      "hadamard_transform", "rotate", "pack_int32",    "unpack_int32", "histogram",     "divide_columns",        "fake_quantize_local",  "global_scale",
                                              "tensor_group_scales", "effective_scales", "pack_fp4",   "unpack_fp4", "e8m0_codes",    "e8m0_scales",           "stack_rows", "argmax", "store_rows",
                                              "blockwise_codes", "blockwise_values", "pack_nibbles", "unpack_nibbles", "gguf_encode", "gguf_decode", "vptq_pack", "vptq_values"};
  // The matrix product behind a block of columns is what adds in another order.
  if (operation == "quantize_vptq") return !inputs[1].spec.present || inputs[0].spec.shape[1] <= options.integer("block_size", 128);
  return exact.count(operation) != 0 || (operation == "weight_scales" && options.text("observer") == "minmax");
}

void store(Array& array, int64_t i, double value) {
  switch (array.spec.dtype) {
    case DType::I8: reinterpret_cast<int8_t*>(array.bytes.data())[i] = static_cast<int8_t>(value); break;
    case DType::U8:
    case DType::F8_E4M3: array.bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(value); break;
    case DType::I32: reinterpret_cast<int32_t*>(array.bytes.data())[i] = static_cast<int32_t>(value); break;
    case DType::I64: reinterpret_cast<int64_t*>(array.bytes.data())[i] = static_cast<int64_t>(value); break;
    case DType::F64: reinterpret_cast<double*>(array.bytes.data())[i] = value; break;
    case DType::F16: reinterpret_cast<uint16_t*>(array.bytes.data())[i] = bitwright::float_to_f16(static_cast<float>(value)); break;
    case DType::BF16: reinterpret_cast<uint16_t*>(array.bytes.data())[i] = bitwright::float_to_bf16(static_cast<float>(value)); break;
    default: reinterpret_cast<float*>(array.bytes.data())[i] = static_cast<float>(value);
  }
}

}  // namespace

Case::Case(const std::string& name, std::function<void()> body, Where where) { all_cases().push_back({name, std::move(body), where}); }

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

namespace {

void check(const Status& status) {
  if (!status.ok()) throw Failure{status.message};
}

Status sync(bitwright::Device& device) {
  std::promise<Status> promise;
  device.sync([&](Status status) { promise.set_value(std::move(status)); });
  return promise.get_future().get();
}

Array read(bitwright::Device& device, const bitwright::Tensor& tensor) {
  std::promise<Status> promise;
  Array array;
  array.spec = tensor->spec;
  device.read(tensor, [&](Status status, std::vector<uint8_t> bytes) {
    array.bytes = std::move(bytes);
    promise.set_value(std::move(status));
  });
  check(promise.get_future().get());
  return array;
}

std::vector<Array> run_on(bitwright::Device& device, const std::string& operation, const std::vector<Array>& inputs, const Options& options, size_t n_in_place) {
  std::vector<bitwright::Tensor> tensors, results;
  for (const Array& input : inputs) tensors.push_back(input.spec.present ? device.from_bytes(input.spec, input.bytes.data()) : nullptr);
  if (Status status = device.enqueue(operation, tensors, options, results); !status.ok()) throw Failure{status.message};
  results.insert(results.end(), tensors.begin(), tensors.begin() + static_cast<std::ptrdiff_t>(n_in_place));
  if (results.empty())
    check(sync(device));
  std::vector<Array> answer;
  for (const bitwright::Tensor& tensor : results) answer.push_back(read(device, tensor));
  return answer;
}

/// Calls work with the device of the running pass.
template <class Work>
auto on_device(const Work& work) {
  if (other_device) return work(*other_device);
  bitwright::Device processor(2);
  return work(processor);
}

void expect_same(const std::vector<Array>& one, const std::vector<Array>& other, const std::string& text) {
  for (size_t i = 0; i < one.size(); ++i) expect(one[i].bytes == other[i].bytes, text);
}

}  // namespace

std::vector<Array> run(const std::string& operation, const std::vector<Array>& inputs, const Options& options, int n_threads, size_t n_in_place) {
  if (other_device) return run_on(*other_device, operation, inputs, options, n_in_place);
  bitwright::Device device(n_threads);
  return run_on(device, operation, inputs, options, n_in_place);
}

std::vector<Array> run_everywhere(const std::string& operation, const std::vector<Array>& inputs, const Options& options, size_t n_in_place) {
  const std::vector<Array> first = run(operation, inputs, options, 1, n_in_place);
  if (other_device) {
    expect_same(first, run(operation, inputs, options, 1, n_in_place), operation + ": other bytes in a second run");
    if (!is_exact(operation, inputs, options)) return first;
    bitwright::Device processor(2);
    expect_same(first, run_on(processor, operation, inputs, options, n_in_place), operation + ": other bytes than on the processor");
    return first;
  }
  for (int n_threads : {2, 5}) expect_same(first, run(operation, inputs, options, n_threads, n_in_place), operation + ": other bytes with " + std::to_string(n_threads) + " threads");
  return first;
}

std::vector<Array> run_chain(const Array& input, const std::string& first, const Options& options, const std::string& second, const std::function<std::vector<bitwright::Tensor>(const bitwright::Tensor&, const Upload&)>& inputs_of) {
  return on_device([&](bitwright::Device& device) {
    const Upload upload = [&](const Array& array) { return device.from_bytes(array.spec, array.bytes.data()); };
    std::vector<bitwright::Tensor> between, results;
    if (Status status = device.enqueue(first, {upload(input)}, options, between); !status.ok()) throw Failure{status.message};
    if (Status status = device.enqueue(second, inputs_of(between[0], upload), {}, results); !status.ok()) throw Failure{status.message};
    std::vector<Array> answer;
    for (const bitwright::Tensor& tensor : results) answer.push_back(read(device, tensor));
    return answer;
  });
}

std::string parked(const Array& array, Array& back) {
  return on_device([&](bitwright::Device& device) {
    const bitwright::Tensor tensor = device.from_bytes(array.spec, array.bytes.data());
    bitwright::Tensor there, here;
    if (const Status status = device.to_host(tensor, there); !status.ok()) throw Failure{status.message};
    device.release(tensor);
    // Takes the place of what was released.
    const bitwright::Tensor other = device.zeros(array.spec);
    if (const Status status = device.to_device(there, here); !status.ok()) throw Failure{status.message};
    device.release(there);
    const std::string told = sync(device).message;
    if (told.empty()) back = read(device, here);
    for (const bitwright::Tensor& one : {other, here}) device.release(one);
    return told;
  });
}

std::string beyond_limit() {
  return on_device([](bitwright::Device& device) {
    const auto ask = [&](int64_t count) {
      const bitwright::Tensor tensor = device.zeros({DType::F32, {count}});
      const std::string told = sync(device).message;
      device.release(tensor);
      return told;
    };
    // What the backend itself holds is counted in; the processor's holds nothing.
    constexpr int64_t bytes = int64_t{8} << 20, own = int64_t{32} << 20;
    device.limit(bytes + (other_device ? own : 0));
    const std::string before = ask(1 << 20), told = ask(4 << 20), after = ask(1 << 20);
    device.limit(0);
    expect(before.empty() && after.empty() && ask(4 << 20).empty(), before + after);
    return told;
  });
}

std::string first_failure(const std::vector<std::pair<std::string, std::vector<Array>>>& calls) {
  return on_device([&](bitwright::Device& device) {
    for (const auto& [operation, inputs] : calls) {
      std::vector<bitwright::Tensor> tensors, results;
      for (const Array& input : inputs) tensors.push_back(device.from_bytes(input.spec, input.bytes.data()));
      if (Status status = device.enqueue(operation, tensors, {}, results); !status.ok()) throw Failure{status.message};
    }
    return sync(device).message;
  });
}

/// What threads did to each other without a barrier since the last question (emulation/races.cc); nothing where the running library does not look for it.
std::string races() {
  if (!other_device || other_path != BITWRIGHT_RACES_LIBRARY) return "";
  void* const library = dlopen(other_path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  const auto found = reinterpret_cast<const char* (*)()>(dlsym(library, "bitwright_emulated_races"));
  dlclose(library);
  return found();
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
  const std::string before = races();
  expect(before.empty(), before);
  try {
    run(operation, inputs, options, 1);
  } catch (const Failure& failure) {
    // What a call has left on a device that refuses it afterwards is thrown away.
    races();
    expect(failure.text.find(part) != std::string::npos, "refused with \"" + failure.text + "\", which does not say \"" + part + "\"");
    return;
  }
  throw Failure{operation + " was not refused"};
}

const bitwright::BackendLibrary* running_library() { return other_device ? other_library.get() : nullptr; }

const bitwright::BackendLibrary& cuda_library() {
  const std::string path = BITWRIGHT_CUDA_LIBRARY;
  if (path.empty()) throw Skipped{BITWRIGHT_CUDA_ABSENT};
  Status status;
  static const std::shared_ptr<const bitwright::BackendLibrary> library = bitwright::BackendLibrary::load(path, status);
  if (!library) throw Failure{status.message};
  return *library;
}

}  // namespace bitwright_test

namespace {

using namespace bitwright_test;

struct Outcome {
  std::string backend, name, outcome, text;
  double seconds = 0;
};

std::string json_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return quoted + "\"";
}

/// By a rename: whenever the program is ended, what is there is whole.
void write_json(const std::string& path, const std::vector<Outcome>& outcomes) {
  std::ofstream file(path + ".part");
  file << "[";
  for (size_t i = 0; i < outcomes.size(); ++i)
    file << (i > 0 ? ",\n" : "\n") << "{\"backend\": " << json_text(outcomes[i].backend) << ", \"case\": " << json_text(outcomes[i].name) << ", \"outcome\": \"" << outcomes[i].outcome
         << "\", \"seconds\": " << outcomes[i].seconds << ", \"text\": " << json_text(outcomes[i].text) << "}";
  file << "\n]\n";
  file.close();
  if (!file || std::rename((path + ".part").c_str(), path.c_str()) != 0) std::printf("%s cannot be written\n", path.c_str());
}

/// Opens the first device of a backend's library for the pass; answers why not.
std::string open_library(const std::string& path, const std::string& absent) {
  if (path.empty()) return absent;
  Status status;
  const std::shared_ptr<const bitwright::BackendLibrary> library = bitwright::BackendLibrary::load(path, status);
  if (!library) return status.message;
  const bitwright::DeviceFacts facts = library->devices()[0];
  if (!facts.usable) return facts.reason;
  std::unique_ptr<bitwright::Backend> backend = library->open(0, status);
  if (!backend) return status.message;
  other_device = std::make_unique<bitwright::Device>(std::move(backend));
  other_library = library;
  other_path = path;
  return "";
}

struct Pass {
  const char *backend, *library, *absent;
  /// In which order the streams of an emulation work (emulation/streams.cc).
  const char* order = nullptr;
};
const char* const no_emulation = "it is not built (BITWRIGHT_EMULATION=OFF)";
const Pass passes[] = {{"cpu", "", ""},
                       {"cuda, emulated", BITWRIGHT_EMULATED_LIBRARY, no_emulation},
                       {"cuda, races", BITWRIGHT_RACES_LIBRARY, "it is not built (BITWRIGHT_EMULATED_RACES=OFF, or another compiler than GCC)"},
                       {"cuda, late", BITWRIGHT_LATE_LIBRARY, no_emulation, "late"},
                       {"cuda, copies first", BITWRIGHT_LATE_LIBRARY, no_emulation, "copies-first"},
                       {"cuda", BITWRIGHT_CUDA_LIBRARY, BITWRIGHT_CUDA_ABSENT}};

/// Cases that run on streams that lag when nothing is asked for by name.
const std::vector<std::string> on_lagging_streams = {"streams: ", "large fills", "comes back from host memory"};

bool is_asked_for(const std::string& name, const std::vector<std::string>& parts) {
  return parts.empty() || std::any_of(parts.begin(), parts.end(), [&](const std::string& part) { return name.find(part) != std::string::npos; });
}

Outcome run_case(const std::string& backend, const Named& named) {
  try {
    named.body();
    const std::string found = races();
    expect(found.empty(), found);
    return {backend, named.name, "passed", ""};
  } catch (const Failure& failure) {
    std::printf("FAILED on %s: %s: %s\n", backend.c_str(), named.name.c_str(), failure.text.c_str());
    return {backend, named.name, "failed", failure.text};
  } catch (const Skipped& skipped) {
    std::printf("SKIPPED on %s: %s: %s\n", backend.c_str(), named.name.c_str(), skipped.reason.c_str());
    return {backend, named.name, "skipped", skipped.reason};
  }
}

}  // namespace

int main(int n_arguments, char** arguments) {
  bitwright::make_blas_single_threaded();
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::string json, wanted;
  std::vector<std::string> only;
  for (int i = 1; i + 1 < n_arguments; i += 2) {
    const std::string name = arguments[i];
    if (name == "--json") json = arguments[i + 1];
    else if (name == "--only") only.emplace_back(arguments[i + 1]);
    else if (name == "--backend") wanted = arguments[i + 1];
  }
  std::vector<Outcome> outcomes;
  for (const Pass& pass : passes) {
    const std::string backend = pass.backend;
    if (!wanted.empty() && wanted != backend) continue;
    if (pass.order != nullptr) setenv("BITWRIGHT_EMULATED_STREAMS", pass.order, 1);
    const std::string absent = backend == "cpu" ? "" : open_library(pass.library, pass.absent);
    if (!absent.empty()) std::printf("The backend %s cannot be used: %s\n", backend.c_str(), absent.c_str());
    for (const Named& named : all_cases()) {
      if (!is_asked_for(named.name, only) || (backend != "cpu" && named.where == Where::once)) continue;
      // All of them show little more there than the few that are made for it, and cost as much as on streams that work at the call.
      if (pass.order != nullptr && wanted.empty() && only.empty() && !is_asked_for(named.name, on_lagging_streams)) continue;
      if (absent.empty()) {
        const auto begin = std::chrono::steady_clock::now();
        outcomes.push_back(run_case(backend, named));
        outcomes.back().seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        if (!json.empty()) write_json(json, outcomes);
        continue;
      }
      // A GPU may be missing; an emulation only where nobody wanted it.
      const bool may_be_absent = backend == "cuda" || std::string(pass.library).empty();
      std::printf("%s on %s: %s\n", may_be_absent ? "SKIPPED" : "FAILED", backend.c_str(), named.name.c_str());
      outcomes.push_back({backend, named.name, may_be_absent ? "skipped" : "failed", absent});
    }
    other_device.reset();
  }
  if (!json.empty()) write_json(json, outcomes);
  int n_passed = 0, n_failed = 0, n_skipped = 0;
  for (const Outcome& outcome : outcomes) ++(outcome.outcome == "passed" ? n_passed : outcome.outcome == "failed" ? n_failed : n_skipped);
  std::printf("%d passed, %d failed, %d skipped\n", n_passed, n_failed, n_skipped);
  return n_failed == 0 ? 0 : 1;
}
