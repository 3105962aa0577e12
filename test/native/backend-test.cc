// What stands between the core and a backend that is a library of its own, tested without its device: the table of C functions, the names of its operations,
// its search for cuBLAS; and the arithmetic that CUDA kernels share with the processor, run here from the same source.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/operations.h"
#include "core/split-bf16.h"
#include "cuda/library-search.h"
#include "formats/bit-stream.h"
#include "forward/visible-keys.h"
#include "quantizers/gptq-column.h"
#include "runner.h"

using namespace bitwright_test;

namespace {

// ---- the table -----------------------------------------------------------------------------------------------------------

/// A backend in host memory that knows one operation, copies in pieces of 3 bytes and tells one failure late.
struct Host {
  int64_t n_blocks = 0, limit = 0;
  std::string late;
};

int32_t tell(char* text, const std::string& sentence) {
  std::snprintf(text, BITWRIGHT_TEXT_SIZE, "%s", sentence.c_str());
  return sentence.empty() ? 0 : 1;
}

int32_t run_call(void* device, const bitwright_call* call, char* text) {
  if (std::string(call->operation) == "silu_mul") return tell(text, "silu_mul of this and that: refused");
  if (std::string(call->operation) == "rmsnorm") {
    // Options of every kind arrive under their names.
    std::string got;
    for (int32_t i = 0; i < call->n_options; ++i) got += std::string(call->options[i].name) + "=" + (call->options[i].kind == bitwright_text ? call->options[i].text : std::to_string(call->options[i].number)) + ";";
    static_cast<Host*>(device)->late = "rmsnorm of much: " + got;
    return 0;
  }
  const bitwright_tensor &a = call->inputs[0], &b = call->inputs[1], &y = call->results[0];
  for (int64_t i = 0; i < a.shape[0] * a.shape[1]; ++i) static_cast<float*>(y.data)[i] = static_cast<float*>(a.data)[i] + static_cast<float*>(b.data)[i];
  return 0;
}

int32_t copy_bytes(void*, void* to, const void* from, int64_t bytes, char*) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
  return 0;
}

const bitwright_backend_table& host_table() {
  static const bitwright_backend_table table = {BITWRIGHT_BACKEND_ABI,
                                                "host",
                                                [] { return int32_t{1}; },
                                                [](int32_t, bitwright_device_info*) {},
                                                [](int32_t, char*) -> void* { return nullptr; },
                                                [](void*) {},
                                                [](void* device, int64_t bytes) -> void* {
                                                  if (bytes > 1 << 20) return nullptr;
                                                  ++static_cast<Host*>(device)->n_blocks;
                                                  return std::malloc(static_cast<size_t>(bytes));
                                                },
                                                [](void* device, void* block, int64_t) {
                                                  if (block != nullptr) --static_cast<Host*>(device)->n_blocks;
                                                  std::free(block);
                                                },
                                                [](void*, void* to, int64_t bytes, char*) {
                                                  std::memset(to, 0, static_cast<size_t>(bytes));
                                                  return int32_t{0};
                                                },
                                                [](void*, void* to, int64_t bytes, int32_t (*read)(void*, void*, int64_t, int64_t), void* state, char*) {
                                                  for (int64_t offset = 0; offset < bytes; offset += 3)
                                                    if (read(state, static_cast<char*>(to) + offset, offset, std::min<int64_t>(3, bytes - offset)) != 0) break;
                                                  return int32_t{0};
                                                },
                                                [](void*, void* to, const void* from, int64_t bytes, char*) {
                                                  std::memcpy(to, from, static_cast<size_t>(bytes));
                                                  return int32_t{0};
                                                },
                                                [](const char*) { return int32_t{1}; },
                                                run_call,
                                                [](void* device, char* text) { return tell(text, std::exchange(static_cast<Host*>(device)->late, {})); },
                                                nullptr,
                                                [](void* device, int64_t bytes) { static_cast<Host*>(device)->limit = bytes; },
                                                [](void* device, int64_t* total, int64_t* free) {
                                                  *total = 1 << 30;
                                                  *free = static_cast<Host*>(device)->limit;
                                                },
                                                [](void* device, int64_t bytes) -> void* {
                                                  if (bytes > 64) return nullptr;
                                                  ++static_cast<Host*>(device)->n_blocks;
                                                  return std::malloc(static_cast<size_t>(bytes));
                                                },
                                                [](void* device, void* block, int64_t) {
                                                  --static_cast<Host*>(device)->n_blocks;
                                                  std::free(block);
                                                },
                                                copy_bytes,
                                                copy_bytes,
                                                [](void*, int32_t) { return int64_t{0}; }};
  return table;
}

Status read_all(bitwright::Device& device, const bitwright::Tensor& tensor, std::vector<uint8_t>& bytes) {
  std::promise<Status> promise;
  device.read(tensor, [&](Status status, std::vector<uint8_t> data) {
    bytes = std::move(data);
    promise.set_value(std::move(status));
  });
  return promise.get_future().get();
}

const Case table_cases("a library's table: tensors, options and failures cross it, those told late by the next read, once", [] {
  Host host;
  {
    bitwright::Device device(std::make_unique<bitwright::LibraryBackend>(host_table(), &host));
    const Array a = normal(DType::F32, {5, 7}, 1), b = normal(DType::F32, {5, 7}, 2);
    const bitwright::Tensor A = device.from_bytes(a.spec, a.bytes.data()), B = device.from_bytes(b.spec, b.bytes.data());
    std::vector<bitwright::Tensor> sum, none_left, normed, more;
    std::vector<uint8_t> bytes;
    expect(device.enqueue("add", {A, B}, {}, sum).ok() && read_all(device, sum[0], bytes).ok(), "add");
    for (int64_t i = 0; i < 35; ++i) expect(reinterpret_cast<const float*>(bytes.data())[i] == static_cast<float>(a.at(i)) + static_cast<float>(b.at(i)), "sum " + std::to_string(i));
    expect(!device.enqueue("add", {A}, {}, none_left).ok(), "shapes are refused by the core, before the library is asked");

    const bitwright::Tensor weight = device.zeros({DType::F32, {7}});
    expect(device.enqueue("rmsnorm", {A, weight}, options({{"eps", 0.5}, {"name", std::string("value")}, {"flag", true}}), normed).ok(), "rmsnorm");
    expect(device.enqueue("silu_mul", {A, B}, {}, more).ok(), "silu_mul");
    const std::string told = read_all(device, sum[0], bytes).message;
    expect(told == "rmsnorm of much: eps=0.500000;flag=1.000000;name=value;", "the earlier failure comes first, it was: " + told);
    expect(read_all(device, sum[0], bytes).ok(), "a failure is told once");
    expect(device.enqueue("silu_mul", {A, B}, {}, more).ok() && read_all(device, more[1], bytes).message == "silu_mul of this and that: refused", "a failure of the call");
    const bitwright::Tensor large = device.zeros({DType::F32, {1 << 20}});
    const std::string memory = read_all(device, large, bytes).message;
    expect(memory == "out of memory: 4194304 bytes for F32[1048576], 0 free beside 868 in tensors of 1073741824 that the device has", memory);
    const bitwright::Tensor missing = device.from_file({DType::U8, {4}}, "no-such-file", 0);
    expect(read_all(device, missing, bytes).message.find("read no-such-file: ") == 0, "a file that is not there");
  }
  expect(host.n_blocks == 0, std::to_string(host.n_blocks) + " blocks were not given back");
}, Where::once);

const Case place_cases("a library's table: a tensor goes to host memory and back in the queue's order, what does not fit there is told, and no operation takes it from there", [] {
  Host host;
  {
    bitwright::Device device(std::make_unique<bitwright::LibraryBackend>(host_table(), &host));
    device.limit(12345);
    expect(host.limit == 12345 && device.limit_bytes() == 12345 && device.room().free == 12345 && device.room().total == 1 << 30, "the limit and the room cross the table");
    const Array a = normal(DType::F32, {4, 3}, 3);
    const bitwright::Tensor A = device.from_bytes(a.spec, a.bytes.data());
    bitwright::Tensor parked, again, refused;
    expect(device.to_host(A, parked).ok(), "to the host");
    device.release(A);
    expect(!device.to_host(parked, refused).ok() && !device.to_device(A, refused).ok(), "a copy to where it is");
    std::vector<uint8_t> bytes;
    expect(read_all(device, parked, bytes).ok() && bytes == a.bytes, "read from host memory");
    expect(device.current_bytes() == 0 && device.host_bytes() == 48 && device.host_peak_bytes() == 48, "48 bytes on the host, none on the device");
    std::vector<bitwright::Tensor> part, sum;
    expect(device.enqueue("narrow", {parked}, options({{"start", 1.0}, {"length", 2.0}}), part).ok(), "a part of it");
    const Status operation = device.enqueue("add", {parked, parked}, {}, sum);
    expect(operation.message.find("add: an input lies in host memory") == 0, operation.message);
    device.release(parked);
    expect(device.to_device(part[0], again).ok() && read_all(device, again, bytes).ok(), "back");
    expect(bytes == std::vector<uint8_t>(a.bytes.begin() + 12, a.bytes.begin() + 36), "the part that was asked for");
    const bitwright::Tensor large = device.zeros({DType::F32, {5, 5}});
    bitwright::Tensor too_large;
    expect(device.to_host(large, too_large).ok(), "the call");
    const std::string told = read_all(device, too_large, bytes).message;
    expect(told.find("out of host memory: 100 bytes for F32[5, 5] beside 48 in tensors") == 0, told);
  }
  expect(host.n_blocks == 0, std::to_string(host.n_blocks) + " blocks were not given back");
}, Where::once);

std::string lacking(const bitwright::BackendLibrary& library) {
  std::string missing;
  for (const bitwright::OperationList& list : {bitwright::storage_operations(), bitwright::forward_operations(), bitwright::observer_operations(), bitwright::quantizer_operations(),
                                               bitwright::pruning_operations(), bitwright::transform_operations(), bitwright::format_operations(), bitwright::metric_operations()})
    for (const bitwright::Operation& operation : list)
      if (operation.run != nullptr && !library.has(operation.name)) missing += std::string(" ") + operation.name;
  return missing;
}

const Case emulated_name_cases("the CUDA backend has every operation of the core that is not an alias, seen on its emulation", [] {
  if (std::string(BITWRIGHT_EMULATED_LIBRARY).empty()) throw Skipped{"the emulation is not built"};
  Status status;
  const auto library = bitwright::BackendLibrary::load(BITWRIGHT_EMULATED_LIBRARY, status);
  expect(library != nullptr, status.message);
  expect(lacking(*library).empty(), "the CUDA backend lacks" + lacking(*library));
}, Where::once);

const Case name_cases("the CUDA library has every operation of the core that is not an alias, and says in a sentence why its device cannot be used", [] {
  const bitwright::BackendLibrary& library = cuda_library();
  expect(lacking(library).empty(), "the CUDA library lacks" + lacking(library));
  expect(!library.has("no_such_operation"), "an operation that is none");
  for (const bitwright::DeviceFacts& device : library.devices()) expect(device.usable == device.reason.empty(), device.name + ": " + device.reason);
  Status status;
  expect(library.open(99, status) == nullptr && !status.ok(), "a device that is not there was opened");
}, Where::once);

const Case load_cases("a file that is no backend is refused with its path", [] {
  Status status;
  expect(bitwright::BackendLibrary::load("libm.so.6", status) == nullptr && status.message.find("libm.so.6 is no backend of this program") == 0, status.message);
  expect(bitwright::BackendLibrary::load("no-such-backend.so", status) == nullptr && status.message.find("no-such-backend.so") != std::string::npos, status.message);
}, Where::once);

// ---- the search for cuBLAS ---------------------------------------------------------------------------------------------

const Case search_cases("cuBLAS is looked for in the setting, the system, toolkits and Python environments, in this order, and only where folders are", [] {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("bitwright-search-" + std::to_string(std::random_device()()));
  for (const char* folder : {"usr/local/cuda-12.4/lib64", "usr/local/cuda-13.0/lib64", "usr/lib/python3/dist-packages/nvidia/cu13/lib", "home/lib64", "venv/lib/python3.12/site-packages/nvidia/cublas/lib", "other/bin/python3",
                             "other/lib/python3.11/site-packages/nvidia/cu13/lib", "without/lib/python3.11/site-packages/nvidia/cu13/lib"})
    fs::create_directories(root / folder);
  const auto environment = [&](const char* name) -> std::string {
    if (std::string(name) == "BITWRIGHT_CUDA_LIBRARIES") return "first:second";
    if (std::string(name) == "PATH") return (root / "without/bin").string() + ":" + (root / "other/bin").string();
    if (std::string(name) == "CUDA_HOME") return (root / "home").string();
    return std::string(name) == "VIRTUAL_ENV" ? (root / "venv").string() : "";
  };
  std::vector<std::string> expected = {"first", "second", ""};
  for (const char* folder : {"home/lib64", "usr/local/cuda-13.0/lib64", "usr/local/cuda-12.4/lib64", "venv/lib", "venv/lib/python3.12/site-packages/nvidia/cublas/lib", "other/lib",
                             "other/lib/python3.11/site-packages/nvidia/cu13/lib", "usr/lib/python3/dist-packages/nvidia/cu13/lib"})
    expected.push_back((root / folder).string());
  const std::vector<std::string> found = bitwright::cuda::library_folders(environment, root.string());
  fs::remove_all(root);
  std::string text;
  for (const std::string& folder : found) text += folder + "\n";
  expect(found == expected, "found\n" + text);
}, Where::once);

// ---- arithmetic that kernels share --------------------------------------------------------------------------------------

const Case split_cases("a float is three BF16 parts to the bit, or two up to 2^-17; what is not finite stays in the first", [] {
  std::mt19937 generator(5);
  for (int i = 0; i < 200000; ++i) {
    const float x = bitwright::float_of(static_cast<uint32_t>(generator()));
    const bitwright::ExactParts exact = bitwright::split_exact(x);
    const bitwright::RoundedParts rounded = bitwright::split_rounded(x);
    if (!std::isfinite(x)) {
      expect(exact.middle == 0 && exact.low == 0 && rounded.middle == 0 && !std::isfinite(bitwright::bf16_to_float(exact.high)) && !std::isfinite(bitwright::bf16_to_float(rounded.high)), "a value that is not finite");
      continue;
    }
    const double sum = static_cast<double>(bitwright::bf16_to_float(exact.high)) + bitwright::bf16_to_float(exact.middle) + bitwright::bf16_to_float(exact.low);
    const double lost = std::fabs(sum - x);
    expect(lost == 0 || (std::fabs(x) < 1e-30 && lost <= std::ldexp(1.0, -133)), "exact parts of " + std::to_string(x));
    if (std::fabs(x) > 3.3e38) continue;  // rounds to infinity
    const double two = static_cast<double>(bitwright::bf16_to_float(rounded.high)) + bitwright::bf16_to_float(rounded.middle);
    expect(std::fabs(two - x) <= std::ldexp(std::fabs(static_cast<double>(x)), -17) + std::ldexp(1.0, -133), "rounded parts of " + std::to_string(x));
  }
}, Where::once);

const Case hessian_bound_cases("the products of rounded parts that a CUDA device sums stay within the stated bound of xᵀx", [] {
  const int64_t T = 300, n = 40;
  const Array x = normal(DType::F32, {T, n}, 61);
  double worst = 0, diagonal = 0;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double exact = 0, split = 0, size = 0;
      for (int64_t t = 0; t < T; ++t) {
        const bitwright::RoundedParts a = bitwright::split_rounded(static_cast<float>(x.at(t, i))), b = bitwright::split_rounded(static_cast<float>(x.at(t, j)));
        const double ah = bitwright::bf16_to_float(a.high), am = bitwright::bf16_to_float(a.middle), bh = bitwright::bf16_to_float(b.high), bm = bitwright::bf16_to_float(b.middle);
        exact += x.at(t, i) * x.at(t, j);
        split += ah * bh + ah * bm + am * bh;
        size += std::fabs(x.at(t, i) * x.at(t, j));
      }
      worst = std::fmax(worst, std::fabs(split - exact) / size);
      if (i == j) diagonal += (exact - split) / exact / static_cast<double>(n);
    }
  expect(worst > 0 && worst <= 1e-5, "the largest error is " + std::to_string(worst * 1e6) + "e-6 of the sum of sizes");
  expect(diagonal > 1e-6 && diagonal < 4e-6, "the diagonal is " + std::to_string(diagonal * 1e6) + "e-6 too small");
}, Where::once);

const Case visible_cases("visible keys: documents lie behind each other, empty ones hold no token, a window ends at the document", [] {
  const int32_t offsets[] = {0, 1, 66, 66, 200};
  for (int64_t window : {0, 1, 16, 500})
    for (int64_t document = 0; document < 4; ++document)
      for (int64_t token = offsets[document]; token < offsets[document + 1]; ++token) {
        const int64_t begin = bitwright::document_begin(offsets, 4, token);
        expect(begin == offsets[document], "token " + std::to_string(token) + " begins at " + std::to_string(begin));
        const int64_t first = bitwright::first_visible_key(token, begin, window), expected = window > 0 ? std::max<int64_t>(begin, token - window + 1) : begin;
        expect(first == expected, "first key of token " + std::to_string(token));
        const int64_t end = bitwright::document_end(offsets, 4, token, 200), last = bitwright::last_seeing_query(token, end, window);
        expect(end == offsets[document + 1], "token " + std::to_string(token) + " ends at " + std::to_string(end));
        const auto sees = [&](int64_t query) { return query < end && bitwright::first_visible_key(query, begin, window) <= token; };
        expect(sees(last) && !sees(last + 1), "last query that sees key " + std::to_string(token));
      }
  // Offsets that are wrong lead nowhere outside.
  const int32_t wrong[] = {-5, 100, 3, 1000};
  for (int64_t token = 0; token < 50; ++token) {
    const int64_t begin = bitwright::document_begin(wrong, 3, token);
    expect(begin >= 0 && begin <= token, "begin " + std::to_string(begin));
    const int64_t end = bitwright::document_end(wrong, 3, token, 50);
    expect(end > token && end <= 50, "end " + std::to_string(end));
  }
}, Where::once);

const Case stream_cases("packed words and codes, one at a time, are those of the bit stream", [] {
  for (int num_bits = 1; num_bits <= 8; ++num_bits)
    for (int64_t n : {1, 31, 32, 33, 100}) {
      std::vector<int8_t> codes;
      for (int64_t i = 0; i < n; ++i) codes.push_back(static_cast<int8_t>(i * 5 % (1 << num_bits) - (1 << (num_bits - 1))));
      std::vector<uint8_t> bits(static_cast<size_t>(bitwright::words_for(n, num_bits) * 32));
      for (int64_t i = 0; i < n; ++i)
        for (int b = 0; b < num_bits; ++b) bits[static_cast<size_t>(i * num_bits + b)] = static_cast<uint8_t>((codes[static_cast<size_t>(i)] + (1 << (num_bits - 1))) >> b & 1);
      std::vector<uint32_t> words;
      for (int64_t w = 0; w < bitwright::words_for(n, num_bits); ++w) {
        uint32_t expected = 0;
        for (int b = 0; b < 32; ++b) expected |= static_cast<uint32_t>(bits[static_cast<size_t>(w * 32 + b)]) << b;
        words.push_back(bitwright::packed_word(codes.data(), 1, n, num_bits, w));
        expect(words.back() == expected, std::to_string(num_bits) + " bits, word " + std::to_string(w) + " of " + std::to_string(n) + " codes");
      }
      for (int64_t i = 0; i < n; ++i) expect(bitwright::unpacked_code(words.data(), 1, num_bits, i) == codes[static_cast<size_t>(i)], "code " + std::to_string(i));
    }
}, Where::once);

const Case order_cases("column order: solving order by the permutation, the factored matrix reversed", [] {
  const int32_t permutation[] = {2, 0, 3, 1};
  for (int64_t j = 0; j < 4; ++j) {
    expect(bitwright::column_at(nullptr, j) == j && bitwright::column_at(permutation, j) == permutation[j], "solving order");
    expect(bitwright::reversed_column_at(nullptr, 4, j) == 3 - j && bitwright::reversed_column_at(permutation, 4, j) == permutation[3 - j], "reversed order");
  }
  // 0.26 / 0.1 = 2.6 → 3, which is 0.3; with the zero point 1 it is the code 4.
  for (const float zero_point : {0.0f, 1.0f}) {
    const bitwright::RoundedWeight rounded = bitwright::round_weight<bitwright::F32Type>(0.26f, 0.1f, zero_point, -8, 7);
    expect(rounded.code == 3 + zero_point && std::fabs(rounded.value - 0.3f) < 1e-6f, "value " + std::to_string(rounded.value));
  }
}, Where::once);

}  // namespace
