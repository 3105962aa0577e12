// Cancelling an operation midway: those that take seconds on a large layer look between their steps whether anybody wants the result, end with the one sentence that says
// so, leave nothing behind, and the device works on.
#include <dlfcn.h>

#include "core/cpu-backend.h"
#include "core/operations.h"
#include "runner.h"
#include "solver-inputs.h"

using namespace bitwright_test;

namespace {

struct Call {
  std::string operation;
  std::vector<Array> inputs;
  Options options;
  /// Looks of a CUDA device at least: a step for each block of columns, for each iteration, ...
  int64_t least;
};

/// Three blocks of 128 columns.
constexpr int64_t O = 40, I = 300;

std::vector<Call> long_calls() {
  const Array x = tokens_of(I, 400, 3), H = gram(x, x), C = gram(normal(DType::F32, {400, I}, 4), x), weight = normal(DType::F32, {O, I}, 5, 0.1), rounded = normal(DType::F32, {O, I}, 6, 0.1);
  const Options damping = options({{"dampening_frac", 0.01}}), channel = grid_options(4, false), group = grid_options(4, false, "group", 100);
  const Array R = run("gptq_factor", {H, none()}, damping, 1)[0], U = run("inverse_factor", {R}, {}, 1)[0];
  const auto with = [](Options all, const char* name, Options::Value value) {
    all.set(name, std::move(value));
    return all;
  };
  Options search = with(with(channel, "observer", std::string("mse")), "grid", 20.0);
  search.set("maxshrink", 0.5);
  search.set("patience", 5.0);
  search.set("norm", 2.4);
  const std::vector<Array> scales = run("weight_scales", {weight, none()}, channel, 1), of_groups = run("weight_scales", {weight, none()}, group, 1);
  const Options pruning = options({{"sparsity", 0.5}, {"mask_n", 0.0}, {"mask_m", 0.0}, {"block_size", 128.0}});
  const Options books = options({{"vector_len", 2.0}, {"num_centroids", 64.0}, {"num_res_centroids", 4.0}, {"group_num", 1.0}, {"outlier_size", 0.0}, {"outlier_num_centroids", 16.0}, {"enable_norm", true},
                                 {"stores_order", false}, {"kiter", 4.0}, {"ktol", 0.0}, {"kseed", 7.0}, {"block_size", 128.0}});
  return {{"gptq_factor", {H, none()}, damping, 4},
          {"inverse_factor", {R}, {}, 4},
          {"weight_scales", {weight, none()}, search, 3},
          {"corrected_weight", {weight, H, C, U}, {}, 2},
          {"quantize_gptq", {weight, R, scales[0], scales[1], none(), none(), none()}, channel, 3},
          {"quantize_gpfq", {weight, H, C, scales[0], scales[1], none()}, channel, 3},
          {"quantize_comq", {weight, H, scales[0], scales[1], none()}, with(channel, "n_iters", 2.0), 6},
          {"quantize_beacon", {weight, H, none(), scales[0], scales[1], none(), none()}, with(with(channel, "n_sweeps", 2.0), "centering", false), 9},
          {"quantize_beacon", {weight, H, R, of_groups[0], of_groups[1], none(), none()}, with(with(group, "n_sweeps", 2.0), "centering", true), 9},
          // The start of each codebook, its iterations, two walks.
          {"quantize_vptq", {weight, U, none(), none()}, books, 40},
          {"prune_sparsegpt", {weight, U, none(), none(), none(), none(), none(), none()}, pruning, 3},
          {"low_rank_residual", {weight, rounded, H}, options({{"rank", 4.0}, {"n_iterations", 3.0}}), 6},
          // 65536 blocks of 32 at a time.
          {"gguf_encode", {normal(DType::F32, {65537, 32}, 8), none()}, options({{"gguf_type", std::string("Q8_0")}}), 2}};
}

/// On the processor threads look when they like: all begin with the flag up.
void expect_end_on_processor(const Call& call) {
  const auto views_of = [](const std::vector<Array>& arrays) {
    bitwright::Views views;
    for (const Array& array : arrays) {
      bitwright::TensorView view;
      static_cast<TensorSpec&>(view) = array.spec;
      view.present = array.spec.present;
      view.data = const_cast<uint8_t*>(array.bytes.data());
      views.push_back(std::move(view));
    }
    return views;
  };
  bitwright::CpuBackend backend(2);
  const bitwright::Operation* operation = bitwright::find_operation(call.operation);
  bitwright::Specs inputs, specs;
  for (const Array& input : call.inputs) inputs.push_back(input.spec.present ? input.spec : TensorSpec{DType::U8, {-1}, false});
  const Status asked = operation->infer(inputs, call.options, specs);
  expect(asked.ok(), asked.message);
  std::vector<Array> results;
  for (const TensorSpec& spec : specs) results.push_back({spec, std::vector<uint8_t>(static_cast<size_t>(spec.bytes()))});
  const std::atomic<bool> cancel{true};
  const Status status = backend.run(*operation, views_of(call.inputs), views_of(results), call.options, cancel);
  expect(status.message == Status::cancelled().message, call.operation + " answered: " + (status.ok() ? "done" : status.message));
}

/// The emulation counts launches that nobody has waited for.
const Case ahead_cases("short operations are enqueued at most 320 calls before the device has done them, so that a cancel need not wait for more", [] {
  const std::string path = BITWRIGHT_EMULATED_LIBRARY;
  if (path.empty()) throw Skipped{"there is no emulation in this build"};
  Status status;
  const auto library = bitwright::BackendLibrary::load(path, status);
  expect(library != nullptr, status.message);
  void* const loaded = dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  const auto most_ahead = reinterpret_cast<int64_t (*)()>(dlsym(loaded, "bitwright_emulated_most_ahead"));
  bitwright::Device device(library->open(0, status));
  const Array a = normal(DType::F32, {4, 4}, 1);
  const bitwright::Tensor A = device.from_bytes(a.spec, a.bytes.data());
  const auto idle = [&] {
    std::promise<void> done;
    device.sync([&](Status) { done.set_value(); });
    done.get_future().get();
  };
  idle();
  most_ahead();
  for (int i = 0; i < 2000; ++i) {
    std::vector<bitwright::Tensor> sum;
    expect(device.enqueue("add", {A, A}, {}, sum).ok(), "add");
    device.release(sum[0]);
  }
  idle();
  const int64_t most = most_ahead();
  expect(most > 64 && most <= 320, "the host was " + std::to_string(most) + " launches ahead");
  dlclose(loaded);
}, Where::once);

/// How often the running operation has looked, and at which look somebody cancels; 0: never.
struct Looks {
  int64_t n = 0, cancel_at = 0;
  const bitwright_backend_table* table = nullptr;
  const bitwright_call* call = nullptr;
  bitwright::Device* device = nullptr;
} looks;

int32_t look(const void*) {
  if (++looks.n == looks.cancel_at) looks.device->cancel();
  return looks.call->cancelled(looks.call->state);
}

int32_t run_watched(void* device, const bitwright_call* call, char* text) {
  bitwright_call watched = *call;
  watched.cancelled = look;
  looks.call = call;
  looks.n = 0;
  return looks.table->run(device, &watched, text);
}

/// What the call answers, or the sentence of its failure; nothing of it stays on the device.
struct Answer {
  std::string told;
  std::vector<std::vector<uint8_t>> bytes;
};

Answer answer_of(bitwright::Device& device, const Call& call, int64_t cancel_at) {
  looks.cancel_at = cancel_at;
  std::vector<bitwright::Tensor> tensors, results;
  for (const Array& input : call.inputs) tensors.push_back(input.spec.present ? device.from_bytes(input.spec, input.bytes.data()) : nullptr);
  const Status asked = device.enqueue(call.operation, tensors, call.options, results);
  expect(asked.ok(), asked.message);
  Answer answer;
  for (const bitwright::Tensor& result : results) {
    std::promise<void> done;
    device.read(result, [&](Status status, std::vector<uint8_t> bytes) {
      if (!status.ok()) answer.told = status.message;
      answer.bytes.push_back(std::move(bytes));
      done.set_value();
    });
    done.get_future().get();
  }
  device.resume();
  for (const std::vector<bitwright::Tensor>& some : {tensors, results})
    for (const bitwright::Tensor& tensor : some)
      if (tensor) device.release(tensor);
  std::promise<Status> idle;
  device.sync([&](Status status) { idle.set_value(std::move(status)); });
  const Status status = idle.get_future().get();
  expect(status.ok(), status.message);
  return answer;
}

void expect_end_on_library(bitwright::Device& device, const Call& call) {
  const Answer whole = answer_of(device, call, 0);
  const int64_t n = looks.n, room = device.room().free;
  expect(whole.told.empty(), call.operation + ": " + whole.told);
  expect(n >= call.least, call.operation + " looks " + std::to_string(n) + " times");
  for (const int64_t at : {int64_t{1}, (n + 1) / 2, n}) {
    const std::string name = call.operation + " cancelled at look " + std::to_string(at) + " of " + std::to_string(n);
    const Answer ended = answer_of(device, call, at);
    expect(ended.told == Status::cancelled().message, name + " answered: " + (ended.told.empty() ? "done" : ended.told));
    expect(looks.n == at, name + " looked on, " + std::to_string(looks.n) + " times");
    expect(device.current_bytes() == 0 && device.room().free == room, name + " left " + std::to_string(room - device.room().free) + " bytes");
  }
  expect(answer_of(device, call, 0).bytes == whole.bytes, call.operation + ": other bytes after it was cancelled");
}

const Case cancel_cases("long operations end midway when they are cancelled, leave nothing on the device, and work as before afterwards", [] {
  const std::vector<Call> calls = long_calls();
  const bitwright::BackendLibrary* library = running_library();
  if (library == nullptr) {
    for (const Call& call : calls) expect_end_on_processor(call);
    return;
  }
  static bitwright_backend_table watched;
  watched = library->table();
  watched.run = run_watched;
  looks.table = &library->table();
  char text[BITWRIGHT_TEXT_SIZE] = "";
  void* opened = watched.open(0, text);
  expect(opened != nullptr, text);
  bitwright::Device device(std::make_unique<bitwright::LibraryBackend>(watched, opened));
  looks.device = &device;
  // With a limit the room is what it leaves, whoever else is on the device.
  device.limit(int64_t{1} << 30);
  for (const Call& call : calls) expect_end_on_library(device, call);
});

}  // namespace
