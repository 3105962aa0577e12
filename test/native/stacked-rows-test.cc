// Rows of several matrices one below the other, and what GPTQ makes of them: rows do not know of each other.
#include "runner.h"

using namespace bitwright_test;

namespace {

const Case stack_cases("stack_rows puts tensors one below the other, of any type, and refuses what does not fit", [] {
  for (const DType dtype : {DType::F64, DType::F32, DType::BF16, DType::I32, DType::I8, DType::F8_E4M3}) {
    const Array a = array_of(dtype, {3, 5}, [](int64_t i) { return static_cast<double>(i); }), b = array_of(dtype, {0, 5}, [](int64_t) { return 0.0; }), c = array_of(dtype, {2, 5}, [](int64_t i) { return static_cast<double>(40 + i); });
    const Array all = run_everywhere("stack_rows", {a, b, c}, {})[0];
    expect(all.spec.shape == Shape({5, 5}), "the shape is " + all.spec.text());
    for (int64_t i = 0; i < 25; ++i) expect(all.at(i) == static_cast<double>(i < 15 ? i : 25 + i), "element " + std::to_string(i));
  }
  const Array matrix = normal(DType::F32, {2, 5}, 1);
  const std::string expected = "differ in their leading dimension alone";
  expect_refused("stack_rows", {matrix, normal(DType::F32, {2, 4}, 1)}, {}, expected);
  expect_refused("stack_rows", {matrix, normal(DType::BF16, {2, 5}, 1)}, {}, expected);
  expect_refused("stack_rows", {matrix, none()}, {}, expected);
});

/// Linears of 70, 64 and 3 rows with one Hessian: the codes of each alone, and of all in one go.
void expect_alike(const Options& grid, DType dtype, const Array& permutation, const Array& g_idx, int64_t I) {
  const Array x = normal(DType::F32, {3 * I, I}, 7), empty = array_of(DType::F32, {I, I}, [](int64_t) { return 0.0; });
  const Array H = run("hessian_accumulate", {empty, x}, options({{"decay", 0.0}, {"weight", 1.0}}), 2, 1)[0];
  const Array R = run("gptq_factor", {H, permutation}, options({{"dampening_frac", 0.01}}), 2)[0], dead = run("dead_columns", {H}, {}, 2)[0];
  std::vector<Array> weights, scales, zero_points;
  std::vector<uint8_t> codes;
  for (const int64_t rows : {70, 64, 3}) {
    weights.push_back(normal(dtype, {rows, I}, static_cast<uint32_t>(rows), 0.05));
    const std::vector<Array> found = run("weight_scales", {weights.back(), g_idx.spec.present ? permutation : none()}, grid, 2);
    scales.push_back(found[0]);
    zero_points.push_back(found[1]);
    const Array q = run("quantize_gptq", {weights.back(), R, found[0], found[1], permutation, g_idx, dead}, grid, 2)[0];
    codes.insert(codes.end(), q.bytes.begin(), q.bytes.end());
  }
  const auto stacked = [](const std::vector<Array>& parts) { return run("stack_rows", parts, {}, 2)[0]; };
  const Array q = run_everywhere("quantize_gptq", {stacked(weights), R, stacked(scales), stacked(zero_points), permutation, g_idx, dead}, grid)[0];
  expect(q.bytes == codes, "the codes of stacked rows are others");
}

const Case gptq_cases("GPTQ gives stacked rows the codes of each linear alone, to the byte, in any order of columns", [] {
  const int64_t I = 192;
  std::vector<int32_t> reversed, groups;
  for (int32_t i = static_cast<int32_t>(I) - 1; i >= 0; --i) {
    reversed.push_back(i);
    groups.push_back(i / 32);
  }
  Options grid = options({{"num_bits", 4.0}, {"symmetric", false}, {"strategy", std::string("group")}, {"group_size", 32.0}, {"observer", std::string("minmax")}, {"block_size", 128.0}});
  for (const DType dtype : {DType::BF16, DType::F32}) {
    expect_alike(grid, dtype, none(), none(), I);
    expect_alike(grid, dtype, ints({I}, reversed), ints({I}, groups), I);
  }
  grid.set("strategy", std::string("channel"));
  expect_alike(grid, DType::F16, ints({I}, reversed), none(), I);
  grid.set("symmetric", true);
  grid.set("type", std::string("float"));
  grid.set("num_bits", 8.0);
  expect_alike(grid, DType::BF16, none(), none(), I);
});

}  // namespace
