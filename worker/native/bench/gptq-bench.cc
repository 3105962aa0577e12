// Times one GPTQ layer: Hessian, factor, scales, quantize; against the floor that its operations and the measured peak of the machine give.
//
//   gptq-bench [--rows O] [--columns I] [--tokens T] [--bits B] [--group-size G] [--repeats N] [--threads A,B] [--sweeps K] [--inputs DIR] [--json]
//
// Defaults: 2048 × 2048, 4096 tokens, 4 bits, groups of 128, 5 repeats, 1 and 2 threads. Prints a Markdown table, or with --json one line per repeat.
// --sweeps: Beacon with K sweeps too, in turn with GPTQ's step on the same Hessian, factor and scales.
// --inputs: a folder with weight.f32 [O, I] and activations.f32 [T, I], little-endian and without header, so that another program times the same numbers.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/gemm.h"

namespace {

using bitwright::DType;
using bitwright::Options;
using bitwright::Tensor;

struct Settings {
  int64_t rows = 2048, columns = 2048, tokens = 4096;
  int bits = 4, repeats = 5, sweeps = 0;
  int64_t group_size = 128;
  std::vector<int> threads = {1, 2};
  std::string inputs;
  bool json = false;
};

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "gptq-bench: %s\n", why.c_str());
  std::exit(2);
}

Settings parse(int n_arguments, char** arguments) {
  Settings settings;
  for (int i = 1; i < n_arguments; ++i) {
    const std::string name = arguments[i];
    if (name == "--json") {
      settings.json = true;
      continue;
    }
    if (i + 1 == n_arguments) give_up(name + " needs a value");
    const std::string value = arguments[++i];
    auto number = [&] {
      const int64_t parsed = std::atoll(value.c_str());
      if (parsed < 1) give_up(name + " is " + value + ", not a whole number of at least 1");
      return parsed;
    };
    if (name == "--rows") settings.rows = number();
    else if (name == "--columns") settings.columns = number();
    else if (name == "--tokens") settings.tokens = number();
    else if (name == "--bits") settings.bits = static_cast<int>(number());
    else if (name == "--group-size") settings.group_size = number();
    else if (name == "--repeats") settings.repeats = static_cast<int>(number());
    else if (name == "--sweeps") settings.sweeps = static_cast<int>(number());
    else if (name == "--inputs") settings.inputs = value;
    else if (name == "--threads") {
      settings.threads.clear();
      for (size_t begin = 0; begin <= value.size();) {
        const size_t comma = std::min(value.find(',', begin), value.size());
        settings.threads.push_back(std::max(1, std::atoi(value.substr(begin, comma - begin).c_str())));
        begin = comma + 1;
      }
    } else give_up("there is no option " + name);
  }
  return settings;
}

std::vector<float> floats(const Settings& settings, const char* file, int64_t count, double deviation, uint32_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  if (settings.inputs.empty()) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> distribution(0, static_cast<float>(deviation));
    for (float& value : values) value = distribution(generator);
    return values;
  }
  const std::string path = settings.inputs + "/" + file;
  std::FILE* stream = std::fopen(path.c_str(), "rb");
  if (stream == nullptr) give_up(path + ": " + std::strerror(errno));
  const size_t n_read = std::fread(values.data(), sizeof(float), values.size(), stream);
  const bool has_more = std::fgetc(stream) != EOF;
  std::fclose(stream);
  if (n_read != values.size() || has_more) give_up(path + " does not hold " + std::to_string(count) + " floats");
  return values;
}

double seconds_of(const std::function<void()>& work) {
  const auto began = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void wait_for(bitwright::Device& device) {
  std::promise<bitwright::Status> promise;
  device.sync([&](bitwright::Status status) { promise.set_value(std::move(status)); });
  if (const bitwright::Status status = promise.get_future().get(); !status.ok()) give_up(status.message);
}

std::vector<Tensor> enqueue(bitwright::Device& device, const char* name, const std::vector<Tensor>& inputs, const Options& options) {
  std::vector<Tensor> results;
  if (const bitwright::Status status = device.enqueue(name, inputs, options, results); !status.ok()) give_up(status.message);
  return results;
}

const char* const step_names[] = {"Hessian", "factor", "scales", "quantize", "Beacon"};
/// GPTQ's; Beacon's stands behind them.
constexpr size_t n_steps = 4;

struct LayerTimes {
  double steps[n_steps + 1];
  double relative_error, beacon_error;
  double total(size_t solver = 3) const { return steps[0] + steps[1] + steps[2] + steps[solver]; }
};

/// As a run does it for one linear, from the inputs of the layer to its integers.
LayerTimes time_layer(bitwright::Device& device, const Settings& settings, const Tensor& weight, const Tensor& activations) {
  Options grid;
  grid.set("num_bits", static_cast<double>(settings.bits));
  grid.set("symmetric", true);
  grid.set("strategy", std::string("group"));
  grid.set("group_size", static_cast<double>(settings.group_size));
  Options observed = grid, solved = grid, mean, damping;
  observed.set("observer", std::string("minmax"));
  solved.set("block_size", 128.0);
  mean.set("decay", 0.0);
  mean.set("weight", 2.0 / static_cast<double>(settings.tokens));
  damping.set("dampening_frac", 0.01);
  const Tensor H = device.zeros({DType::F32, {settings.columns, settings.columns}});
  wait_for(device);
  LayerTimes times{};
  std::vector<Tensor> factor, scales, quantized;
  auto step = [&](size_t index, const std::function<void()>& work) {
    times.steps[index] = seconds_of([&] {
      work();
      wait_for(device);
    });
  };
  step(0, [&] { enqueue(device, "hessian_accumulate", {H, activations}, mean); });
  step(1, [&] { factor = enqueue(device, "gptq_factor", {H, nullptr}, damping); });
  step(2, [&] { scales = enqueue(device, "weight_scales", {weight, nullptr}, observed); });
  step(3, [&] { quantized = enqueue(device, "quantize_gptq", {weight, factor[0], scales[0], scales[1], nullptr, nullptr, nullptr}, solved); });
  auto error_of = [&](const Tensor& codes, const Tensor& scale, const Tensor& zero_point) {
    const Tensor restored = enqueue(device, "dequantize", {codes, scale, zero_point, nullptr}, grid)[0];
    const Tensor error = enqueue(device, "hessian_error", {weight, restored, H}, {})[0];
    std::promise<std::vector<uint8_t>> promise;
    device.read(error, [&](bitwright::Status status, std::vector<uint8_t> bytes) {
      if (!status.ok()) give_up(status.message);
      promise.set_value(std::move(bytes));
    });
    double parts[2];
    std::memcpy(parts, promise.get_future().get().data(), sizeof parts);
    return parts[0] / parts[1];
  };
  times.relative_error = error_of(quantized[0], scales[0], scales[1]);
  if (settings.sweeps > 0) {
    Options swept = grid;
    swept.set("n_sweeps", static_cast<double>(settings.sweeps));
    swept.set("centering", true);
    std::vector<Tensor> found;
    step(n_steps, [&] { found = enqueue(device, "quantize_beacon", {weight, H, factor[0], scales[0], scales[1], nullptr, nullptr}, swept); });
    times.beacon_error = error_of(found[0], found[1], found[2]);
  }
  return times;
}

/// Largest rate of the matrix product that the layer is made of, in operations a second; a multiply-add is two.
double peak_operations(int n_threads) {
  constexpr int64_t n = 2048;
  bitwright::Pool pool(n_threads);
  std::vector<float> A(n * n, 0.5f), B(n * n, 0.25f), C(n * n);
  double best = 1e9;
  for (int i = 0; i < 7; ++i) best = std::min(best, seconds_of([&] { bitwright::gemm_nt(pool, n, n, n, 1.0f, A.data(), n, B.data(), n, 0.0f, C.data(), n); }));
  return 2.0 * n * n * n / best;
}

/// Bytes a second of a copy far larger than the caches, read and written bytes both counted.
double peak_bytes(int n_threads) {
  constexpr int64_t chunk = 1 << 20, n_chunks = 192;
  bitwright::Pool pool(n_threads);
  std::vector<uint8_t> from(chunk * n_chunks, 1), to(chunk * n_chunks);
  double best = 1e9;
  for (int i = 0; i < 7; ++i)
    best = std::min(best, seconds_of([&] { pool.parallel_for(n_chunks, [&](int64_t at) { std::memcpy(to.data() + at * chunk, from.data() + at * chunk, chunk); }); }));
  return 2.0 * chunk * n_chunks / best;
}

struct Work {
  double operations, bytes;
};

/// The least that each step must do. Operations: both triangles of H are one, Cholesky is I³/3, column j
/// changes the I - j behind it in O rows. Bytes: inputs and results once.
std::map<std::string, Work> work_of(const Settings& settings) {
  const double O = static_cast<double>(settings.rows), I = static_cast<double>(settings.columns), T = static_cast<double>(settings.tokens);
  const double m = static_cast<double>(settings.group_size), scales = O * I / m * 5;
  return {{"Hessian", {T * I * I, 4 * (T * I + I * I)}},
          {"factor", {1.0 / 3 * I * I * I, 4 * (I * I + I * I)}},
          {"scales", {3 * O * I, 4 * O * I + scales}},
          {"quantize", {O * I * I, 4 * (O * I + I * I) + O * I + scales}},
          // Inside of a group, m multiply-adds for each weight: S w and S a once (the sweeps change few codes), and R⁻¹ where it is not in the factor. Behind it GPTQ's.
          {"Beacon", {O * I * (I - m) + 2 * (m < I && O < I / 2 ? 3 : 2) * O * I * m, 4 * (O * I + I * I) + O * I + scales}}};
}

void print_table(const Settings& settings, int n_threads, const std::vector<LayerTimes>& times) {
  const double operations_per_second = peak_operations(n_threads), bytes_per_second = peak_bytes(n_threads);
  std::printf("\n%d thread%s: matrix product %.0f GFLOP/s (kernels of %s), copy %.1f GB/s; median of %zu\n\n", n_threads, n_threads == 1 ? "" : "s", operations_per_second / 1e9, bitwright::blas_kernels(), bytes_per_second / 1e9,
              times.size());
  std::printf("| step | operations | floor | time | time / floor |\n| --- | ---: | ---: | ---: | ---: |\n");
  auto row = [](const std::string& name, double operations, double floor, double time) {
    std::printf("| %s | %.2f G | %.1f ms | %.1f ms | %.2f |\n", name.c_str(), operations / 1e9, floor * 1e3, time * 1e3, time / floor);
  };
  const std::map<std::string, Work> work = work_of(settings);
  double all_operations = 0, all_floors = 0;
  std::vector<double> totals;
  for (const LayerTimes& one : times) totals.push_back(one.total());
  for (size_t step = 0; step < n_steps; ++step) {
    const Work& least = work.at(step_names[step]);
    const double floor = std::max(least.operations / operations_per_second, least.bytes / bytes_per_second);
    all_operations += least.operations;
    all_floors += floor;
    std::vector<double> values;
    for (const LayerTimes& one : times) values.push_back(one.steps[step]);
    row(step_names[step], least.operations, floor, median(values));
  }
  row("layer", all_operations, all_floors, median(totals));
  if (settings.sweeps == 0) return;
  std::vector<double> beacon, layers;
  for (const LayerTimes& one : times) {
    beacon.push_back(one.steps[n_steps]);
    layers.push_back(one.total(n_steps));
  }
  const Work& least = work.at("Beacon");
  row("Beacon", least.operations, std::max(least.operations / operations_per_second, least.bytes / bytes_per_second), median(beacon));
  std::printf("\nBeacon's layer over GPTQ's: %.2f (%.1f ms over %.1f ms); relative error %.6g, GPTQ %.6g\n", median(layers) / median(totals), median(layers) * 1e3, median(totals) * 1e3, times.back().beacon_error, times.back().relative_error);
}

}  // namespace

int main(int n_arguments, char** arguments) {
  const Settings settings = parse(n_arguments, arguments);
  bitwright::make_blas_single_threaded();
  const std::vector<float> weight = floats(settings, "weight.f32", settings.rows * settings.columns, 0.02, 1);
  const std::vector<float> activations = floats(settings, "activations.f32", settings.tokens * settings.columns, 1.0, 2);
  if (!settings.json)
    std::printf("GPTQ of one layer, %ld × %ld, %ld tokens, %d bits, groups of %ld\n", settings.rows, settings.columns, settings.tokens, settings.bits, settings.group_size);
  for (const int n_threads : settings.threads) {
    bitwright::Device device(n_threads);
    const Tensor W = device.from_bytes({DType::F32, {settings.rows, settings.columns}}, weight.data());
    const Tensor X = device.from_bytes({DType::F32, {settings.tokens, settings.columns}}, activations.data());
    // The first pass brings the pages.
    time_layer(device, settings, W, X);
    std::vector<LayerTimes> times;
    for (int i = 0; i < settings.repeats; ++i) {
      times.push_back(time_layer(device, settings, W, X));
      if (!settings.json) continue;
      std::printf("{\"threads\":%d", n_threads);
      for (size_t step = 0; step < n_steps + (settings.sweeps > 0); ++step) std::printf(",\"%s\":%.6f", step_names[step], times.back().steps[step]);
      std::printf(",\"layer\":%.6f,\"relative_error\":%.6g}\n", times.back().total(), times.back().relative_error);
    }
    if (!settings.json) print_table(settings, n_threads, times);
  }
  return 0;
}
