// What becomes zero: magnitude and Wanda against sorted lists and all subsets, SparseGPT's columns against the textbook in float64 and against least squares,
// alone and jointly with rounding.
#include <algorithm>
#include <numeric>

#include "runner.h"
#include "solver-inputs.h"

using namespace bitwright_test;

namespace {

Options asked(double sparsity, double n = 0, double m = 0, double block_size = 128) { return options({{"sparsity", sparsity}, {"mask_n", n}, {"mask_m", m}, {"block_size", block_size}, {"epsilon", 0.0}}); }

/// Of a grid, with what is asked of it.
Options with_grid(Options grid, double sparsity) {
  const Options more = asked(sparsity);
  for (const auto& [key, value] : more.all()) grid.set(key, value);
  return grid;
}

int64_t n_zero(const Array& mask) {
  int64_t sum = 0;
  for (int64_t i = 0; i < mask.spec.count(); ++i) sum += mask.at(i) != 0;
  return sum;
}

/// 1 for the k smallest, of equal ones the first.
std::vector<uint8_t> smallest(const std::vector<double>& scores, int64_t k) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  std::vector<uint8_t> mask(scores.size());
  for (int64_t i = 0; i < k; ++i) mask[order[static_cast<size_t>(i)]] = 1;
  return mask;
}

void expect_mask(const Array& mask, const std::vector<uint8_t>& wanted, const std::string& what) {
  for (size_t i = 0; i < wanted.size(); ++i) expect(mask.at(static_cast<int64_t>(i)) == wanted[i], what + ": element " + std::to_string(i));
}

const Case magnitude_cases("prune_magnitude: the share of all weights that is smallest, of equal ones the first; the others keep their bits", [] {
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16})
    for (const double share : {0.0, 0.3, 0.5, 0.99, 1.0}) {
      const Array weight = normal(dtype, {37, 53}, 5);
      const std::vector<Array> found = run_everywhere("prune_magnitude", {weight}, asked(share));
      std::vector<double> sizes(static_cast<size_t>(weight.spec.count()));
      for (size_t i = 0; i < sizes.size(); ++i) sizes[i] = std::fabs(weight.at(static_cast<int64_t>(i)));
      expect_mask(found[1], smallest(sizes, static_cast<int64_t>(share * static_cast<double>(sizes.size()) + 1e-6)), "share " + std::to_string(share));
      for (int64_t i = 0; i < weight.spec.count(); ++i) expect(found[0].at(i) == (found[1].at(i) != 0 ? 0 : weight.at(i)), "weight " + std::to_string(i));
    }
  // More than one stretch of a selection, nearly all of it one tie.
  const Array flat = array_of(DType::BF16, {600, 400}, [](int64_t i) { return i % 1000 == 7 ? 0.5 : i % 2 == 0 ? -1.0 : 1.0; });
  const std::vector<Array> found = run_everywhere("prune_magnitude", {flat}, asked(0.4));
  std::vector<double> sizes(240000);
  for (size_t i = 0; i < sizes.size(); ++i) sizes[i] = std::fabs(flat.at(static_cast<int64_t>(i)));
  expect_mask(found[1], smallest(sizes, 96000), "ties");
  expect_refused("prune_magnitude", {flat}, asked(1.5), "sparsity 1.5");
  expect_refused("prune_magnitude", {flat}, asked(0.5, 2, 4), "not in groups");
});

const Case wanda_cases("prune_wanda: rows and groups lose what |w| · ‖x‖ finds smallest, which of all subsets is the cheapest", [] {
  const int64_t O = 19, I = 312;
  const Array weight = normal(DType::BF16, {O, I}, 11), importance = array_of(DType::F32, {I}, [](int64_t j) { return j % 7 == 3 ? 0.0 : 0.1 + static_cast<double>(j % 13); });
  auto score = [&](int64_t r, int64_t j) { return std::fabs(weight.at(r, j)) * std::sqrt(static_cast<float>(importance.at(j))); };
  for (const auto& [n, m] : {std::pair{0, 0}, std::pair{2, 4}, std::pair{4, 8}, std::pair{1, 3}}) {
    const std::vector<Array> found = run_everywhere("prune_wanda", {weight, importance}, asked(0.6, n, m));
    for (int64_t r = 0; r < O; ++r)
      for (int64_t first = 0, length = m == 0 ? I : m; first < I; first += length) {
        std::vector<double> scores;
        for (int64_t j = first; j < first + length; ++j) scores.push_back(static_cast<float>(score(r, j)));
        const std::vector<uint8_t> wanted = smallest(scores, m == 0 ? 187 : n);
        for (int64_t j = 0; j < length; ++j) expect(found[1].at(r, first + j) == wanted[static_cast<size_t>(j)], "row " + std::to_string(r) + " column " + std::to_string(first + j));
      }
    for (int64_t i = 0; i < O * I; ++i) expect(found[0].at(i) == (found[1].at(i) != 0 ? 0 : weight.at(i)), "a weight that stays is another");
  }
  // Small rows: no other half has a smaller sum of squares.
  const Array row = normal(DType::F32, {1, 10}, 3), norms = array_of(DType::F32, {10}, [](int64_t j) { return 1.0 + static_cast<double>(j * j % 7); });
  const std::vector<Array> found = run_everywhere("prune_wanda", {row, norms}, asked(0.5));
  auto cost = [&](auto&& is_zero) {
    double sum = 0;
    for (int64_t j = 0; j < 10; ++j)
      if (is_zero(j)) sum += row.at(j) * row.at(j) * norms.at(j);
    return sum;
  };
  const double own = cost([&](int64_t j) { return found[1].at(j) != 0; });
  for (int subset = 0; subset < 1024; ++subset)
    if (__builtin_popcount(static_cast<unsigned>(subset)) == 5) expect(own <= cost([&](int64_t j) { return (subset >> j & 1) != 0; }) * (1 + 1e-6), "a subset costs less");
  expect_refused("prune_wanda", {row, norms}, asked(0.5, 2, 4), "a mask of 2:4 does not divide 10 columns");
  expect_refused("prune_wanda", {row, array_of(DType::F32, {10}, [](int64_t j) { return j == 4 ? NAN : 1.0; })}, asked(0.5), "the importance of column 4");
  expect_refused("prune_wanda", {row, array_of(DType::F32, {10}, [](int64_t j) { return j == 2 ? INFINITY : 1.0; })}, asked(0.5), "the importance of column 2");
});

const Case zero_cases("zero_mask: what is zero up to epsilon, and rows of nothing else", [] {
  const Array weight = array_of(DType::F32, {4, 5}, [](int64_t i) { return i / 5 == 2 ? 0.0 : i == 0 ? 1e-9 : i == 1 ? -0.0 : 0.5; });
  const std::vector<Array> exact = run_everywhere("zero_mask", {weight}, asked(0)), wide = run_everywhere("zero_mask", {weight}, options({{"epsilon", 1e-8}}));
  expect(exact[1].at(0) == 6 && exact[1].at(1) == 1 && wide[1].at(0) == 7 && wide[1].at(1) == 1, "counts " + std::to_string(exact[1].at(0)));
  expect(exact[0].at(0) == 0 && exact[0].at(1) == 1 && wide[0].at(0) == 1, "the mask");
});

struct Solved {
  std::vector<double> result;
  std::vector<uint8_t> mask;
};

/// Algorithm 1 in float64, unblocked but for the choice of the mask; with a scale (per row) the weights that stay are rounded in the same pass.
Solved textbook(const Array& weight, const Array& U, double share, int64_t n, int64_t m, int64_t block, const Array* kept, const Array* scale, double qmax) {
  const int64_t O = weight.spec.shape[0], I = weight.spec.shape[1];
  std::vector<double> W(static_cast<size_t>(O * I));
  for (size_t i = 0; i < W.size(); ++i) W[i] = weight.at(static_cast<int64_t>(i));
  Solved solved{std::vector<double>(W.size()), std::vector<uint8_t>(W.size())};
  auto cost = [&](int64_t r, int64_t j) { return kept != nullptr && kept->at(r, j) != 0 ? 0.0 : std::pow(W[static_cast<size_t>(r * I + j)] / U.at(j, j), 2); };
  for (int64_t j = 0; j < I; ++j) {
    if (m == 0 && j % block == 0) {
      const int64_t count = std::min(block, I - j);
      std::vector<double> scores;
      for (int64_t k = 0; k < count; ++k)
        for (int64_t r = 0; r < O; ++r) scores.push_back(cost(r, j + k));
      const std::vector<uint8_t> chosen = smallest(scores, static_cast<int64_t>(share * static_cast<double>(count * O) + 1e-6));
      for (int64_t k = 0; k < count; ++k)
        for (int64_t r = 0; r < O; ++r) solved.mask[static_cast<size_t>(r * I + j + k)] = chosen[static_cast<size_t>(k * O + r)];
    }
    for (int64_t r = 0; r < O; ++r) {
      if (m > 0 && j % m == 0) {
        std::vector<double> scores;
        for (int64_t k = 0; k < m; ++k) scores.push_back(cost(r, j + k));
        const std::vector<uint8_t> chosen = smallest(scores, n);
        std::copy(chosen.begin(), chosen.end(), solved.mask.begin() + r * I + j);
      }
      const size_t at = static_cast<size_t>(r * I + j);
      if (kept != nullptr && kept->at(r, j) != 0) solved.mask[at] = 1;
      double q = W[at];
      if (scale != nullptr) q = std::nearbyint(std::clamp(W[at] / scale->at(r), -qmax - 1, qmax)) * scale->at(r);
      if (solved.mask[at] != 0) q = 0;
      solved.result[at] = q;
      const double error = (W[at] - q) / U.at(j, j);
      for (int64_t k = j; k < I; ++k) W[static_cast<size_t>(r * I + k)] -= error * U.at(j, k);
    }
  }
  return solved;
}

/// A layer with its Hessian and factor.
struct Layer {
  Array weight, H, U;
};
Layer layer_of(int64_t O, int64_t I, uint32_t seed, double dampening = 0.01) {
  const Array x = tokens_of(I, 2 * I, seed, 0.1), H = gram(x, x);
  return {normal(DType::F32, {O, I}, seed + 7, 0.05), H, run_everywhere("inverse_factor", {run_everywhere("gptq_factor", {H, none()}, options({{"dampening_frac", dampening}}))[0]}, {})[0]};
}

std::vector<Array> prune(const Layer& layer, const Options& all, const Array& kept = none(), const Array& order = none()) {
  return run_everywhere("prune_sparsegpt", {layer.weight, layer.U, none(), none(), order, none(), none(), kept}, all);
}

double agreement(const Array& mask, const std::vector<uint8_t>& wanted) {
  double same = 0;
  for (size_t i = 0; i < wanted.size(); ++i) same += mask.at(static_cast<int64_t>(i)) == wanted[i];
  return same / static_cast<double>(wanted.size());
}

const Case textbook_cases("prune_sparsegpt: the textbook's mask and weights, unstructured and n of m, at any block size", [] {
  const Layer layer = layer_of(70, 192, 21);
  struct Ask {
    double share;
    int n, m, block;
  };
  for (const Ask& ask : {Ask{0.5, 0, 0, 128}, Ask{0.7, 0, 0, 192}, Ask{0.25, 0, 0, 40}, Ask{0, 2, 4, 128}, Ask{0, 4, 8, 100}, Ask{0, 1, 3, 64}, Ask{0, 5, 16, 128}, Ask{0, 20, 32, 128}, Ask{0, 30, 48, 40}, Ask{0, 96, 192, 128}, Ask{0, 0, 0, 128}, Ask{1, 0, 0, 128}}) {
    const std::vector<Array> found = prune(layer, asked(ask.share, ask.n, ask.m, ask.block));
    const Solved wanted = textbook(layer.weight, layer.U, ask.share, ask.n, ask.m, ask.block, nullptr, nullptr, 0);
    const std::string what = std::to_string(ask.share) + " " + std::to_string(ask.n) + ":" + std::to_string(ask.m);
    expect(agreement(found[1], wanted.mask) == 1, what + ": masks agree in " + std::to_string(agreement(found[1], wanted.mask)));
    expect_close(found[0], wanted.result, 2e-5);
    for (int64_t i = 0; i < found[1].spec.count(); ++i) expect(found[1].at(i) == 0 || found[0].at(i) == 0, what + ": a masked weight is not zero");
    if (ask.m == 0 && ask.block == 128) expect(n_zero(found[1]) == static_cast<int64_t>(ask.share * 70 * 128) + static_cast<int64_t>(ask.share * 70 * 64), what + ": " + std::to_string(n_zero(found[1])) + " zeros");
  }
});

const Case least_squares_cases("prune_sparsegpt: where the first columns go, the others are the least squares solution of what is left", [] {
  const int64_t I = 12;
  const Layer layer = layer_of(5, I, 33, 0.0);
  const Array kept = array_of(DType::U8, {5, I}, [&](int64_t i) { return i % I < 1 + i / I ? 1.0 : 0.0; });
  const std::vector<Array> found = prune(layer, asked(0), kept);
  for (int64_t r = 0; r < 5; ++r) {
    // minimize (w - v)ᵀ H (w - v) with v zero where kept: H_RR v_R = (H w)_R.
    const int64_t first = 1 + r, left = I - first;
    std::vector<double> A, b;
    for (int64_t i = first; i < I; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < I; ++j) sum += layer.H.at(i, j) * layer.weight.at(r, j);
      b.push_back(sum);
      for (int64_t j = first; j < I; ++j) A.push_back(layer.H.at(i, j));
    }
    const std::vector<double> v = solve(A, b);
    for (int64_t j = 0; j < left; ++j) expect(std::fabs(found[0].at(r, first + j) - v[static_cast<size_t>(j)]) < 2e-4, "row " + std::to_string(r));
    for (int64_t j = 0; j < first; ++j) expect(found[0].at(r, j) == 0 && found[1].at(r, j) == 1, "what is to stay zero does not");
  }
});

const Case kept_cases("prune_sparsegpt: zeros that are there stay and count; what is asked beyond them is the cheapest", [] {
  const Layer layer = layer_of(40, 64, 44);
  const Array kept = array_of(DType::U8, {40, 64}, [](int64_t i) { return i % 5 == 0 ? 1.0 : 0.0; });
  for (const auto& [share, n, m] : {std::tuple{0.5, 0, 0}, std::tuple{0.1, 0, 0}, std::tuple{0.0, 2, 4}, std::tuple{0.0, 20, 32}}) {
    const std::vector<Array> found = prune(layer, asked(share, n, m), kept);
    const Solved wanted = textbook(layer.weight, layer.U, share, n, m, 128, &kept, nullptr, 0);
    expect(agreement(found[1], wanted.mask) == 1, "masks");
    expect_close(found[0], wanted.result, 2e-5);
    for (int64_t i = 0; i < 40 * 64; ++i) expect(kept.at(i) == 0 || found[0].at(i) == 0, "a zero was lost");
  }
});

const Case joint_cases("prune_sparsegpt with a grid: rounds what stays in the same pass; the zero point stands for zero", [] {
  const Layer layer = layer_of(33, 96, 55);
  const Options all = with_grid(grid_options(4, true), 0.5);
  const std::vector<Array> scales = run_everywhere("weight_scales", {layer.weight, none()}, all);
  const std::vector<Array> found = run_everywhere("prune_sparsegpt", {layer.weight, layer.U, scales[0], scales[1], none(), none(), none(), none()}, all);
  const Solved wanted = textbook(layer.weight, layer.U, 0.5, 0, 0, 128, nullptr, &scales[0], 7);
  expect(agreement(found[1], wanted.mask) > 0.995, "masks agree in " + std::to_string(agreement(found[1], wanted.mask)));
  expect(n_zero(found[1]) == 33 * 96 / 2, "half of all");
  int64_t differing = 0;
  for (int64_t i = 0; i < 33 * 96; ++i) differing += std::fabs(found[0].at(i) * scales[0].at(i / 96) - wanted.result[static_cast<size_t>(i)]) > 1e-5;
  expect(differing < 33 * 96 / 100, std::to_string(differing) + " codes differ");

  // Asymmetric: what is zero is stored as the zero point, by any type of scale and in any order of the columns.
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16}) {
    const Options skew = with_grid(grid_options(4, false, "group", 32), 0.5);
    const Array weight = array_of(dtype, {33, 96}, [&](int64_t i) { return layer.weight.at(i) + 0.04; });
    const std::vector<Array> cells = run_everywhere("weight_scales", {weight, none()}, skew);
    std::vector<int32_t> order(96);
    for (int32_t j = 0; j < 96; ++j) order[static_cast<size_t>(j)] = (j * 5 + 3) % 96;
    const Array permutation = ints({96}, order), factor = run_everywhere("inverse_factor", {run_everywhere("gptq_factor", {layer.H, permutation}, options({{"dampening_frac", 0.01}}))[0]}, {})[0];
    const std::vector<Array> codes = run_everywhere("prune_sparsegpt", {weight, factor, cells[0], cells[1], permutation, none(), none(), none()}, skew);
    expect(n_zero(codes[1]) == 33 * 96 / 2, "half of all");
    for (int64_t i = 0; i < 33 * 96; ++i) expect(codes[1].at(i) == 0 || codes[0].at(i) == cells[1].at(i / 32), "a zero is stored as something else than its zero point");
  }
});

const Case no_pruning_cases("prune_sparsegpt with a grid and nothing to prune is quantize_gptq; with zeros to keep it keeps them", [] {
  const Layer layer = layer_of(20, 160, 66);
  const Options all = with_grid(grid_options(3, true), 0);
  const std::vector<Array> scales = run_everywhere("weight_scales", {layer.weight, none()}, all);
  const Array R = run_everywhere("gptq_factor", {layer.H, none()}, options({{"dampening_frac", 0.01}}))[0];
  const std::vector<Array> plain = run_everywhere("quantize_gptq", {layer.weight, R, scales[0], scales[1], none(), none(), none()}, all);
  const std::vector<Array> found = run_everywhere("prune_sparsegpt", {layer.weight, layer.U, scales[0], scales[1], none(), none(), none(), none()}, all);
  expect(found[0].bytes == plain[0].bytes, "other codes than GPTQ's");
  const Array kept = array_of(DType::U8, {20, 160}, [](int64_t i) { return i % 3 == 1 ? 1.0 : 0.0; });
  const std::vector<Array> sparse = run_everywhere("prune_sparsegpt", {layer.weight, layer.U, scales[0], scales[1], none(), none(), none(), kept}, all);
  expect(sparse[1].bytes == kept.bytes, "another mask");
  for (int64_t i = 0; i < 20 * 160; ++i) expect(kept.at(i) == 0 || sparse[0].at(i) == 0, "a zero was lost");
});

const Case odd_cases("prune_sparsegpt: dead columns, rows of zeros and a single column stay in order; what is not finite and what does not fit is told", [] {
  const Layer layer = layer_of(6, 16, 77);
  const Array weight = array_of(DType::F32, {6, 16}, [&](int64_t i) { return i / 16 == 2 ? 0.0 : layer.weight.at(i); }), dead = array_of(DType::U8, {16}, [](int64_t j) { return j == 5 ? 1.0 : 0.0; });
  const std::vector<Array> found = run_everywhere("prune_sparsegpt", {weight, layer.U, none(), none(), none(), none(), dead, none()}, asked(0.5));
  for (int64_t j = 0; j < 16; ++j) expect(found[0].at(2, j) == 0, "a row of zeros has become something");
  for (int64_t r = 0; r < 6; ++r) expect(found[0].at(r, 5) == 0, "a dead column is not zero");
  expect(found[2].at(2) == 0, "the loss of a row of zeros");
  auto refused = [&](const Array& W, const Array& U, const Options& all, const std::string& part) { expect_refused("prune_sparsegpt", {W, U, none(), none(), none(), none(), none(), none()}, all, part); };
  refused(array_of(DType::F32, {6, 16}, [](int64_t i) { return i == 20 ? NAN : 0.1; }), layer.U, asked(0.5), "the loss of row 1");
  refused(weight, array_of(DType::F32, {16, 16}, [&](int64_t i) { return i == 34 ? 0.0 : layer.U.at(i); }), asked(0.5), "on its diagonal at column 2");
  refused(weight, layer.U, asked(0, 2, 5), "a mask of 2:5 does not divide 16 columns");
  refused(weight, layer.U, asked(0, 5, 4), "a mask of 5:4 is not possible");
  refused(weight, layer.U, asked(0.5, 0, 0, 0), "block_size 0 is below 1");
  expect_refused("prune_sparsegpt", {weight, layer.U, none(), none(), ints({16}, std::vector<int32_t>(16, 0)), none(), none(), none()}, asked(0, 2, 4), "out of their order");
});

}  // namespace
