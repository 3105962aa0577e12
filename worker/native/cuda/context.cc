// What an operation on a CUDA device works with: see context.h.
#include "cuda/context.h"

#include <library_types.h>

#include <algorithm>
#include <cstring>

#include "cuda/operations.h"

namespace bitwright::cuda {
namespace {

/// Faults that may wait for a settle; the next one settles by itself.
constexpr size_t n_faults = 4096;
/// cuBLAS gives the same bits in every run when its workspace is not shared between streams; this is the size it recommends for compute capability 9.0.
constexpr size_t workspace_bytes = size_t{32} << 20;
/// Fills from this size on run on a stream of their own.
constexpr int64_t least_beside = int64_t{1} << 20;
constexpr FaultSlot no_fault = ~FaultSlot{0};

int int_of(int64_t value) {
  if (value > INT32_MAX) throw Failure{"a matrix product with an extent of " + std::to_string(value) + " is larger than cuBLAS takes"};
  return static_cast<int>(value);
}

Options options_of(const bitwright_call& call) {
  Options options;
  for (int32_t i = 0; i < call.n_options; ++i) {
    const bitwright_option& option = call.options[i];
    if (option.kind == ::bitwright_text) options.set(option.name, std::string(option.text));
    else if (option.kind == ::bitwright_flag) options.set(option.name, option.number != 0);
    else options.set(option.name, option.number);
  }
  return options;
}

Views views_of(const bitwright_tensor* tensors, int32_t n) {
  Views views;
  for (int32_t i = 0; i < n; ++i) {
    TensorView view;
    view.dtype = static_cast<DType>(tensors[i].dtype);
    view.present = tensors[i].present != 0;
    view.shape.assign(tensors[i].shape, tensors[i].shape + tensors[i].rank);
    view.data = tensors[i].data;
    views.push_back(std::move(view));
  }
  return views;
}

}  // namespace

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  throw Failure{std::string("the CUDA device answered ") + cudaGetErrorName(error) + " to " + call + ": " + cudaGetErrorString(error)};
}

Context::Context(int index) : index_(index) {
  select();
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index), "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index), "cudaDeviceGetAttribute");
  capability_ = 10 * major + minor;
  Status status;
  cublas_ = load_cublas(status);
  if (cublas_ == nullptr) throw Failure{status.message};
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  check(cudaStreamCreateWithFlags(&fills_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  if (const int code = cublas_->create(&handle_); code != cublas_value::success) throw Failure{"cuBLAS cannot be started: cublasCreate answered " + std::to_string(code)};
  workspace_ = memory_.take(workspace_bytes);
  if (workspace_ == nullptr) throw Failure{"out of memory: the device has no " + std::to_string(workspace_bytes) + " bytes for cuBLAS"};
  cublas_->set_stream(handle_, stream_);
  cublas_->set_workspace(handle_, workspace_, workspace_bytes);
  check(cudaMallocHost(reinterpret_cast<void**>(&staging_), static_cast<size_t>(n_pieces * piece_bytes)), "cudaMallocHost");
  for (cudaEvent_t& event : staged_) check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  for (cudaEvent_t& event : steps_) check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  check(cudaMalloc(reinterpret_cast<void**>(&faults_), n_faults * sizeof(FaultSlot)), "cudaMalloc");
  check(cudaMemsetAsync(faults_, 0xff, n_faults * sizeof(FaultSlot), stream_), "cudaMemsetAsync");
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

Context::~Context() {
  cudaSetDevice(index_);
  cudaStreamSynchronize(fills_);
  cudaStreamSynchronize(stream_);
  if (handle_ != nullptr) cublas_->destroy(handle_);
  memory_.give(workspace_, workspace_bytes);
  for (cudaEvent_t event : staged_) cudaEventDestroy(event);
  for (cudaEvent_t event : steps_) cudaEventDestroy(event);
  cudaFreeHost(staging_);
  cudaFree(faults_);
  for (const Filled& filled : filled_) cudaEventDestroy(filled.done);
  for (cudaEvent_t event : events_) cudaEventDestroy(event);
  cudaStreamDestroy(fills_);
  cudaStreamDestroy(stream_);
}

void Context::select() { check(cudaSetDevice(index_), "cudaSetDevice"); }

Room Context::room() const {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return {static_cast<int64_t>(total), memory_.left(static_cast<int64_t>(free))};
}

cudaEvent_t Context::take_event() {
  cudaEvent_t event = nullptr;
  if (events_.empty()) {
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    return event;
  }
  event = events_.back();
  events_.pop_back();
  return event;
}

cudaStream_t Context::stream_to_fill(const void* block) {
  if (memory_.last_use(block) > settled_calls_) {
    const cudaEvent_t used = take_event();
    check(cudaEventRecord(used, stream_), "cudaEventRecord");
    check(cudaStreamWaitEvent(fills_, used, 0), "cudaStreamWaitEvent");
    events_.push_back(used);
  }
  return fills_;
}

void Context::await_fill(const void* data) {
  for (size_t i = 0; i < filled_.size(); ++i) {
    if (data < filled_[i].begin || data >= filled_[i].end) continue;
    check(cudaStreamWaitEvent(stream_, filled_[i].done, 0), "cudaStreamWaitEvent");
    events_.push_back(filled_[i].done);
    filled_.erase(filled_.begin() + static_cast<std::ptrdiff_t>(i));
    return;
  }
}

void Context::copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
  await_fill(kind == cudaMemcpyHostToDevice ? to : from);
  if (bytes > 0) check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream_), "cudaMemcpyAsync");
  count_call();
}

void Context::clear(void* to, int64_t bytes) {
  await_fill(to);
  memory_.count_call();
  if (bytes > 0) check(cudaMemsetAsync(to, 0, static_cast<size_t>(bytes), stream_), "cudaMemsetAsync");
}

void Context::read(void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

void Context::fill(void* to, int64_t bytes, const std::function<bool(void*, int64_t, int64_t)>& read_piece) {
  // What is small is used at once; what is large is weights, which may be read while the device works on what was enqueued before.
  const bool is_beside = bytes >= least_beside;
  if (!is_beside) await_fill(to);
  const cudaStream_t stream = is_beside ? stream_to_fill(to) : stream_;
  for (int64_t offset = 0; offset < bytes; offset += piece_bytes) {
    const int64_t count = std::min(piece_bytes, bytes - offset), piece = next_piece_++ % n_pieces;
    char* host = staging_ + piece * piece_bytes;
    check(cudaEventSynchronize(staged_[piece]), "cudaEventSynchronize");
    // What was copied before may still be under way, and is waited for like a whole fill.
    if (!read_piece(host, offset, count)) break;
    check(cudaMemcpyAsync(static_cast<char*>(to) + offset, host, static_cast<size_t>(count), cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
    check(cudaEventRecord(staged_[piece], stream), "cudaEventRecord");
  }
  memory_.count_call();
  if (!is_beside) return;
  const cudaEvent_t done = take_event();
  check(cudaEventRecord(done, stream), "cudaEventRecord");
  const char *const begin = static_cast<const char*>(to), *const end = begin + bytes;
  // Earlier fills of this memory that nobody waited for have gone first by themselves: they are on the same stream. Their blocks may have been others.
  std::erase_if(filled_, [&](const Filled& filled) {
    if (filled.end <= begin || end <= filled.begin) return false;
    events_.push_back(filled.done);
    return true;
  });
  filled_.push_back({begin, end, done});
}

void Context::fetch(void* to, const void* from, int64_t bytes) {
  await_fill(from);
  // One piece travels while the one before is copied out.
  const int64_t n = (bytes + piece_bytes - 1) / piece_bytes, first = next_piece_;
  next_piece_ += n;
  const auto extent = [&](int64_t i) { return static_cast<size_t>(std::min(piece_bytes, bytes - i * piece_bytes)); };
  for (int64_t i = 0; i <= n; ++i) {
    if (i < n) {
      const int64_t piece = (first + i) % n_pieces;
      check(cudaEventSynchronize(staged_[piece]), "cudaEventSynchronize");
      check(cudaMemcpyAsync(staging_ + piece * piece_bytes, static_cast<const char*>(from) + i * piece_bytes, extent(i), cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync");
      check(cudaEventRecord(staged_[piece], stream_), "cudaEventRecord");
    }
    if (i == 0) continue;
    const int64_t piece = (first + i - 1) % n_pieces;
    check(cudaEventSynchronize(staged_[piece]), "cudaEventSynchronize");
    std::memcpy(static_cast<char*>(to) + (i - 1) * piece_bytes, staging_ + piece * piece_bytes, extent(i - 1));
  }
}

FaultSlot* Context::fault(FaultText text) {
  if (pending_.size() == n_faults) {
    std::string found = take_fault();
    if (told_.empty()) told_ = std::move(found);
  }
  pending_.push_back({current_, std::move(text)});
  return faults_ + pending_.size() - 1;
}

std::string Context::take_fault() {
  std::vector<FaultSlot> slots(pending_.size());
  const size_t bytes = slots.size() * sizeof(FaultSlot);
  std::string first;
  if (bytes > 0) {
    read(slots.data(), faults_, static_cast<int64_t>(bytes));
    check(cudaMemsetAsync(faults_, 0xff, bytes, stream_), "cudaMemsetAsync");
    for (size_t i = 0; i < slots.size() && first.empty(); ++i)
      if (slots[i] != no_fault) first = pending_[i].call + ": " + pending_[i].text(static_cast<uint32_t>(slots[i] >> 32), static_cast<uint32_t>(slots[i]));
  }
  pending_.clear();
  return first;
}

std::string Context::settle() {
  const uint64_t n_calls = memory_.n_calls();
  const cudaError_t error = cudaStreamSynchronize(stream_);
  if (error != cudaSuccess) {
    // After this the device answers every call alike; what ran since the last settle is all that is known of the cause.
    std::string names;
    for (const std::string& name : since_settled_) names += (names.empty() ? "" : ", ") + name;
    throw Failure{std::string("the CUDA device stopped with ") + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) + ") in one of: " + names};
  }
  since_settled_.clear();
  settled_calls_ = n_calls;
  if (told_.empty()) return take_fault();
  std::string told = std::exchange(told_, {});
  take_fault();
  return told;
}

void Context::gemm(DType type, bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, double alpha, const void* A, int64_t lda, const void* B, int64_t ldb, double beta, void* C,
                   int64_t ldc) {
  if (M == 0 || N == 0) return;
  const bool is_double = type == DType::F64;
  const cudaDataType a_type = is_double ? CUDA_R_64F : type == DType::BF16 ? CUDA_R_16BF : CUDA_R_32F, c_type = is_double ? CUDA_R_64F : CUDA_R_32F;
  if (K == 0) {
    if (beta != 0) throw Failure{"a matrix product over no columns that keeps its result was asked for"};
    check(cudaMemset2DAsync(C, static_cast<size_t>(ldc) * (is_double ? 8 : 4), 0, static_cast<size_t>(N) * (is_double ? 8 : 4), static_cast<size_t>(M), stream_), "cudaMemset2DAsync");
    return;
  }
  const float alpha_float = static_cast<float>(alpha), beta_float = static_cast<float>(beta);
  const void *alpha_at = is_double ? static_cast<const void*>(&alpha) : &alpha_float, *beta_at = is_double ? static_cast<const void*>(&beta) : &beta_float;
  const int compute = is_double ? cublas_value::compute_f64 : type == DType::BF16 ? cublas_value::compute_f32 : cublas_value::compute_f32_pedantic;
  const auto form = [](bool transposed) { return transposed ? cublas_value::transposed : cublas_value::not_transposed; };
  // cuBLAS counts columns first: a row-major matrix is its transpose, and Cᵀ = op(B)ᵀ · op(A)ᵀ.
  const int code = cublas_->gemm_ex(handle_, form(transpose_b), form(transpose_a), int_of(N), int_of(M), int_of(K), alpha_at, B, a_type, int_of(ldb), A, a_type, int_of(lda), beta_at, C, c_type,
                                    int_of(ldc), compute, cublas_value::default_algorithm);
  if (code != cublas_value::success)
    throw Failure{"cuBLAS answered " + std::to_string(code) + " to a product of " + std::to_string(M) + " × " + std::to_string(K) + " and " + std::to_string(K) + " × " + std::to_string(N)};
}

void Context::run(const bitwright_call& call) {
  const Kernel kernel = find_kernel(call.operation);
  if (kernel == nullptr) throw Failure{std::string(call.operation) + ": this CUDA library has no kernels for it; it is older than the core that called it: install one release of both, or build both again with npm run build"};
  const Options options = options_of(call);
  const Views inputs = views_of(call.inputs, call.n_inputs), results = views_of(call.results, call.n_results);
  current_ = call_text(call.operation, inputs);
  if (std::find(since_settled_.begin(), since_settled_.end(), call.operation) == since_settled_.end()) since_settled_.emplace_back(call.operation);
  for (const Views* views : {&inputs, &results})
    for (const TensorView& view : *views)
      if (view.present) await_fill(view.data);
  count_call();
  call_ = &call;
  try {
    kernel(*this, inputs, results, options);
    check(cudaGetLastError(), "the start of its kernels");
  } catch (const Failure& failure) {
    if (failure.is_complete) throw;
    throw Failure{current_ + ": " + failure.text};
  }
}

void Context::step() {
  hold_back();
  if (call_->cancelled(call_->state) != 0) throw Cancelled{};
}

void Context::hold_back() {
  const cudaEvent_t event = steps_[n_steps_++ % most_behind];
  // What went wrong on the device is told by the settle.
  if (cudaEventSynchronize(event) != cudaSuccess) settle_here();
  check(cudaEventRecord(event, stream_), "cudaEventRecord");
}

void Context::count_call() {
  memory_.count_call();
  if (++n_short_calls_ % calls_a_step == 0) hold_back();
}

double Context::measure(const std::string& what, int64_t m, int64_t n, int64_t k) {
  const bool is_copy = what == "copy";
  const DType type = what == "gemm-bf16" ? DType::BF16 : DType::F32;
  if (!is_copy && what != "gemm-bf16" && what != "gemm-f32") throw Failure{"there is no floor named " + what};
  if (type == DType::BF16 && !has_bf16()) throw Failure{"products of BF16 need compute capability 8.0 or newer"};
  const int64_t size = is_copy ? 1 : size_of(type);
  const Scratch<char> a = scratch<char>(is_copy ? m : m * k * size), b = scratch<char>(is_copy ? m : n * k * size), c = scratch<char>(is_copy ? 1 : m * n * 4);
  // Zeros would draw less power and run faster than a model's values.
  if (!is_copy) {
    fill_with_noise(*this, type, a.data(), m * k);
    fill_with_noise(*this, type, b.data(), n * k);
  }
  const auto work = [&] {
    if (is_copy) check(cudaMemcpyAsync(b.data(), a.data(), static_cast<size_t>(m), cudaMemcpyDeviceToDevice, stream_), "cudaMemcpyAsync");
    else gemm(type, false, true, m, n, k, 1, a.data(), k, b.data(), k, 0, c.data(), n);
  };
  constexpr int n_rounds = 10;
  for (int i = 0; i < 3; ++i) work();
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  check(cudaEventRecord(begin, stream_), "cudaEventRecord");
  for (int i = 0; i < n_rounds; ++i) work();
  check(cudaEventRecord(end, stream_), "cudaEventRecord");
  check(cudaEventSynchronize(end), "cudaEventSynchronize");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  const double amount = is_copy ? 2.0 * static_cast<double>(m) : 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  return amount * n_rounds / (milliseconds * 1e-3);
}

}  // namespace bitwright::cuda
