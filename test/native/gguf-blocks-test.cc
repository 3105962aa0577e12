// GGUF blocks: every value of every field of every type comes back from the bytes, the search against rounding and against fewer bits, importance, and the edges.
#include <random>

#include "formats/gguf-blocks.h"
#include "runner.h"

using namespace bitwright_test;
using bitwright::GgufBlock;
using bitwright::GgufLayout;
using bitwright::GgufType;

namespace {

const std::vector<std::string> types = {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"};

Options of(const std::string& type) { return options({{"gguf_type", type}}); }

const GgufLayout& layout_of(const std::string& name, GgufType& type) { return *bitwright::gguf_layout(name, type); }

const Case field_cases("GGUF blocks: every value of every field comes back from the bytes, and stands for its number in float64", [] {
  std::mt19937 generator(3);
  for (const std::string& name : types) {
    GgufType type = GgufType::Q8_0;
    const GgufLayout& layout = layout_of(name, type);
    auto within = [&](int low, int high) { return low + static_cast<int>(generator() % static_cast<unsigned>(high - low + 1)); };
    std::vector<bool> seen(256);
    for (int round = 0; round < 64; ++round) {
      GgufBlock block, back;
      block.d = bitwright::float_to_f16(0.0173f);
      block.dmin = layout.has_min() ? bitwright::float_to_f16(0.0031f) : uint16_t{0};
      for (int s = 0; s < layout.n_subs(); ++s) {
        block.scale[s] = within(layout.scale_min, layout.scale_max);
        block.min[s] = layout.min_max == 1 ? 1 : within(0, layout.min_max);
      }
      for (int i = 0; i < layout.n_weights; ++i) {
        block.q[i] = within(layout.q_min, layout.q_max);
        seen[static_cast<size_t>(block.q[i] + 128)] = true;
      }
      std::vector<uint8_t> bytes(static_cast<size_t>(layout.bytes));
      bitwright::pack_gguf(type, block, bytes.data());
      bitwright::unpack_gguf(type, bytes.data(), back);
      float values[256];
      bitwright::gguf_values(layout, back, values);
      expect(back.d == block.d && back.dmin == block.dmin, name + ": the scales of the block");
      for (int s = 0; s < layout.n_subs(); ++s) expect(back.scale[s] == block.scale[s] && back.min[s] == block.min[s], name + ": sub-block " + std::to_string(s));
      const double d = bitwright::f16_to_float(block.d), dmin = bitwright::f16_to_float(block.dmin);
      for (int i = 0; i < layout.n_weights; ++i) {
        const int s = i / layout.sub_size;
        const double wanted = d * block.scale[s] * block.q[i] - dmin * block.min[s];
        expect(back.q[i] == block.q[i] && std::fabs(static_cast<double>(values[i]) - wanted) <= 1e-6 * (1 + std::fabs(wanted)), name + ": weight " + std::to_string(i));
      }
    }
    for (int q = layout.q_min; q <= layout.q_max; ++q) expect(seen[static_cast<size_t>(q + 128)], name + ": the code " + std::to_string(q) + " was not tried");
  }
});

double squared_error(const Array& a, const Array& b, const Array* importance = nullptr) {
  double sum = 0;
  for (int64_t i = 0; i < a.spec.count(); ++i) sum += std::pow(a.at(i) - b.at(i), 2) * (importance == nullptr ? 1.0 : importance->at(i % a.spec.shape[1]));
  return sum;
}
Array read_back(const Array& weight, const Array& importance, const std::string& type) { return run_everywhere("gguf_decode", {run_everywhere("gguf_encode", {weight, importance}, of(type))[0]}, of(type))[0]; }

const Case quality_cases("GGUF blocks: more bits have less error, each below what its step promises; float16 and bfloat16 weights too", [] {
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16}) {
    const Array weight = normal(dtype, {3, 512}, 41, 0.05);
    double before = INFINITY;
    // Signal to noise of normal weights that these types reach at least, in dB.
    const std::vector<std::pair<std::string, double>> order = {{"Q2_K", 10}, {"Q3_K", 15}, {"Q4_K", 21}, {"Q5_K", 27}, {"Q6_K", 33}, {"Q8_0", 43}};
    for (const auto& [type, decibels] : order) {
      const double error = squared_error(weight, read_back(weight, none(), type));
      double squares = 0;
      for (int64_t i = 0; i < weight.spec.count(); ++i) squares += weight.at(i) * weight.at(i);
      expect(error < before, type + " has " + std::to_string(error) + " after " + std::to_string(before));
      expect(10 * std::log10(squares / error) > decibels, type + ": " + std::to_string(10 * std::log10(squares / error)) + " dB");
      before = error;
    }
  }
});

const Case importance_cases("GGUF blocks: importance lowers the error that it weighs, and columns without any are kept too", [] {
  const Array weight = normal(DType::F32, {4, 512}, 43, 0.05);
  const Array importance = array_of(DType::F32, {512}, [](int64_t i) { return i % 7 == 0 ? 40.0 : i % 5 == 0 ? 0.0 : 0.3; });
  for (const std::string type : {"Q4_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"}) {
    const Array weighed = read_back(weight, importance, type), plain = read_back(weight, none(), type);
    expect(squared_error(weight, weighed, &importance) < squared_error(weight, plain, &importance), type + ": importance does not help");
    expect(squared_error(weight, weighed) < 10 * squared_error(weight, plain), type + ": columns without importance are lost");
  }
  const Array unused = array_of(DType::F32, {512}, [](int64_t) { return 0.0; });
  expect(squared_error(read_back(weight, unused, "Q4_K"), read_back(weight, none(), "Q4_K")) == 0, "no importance at all is none");
});

const Case size_cases("GGUF blocks: one row and many, as many blocks as fill no group of threads: each block is that of its weights alone, the bytes are the same on every device", [] {
  for (const std::string& type : types)
    for (const DType dtype : {DType::BF16, DType::F32})
      for (const Shape& shape : {Shape{1, 256}, Shape{5, 768}, Shape{65, 256}}) {
        const Array weight = normal(dtype, shape, 45, 0.03), importance = normal(DType::F32, {shape[1]}, 46), squares = array_of(DType::F32, {shape[1]}, [&](int64_t i) { return std::pow(importance.at(i), 2); });
        const Array bytes = run_everywhere("gguf_encode", {weight, squares}, of(type))[0], values = run_everywhere("gguf_decode", {bytes}, of(type))[0];
        // The last row alone.
        const int64_t I = shape[1], last = (shape[0] - 1) * I;
        const Array alone = array_of(dtype, {1, I}, [&](int64_t i) { return weight.at(last + i); });
        const Array own = read_back(alone, squares, type);
        for (int64_t i = 0; i < I; ++i) expect(own.at(i) == values.at(last + i), type + ": weight " + std::to_string(i) + " of the last row");
      }
});

const Case odd_cases("GGUF blocks: zeros, constants, one outlier, tiny and too large weights, NaN, widths that are no blocks", [] {
  for (const std::string& type : types) {
    const Array zeros = array_of(DType::F32, {2, 256}, [](int64_t i) { return i < 256 ? 0.0 : 0.25; });
    const Array back = read_back(zeros, none(), type);
    for (int64_t i = 0; i < 512; ++i) expect(i < 256 ? back.at(i) == 0 : std::fabs(back.at(i) - 0.25) < 0.01, type + ": " + std::to_string(back.at(i)) + " at " + std::to_string(i));
    const Array below = array_of(DType::F32, {1, 256}, [](int64_t) { return -0.25; });
    const Array of_below = read_back(below, none(), type);
    for (int64_t i = 0; i < 256; ++i) expect(std::fabs(of_below.at(i) + 0.25) < 0.01, type + ": all the same below zero");
    const Array negative = array_of(DType::F32, {1, 256}, [](int64_t i) { return i == 9 ? -8.0 : -0.001; });
    const Array of_negative = read_back(negative, none(), type);
    expect(std::fabs(of_negative.at(9) + 8) < 0.5, type + ": the outlier became " + std::to_string(of_negative.at(9)));
    const Array tiny = array_of(DType::F32, {1, 256}, [](int64_t i) { return i % 2 == 0 ? 1e-30 : -1e-30; });
    const Array of_tiny = read_back(tiny, none(), type);
    for (int64_t i = 0; i < 256; ++i) expect(std::fabs(of_tiny.at(i)) < 1e-20, type + ": tiny weights");
    expect_refused("gguf_encode", {array_of(DType::F32, {2, 256}, [](int64_t i) { return i == 300 ? NAN : 0.5; }), none()}, of(type), "in row 1");
    expect_refused("gguf_encode", {array_of(DType::F32, {1, 256}, [](int64_t i) { return i == 30 ? -INFINITY : 0.5; }), none()}, of(type), "in row 0");
    expect_refused("gguf_encode", {array_of(DType::F32, {1, 256}, [](int64_t) { return 3e8; }), none()}, of(type), "too large");
    expect_refused("gguf_encode", {array_of(DType::F32, {1, 48}, [](int64_t) { return 1.0; }), none()}, of(type), "do not divide 48");
  }
  // 1 / d is beyond float: no code follows from it, and every processor makes the same of none.
  const Array next_to_nothing = array_of(DType::F32, {1, 32}, [](int64_t i) { return i % 3 == 0 ? 0.0 : i % 3 == 1 ? 2e-37 : -2e-37; });
  const Array bytes = run_everywhere("gguf_encode", {next_to_nothing, none()}, of("Q8_0"))[0];
  for (int64_t i = 0; i < bytes.spec.count(); ++i) expect(bytes.at(i) == 0, "Q8_0 of weights around 2e-37: byte " + std::to_string(i) + " is " + std::to_string(bytes.at(i)));
  const Array weight = normal(DType::F32, {1, 256}, 1);
  expect_refused("gguf_encode", {weight, array_of(DType::F32, {256}, [](int64_t i) { return i == 7 ? -1.0 : 1.0; })}, of("Q4_K"), "importance of column 7");
  expect_refused("gguf_encode", {weight, none()}, of("IQ4_NL"), "gguf_type IQ4_NL is none of");
  expect_refused("gguf_decode", {array_of(DType::U8, {1, 143}, [](int64_t) { return 0.0; })}, of("Q4_K"), "no blocks of 144");
});

}  // namespace
