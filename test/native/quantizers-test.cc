// Scales, round to nearest, GPTQ and packing: worked values of the format, exact arithmetic per dtype, and a float64 GPTQ written from the algorithm box.
#include "runner.h"

using namespace bitwright_test;

namespace {

Options args(int num_bits, bool symmetric, const std::string& strategy, int group_size = 0) {
  return options({{"num_bits", static_cast<double>(num_bits)}, {"symmetric", symmetric}, {"strategy", strategy}, {"group_size", static_cast<double>(group_size)}, {"observer", std::string("minmax")}});
}

Array row(const std::vector<double>& values) {
  return array_of(DType::F32, {1, static_cast<int64_t>(values.size())}, [&](int64_t i) { return values[static_cast<size_t>(i)]; });
}

/// Scale, zero point and codes of a weight.
std::vector<Array> round_to_nearest(const Array& weight, const Options& all) {
  std::vector<Array> scales = run_everywhere("weight_scales", {weight, none()}, all);
  scales.push_back(run_everywhere("quantize_rtn", {weight, scales[0], scales[1], none()}, all)[0]);
  return scales;
}

uint32_t packed_word(const Array& codes, int num_bits, int64_t word) {
  const Array words = run_everywhere("pack_int32", {codes}, options({{"num_bits", static_cast<double>(num_bits)}, {"axis", 1.0}}))[0];
  return words.as<uint32_t>()[word];
}

const Case worked_cases("worked values of compressed-tensors: scales and packed words", [] {
  const Array values = row({0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.75});
  const std::vector<Array> four = round_to_nearest(values, args(4, true, "group", 8));
  expect(four[0].as<float>()[0] == 0.1f, "scale of int4 is " + std::to_string(four[0].at(0)));
  expect(packed_word(four[2], 4, 0) == 0x0f2d4b69u, "int4 word");
  expect(packed_word(round_to_nearest(values, args(3, true, "group", 8))[2], 3, 0) == 0x001ce55cu, "int3 word");
  const Array sevens = round_to_nearest(row({1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7}), args(4, true, "channel"))[2];
  expect(packed_word(sevens, 4, 0) == 0x9fedcba9u && packed_word(sevens, 4, 1) == 0x00fedcbau, "two int4 words");
  const Array ties = round_to_nearest(row({7.5, -7.5, 0.5, 1.5, 2.5, -0.5, -1.5, 3.49}), args(4, true, "channel"))[2];
  expect(packed_word(ties, 4, 0) == 0xb68aa80fu, "ties round to even");
});

const Case zero_cases("an all-zero cell gets the epsilon of its dtype as scale and zero point 0", [] {
  for (const auto& [dtype, epsilon] : {std::pair{DType::BF16, 0.0078125}, {DType::F16, 0.0009765625}, {DType::F32, 1.1920928955078125e-7}})
    for (bool symmetric : {true, false}) {
      const std::vector<Array> result = round_to_nearest(array_of(dtype, {2, 4}, [](int64_t) { return 0.0; }), args(4, symmetric, "channel"));
      expect(result[0].at(0) == epsilon && result[1].at(0) == 0 && result[2].at(0) == 0, "scale " + std::to_string(result[0].at(0)));
    }
});

const Case pack_cases("packing round-trips every width along both axes, unused bits are 0", [] {
  for (int num_bits = 1; num_bits <= 8; ++num_bits)
    for (const Shape& shape : {Shape{1, 1}, Shape{3, 33}, Shape{65, 40}}) {
      const int low = -(1 << (num_bits - 1)), n_codes = 1 << num_bits;
      const Array codes = array_of(DType::I8, shape, [&](int64_t i) { return low + static_cast<int>(i * 7 % n_codes); });
      for (int axis : {0, 1}) {
        const Options packing = options({{"num_bits", static_cast<double>(num_bits)}, {"axis", static_cast<double>(axis)}, {"rows", static_cast<double>(shape[0])}, {"columns", static_cast<double>(shape[1])}});
        const Array words = run_everywhere("pack_int32", {codes}, packing)[0];
        const int64_t used = (axis == 1 ? shape[1] : shape[0]) * num_bits % 32;
        if (axis == 1 && used != 0) expect(words.as<uint32_t>()[words.spec.shape[1] - 1] >> used == 0, "bits behind the last column");
        expect(run_everywhere("unpack_int32", {words}, packing)[0].bytes == codes.bytes, std::to_string(num_bits) + " bits, axis " + std::to_string(axis));
      }
    }
});

const Case nearest_cases("round to nearest stays within half a step, for every dtype, strategy and width", [] {
  for (DType dtype : {DType::F32, DType::BF16, DType::F16})
    for (const std::string strategy : {"tensor", "channel", "group"})
      for (int num_bits = 2; num_bits <= 8; ++num_bits)
        for (bool symmetric : {true, false}) {
          const Array weight = normal(dtype, {65, 48}, 21, 0.05);
          const Options all = args(num_bits, symmetric, strategy, strategy == "group" ? 16 : 0);
          const std::vector<Array> result = round_to_nearest(weight, all);
          const Array back = run_everywhere("dequantize", {result[2], result[0], result[1], none()}, all)[0];
          // Half a step, the symmetric grid's missing top code (another half), and three roundings of the dtype on values up to 2^num_bits steps.
          const double unit = dtype == DType::BF16 ? 1.0 / 256 : dtype == DType::F16 ? 1.0 / 2048 : 1e-6, steps = 1.01 + 3 * unit * (1 << num_bits);
          for (int64_t r = 0; r < 65; ++r)
            for (int64_t c = 0; c < 48; ++c) {
              const double scale = result[0].at(strategy == "tensor" ? 0 : strategy == "channel" ? r : r * 3 + c / 16);
              expect(std::fabs(back.at(r, c) - weight.at(r, c)) <= steps * scale, "weight " + std::to_string(weight.at(r, c)) + " became " + std::to_string(back.at(r, c)) + ", scale " + std::to_string(scale));
            }
        }
});

const Case search_cases("the mse search never does worse than the range", [] {
  const Array weight = normal(DType::F32, {8, 64}, 22);
  Options plain = args(3, true, "channel"), search = plain;
  search.set("observer", std::string("mse"));
  for (const auto& [name, value] : {std::pair{"maxshrink", 0.2}, {"patience", 5.0}, {"grid", 100.0}, {"norm", 2.0}}) search.set(name, value);
  double errors[2] = {};
  for (int i = 0; i < 2; ++i) {
    const Options& all = i == 0 ? plain : search;
    const std::vector<Array> result = round_to_nearest(weight, all);
    const Array back = run("dequantize", {result[2], result[0], result[1], none()}, all, 1)[0];
    for (int64_t j = 0; j < weight.spec.count(); ++j) errors[i] += std::pow(weight.at(j) - back.at(j), 2);
  }
  expect(errors[1] < errors[0], "mse " + std::to_string(errors[1]) + ", minmax " + std::to_string(errors[0]));
});

// ---- GPTQ ----------------------------------------------------------------------------------------------------------------

/// The Hessian 2 XᵀX of inputs that a random matrix mixes; column `dead` of X is zero when it is not negative.
Array hessian_of(int64_t n, int64_t n_tokens, int64_t dead = -1, double correlation = 0.3) {
  Array x = normal(DType::F32, {n_tokens, n}, 31), mix = normal(DType::F32, {n, n}, 32, correlation);
  std::vector<double> mixed(static_cast<size_t>(n_tokens * n));
  for (int64_t t = 0; t < n_tokens; ++t)
    for (int64_t c = 0; c < n; ++c) {
      double sum = x.at(t, c);
      for (int64_t k = 0; k < n; ++k) sum += x.at(t, k) * mix.at(k, c);
      mixed[static_cast<size_t>(t * n + c)] = c == dead ? 0 : sum;
    }
  const Array inputs = array_of(DType::F32, {n_tokens, n}, [&](int64_t i) { return mixed[static_cast<size_t>(i)]; });
  const Array zero = array_of(DType::F32, {n, n}, [](int64_t) { return 0.0; });
  return run_everywhere("hessian_accumulate", {zero, inputs}, options({{"decay", 1.0}, {"weight", 2.0}}), 1)[0];
}

/// Inverse of a symmetric positive definite matrix in float64, by Gauss-Jordan.
std::vector<double> inverse_of(std::vector<double> A, int64_t n) {
  std::vector<double> inverse(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) inverse[static_cast<size_t>(i * n + i)] = 1;
  for (int64_t p = 0; p < n; ++p) {
    const double pivot = A[static_cast<size_t>(p * n + p)];
    for (int64_t c = 0; c < n; ++c) A[static_cast<size_t>(p * n + c)] /= pivot, inverse[static_cast<size_t>(p * n + c)] /= pivot;
    for (int64_t r = 0; r < n; ++r) {
      const double factor = A[static_cast<size_t>(r * n + p)];
      if (r == p || factor == 0) continue;
      for (int64_t c = 0; c < n; ++c) {
        A[static_cast<size_t>(r * n + c)] -= factor * A[static_cast<size_t>(p * n + c)];
        inverse[static_cast<size_t>(r * n + c)] -= factor * inverse[static_cast<size_t>(p * n + c)];
      }
    }
  }
  return inverse;
}

std::vector<double> damped(const Array& H, double fraction) {
  const int64_t n = H.spec.shape[0];
  std::vector<double> A(static_cast<size_t>(n * n));
  double mean = 0;
  for (int64_t i = 0; i < n * n; ++i) A[static_cast<size_t>(i)] = H.at(i);
  for (int64_t i = 0; i < n; ++i) {
    double& diagonal = A[static_cast<size_t>(i * n + i)];
    if (diagonal == 0) diagonal = 1;
    mean += diagonal / static_cast<double>(n);
  }
  for (int64_t i = 0; i < n; ++i) A[static_cast<size_t>(i * n + i)] += fraction * mean;
  return A;
}

const Case factor_cases("gptq_factor: R Rᵀ is the damped Hessian, and UᵀU of inverse_factor its inverse, over several tiles and with dead columns", [] {
  for (int64_t n : {1, 64, 172, 300, 520}) {
    const Array H = hessian_of(n, 2 * n + 50, n > 1 ? 3 : -1);
    const std::vector<Array> result = run_everywhere("gptq_factor", {H, none()}, options({{"dampening_frac", 0.01}}));
    const Array U = run_everywhere("inverse_factor", {result[0]}, {})[0];
    const std::vector<double> A = damped(H, 0.01), expected = inverse_of(A, n);
    std::vector<float> product(static_cast<size_t>(n * n)), square(product.size());
    for (int64_t k = 0; k < n; ++k)
      for (int64_t i = k; i < n; ++i)
        for (int64_t j = k; j < n; ++j) product[static_cast<size_t>(i * n + j)] += static_cast<float>(U.at(k, i) * U.at(k, j));
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t k = std::max(i, j); k < n; ++k) square[static_cast<size_t>(i * n + j)] += static_cast<float>(result[0].at(i, k) * result[0].at(j, k));
        expect(j >= i || (result[0].at(i, j) == 0 && U.at(i, j) == 0), "below the diagonal");
      }
    expect_close(array_of(DType::F32, {n, n}, [&](int64_t i) { return square[static_cast<size_t>(i)]; }), A, 1e-5);
    const Array answer = array_of(DType::F32, {n, n}, [&](int64_t i) { return product[static_cast<size_t>(i)]; });
    // The condition number with this damping is about 1e3: F32 gives 1e-4.
    expect_close(answer, expected, 1e-3);
    expect(result[1].at(0) == 0.01 && result[1].at(1) == (n > 1 ? 1 : 0) && result[1].at(2) == 0, "info of the factorization");
  }
});

const Case damping_cases("a Hessian that is not positive definite raises the damping and says so, or fails by name", [] {
  const int64_t n = 8;
  // Eigenvalues 1 - 1.05 · (n - 1) / n … : indefinite, rescued by damping near 0.1.
  const Array indefinite = array_of(DType::F32, {n, n}, [&](int64_t i) { return i / n == i % n ? 1.0 : 1.05; });
  const std::vector<Array> result = run_everywhere("gptq_factor", {indefinite, none()}, options({{"dampening_frac", 0.01}}));
  expect(result[1].at(0) > 0.05 && result[1].at(2) >= 2, "damping " + std::to_string(result[1].at(0)) + ", retries " + std::to_string(result[1].at(2)));
  const Array hopeless = array_of(DType::F32, {n, n}, [&](int64_t i) { return i / n == i % n ? 1.0 : 50.0; });
  expect_refused("gptq_factor", {hopeless, none()}, options({{"dampening_frac", 0.01}}), "not positive definite");
  const Array poisoned = array_of(DType::F32, {n, n}, [&](int64_t i) { return i == 9 ? NAN : 1.0; });
  expect_refused("gptq_factor", {poisoned, none()}, options({{"dampening_frac", 0.01}}), "diag(H) at column 1");
});

/// The algorithm box in float64: Hinv updated by removing one row and column after the other.
std::vector<int> reference_gptq(const Array& weight, const Array& H, const Array& scale, int num_bits, int64_t group_size, const std::vector<int32_t>& order) {
  const int64_t O = weight.spec.shape[0], n = weight.spec.shape[1], n_groups = n / group_size;
  const std::vector<double> A = damped(H, 0.01);
  std::vector<double> permuted(A.size()), W(static_cast<size_t>(O * n));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) permuted[static_cast<size_t>(i * n + j)] = A[static_cast<size_t>(order[static_cast<size_t>(i)] * n + order[static_cast<size_t>(j)])];
  std::vector<double> Hinv = inverse_of(permuted, n);
  std::vector<int> codes(static_cast<size_t>(O * n));
  for (int64_t r = 0; r < O; ++r)
    for (int64_t j = 0; j < n; ++j) W[static_cast<size_t>(r * n + j)] = H.at(order[static_cast<size_t>(j)] * n + order[static_cast<size_t>(j)]) == 0 ? 0 : weight.at(r, order[static_cast<size_t>(j)]);
  const double qmin = -std::ldexp(1, num_bits - 1), qmax = -qmin - 1;
  for (int64_t j = 0; j < n; ++j) {
    const int64_t column = order[static_cast<size_t>(j)];
    const double d = Hinv[static_cast<size_t>(j * n + j)];
    for (int64_t r = 0; r < O; ++r) {
      const double s = scale.at(r * n_groups + column / group_size), w = W[static_cast<size_t>(r * n + j)];
      const double q = std::nearbyint(std::fmin(std::fmax(w / s, qmin), qmax));
      codes[static_cast<size_t>(r * n + column)] = static_cast<int>(q);
      for (int64_t k = j; k < n; ++k) W[static_cast<size_t>(r * n + k)] -= (w - q * s) / d * Hinv[static_cast<size_t>(j * n + k)];
    }
    const std::vector<double> pivot(Hinv.begin() + j * n, Hinv.begin() + (j + 1) * n);
    for (int64_t i = j + 1; i < n; ++i)
      for (int64_t k = j + 1; k < n; ++k) Hinv[static_cast<size_t>(i * n + k)] -= pivot[static_cast<size_t>(i)] * pivot[static_cast<size_t>(k)] / d;
  }
  return codes;
}

const Case gptq_cases("quantize_gptq gives the codes of the float64 algorithm, for several shapes, blocks and orders", [] {
  for (const Shape& shape : {Shape{1, 16}, Shape{65, 48}, Shape{70, 160}})
    for (int block_size : {1, 16, 40, 128})
      for (const auto& [ordered, correlated] : {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
        const int64_t n = shape[1];
        const Array weight = normal(DType::F32, shape, 41), H = hessian_of(n, 30 * n, 5, correlated ? 0.3 : 0.0);
        Options all = args(4, true, "group", 16);
        all.set("block_size", static_cast<double>(block_size));
        const std::vector<Array> scales = run("weight_scales", {weight, none()}, all, 1);
        const Array order = ordered ? run_everywhere("hessian_order", {H}, {})[0] : none(), dead = run_everywhere("dead_columns", {H}, {})[0];
        const Array R = run("gptq_factor", {H, order}, options({{"dampening_frac", 0.01}}), 1)[0];
        const Array codes = run_everywhere("quantize_gptq", {weight, R, scales[0], scales[1], order, none(), dead}, all)[0];
        std::vector<int32_t> columns;
        for (int64_t i = 0; i < n; ++i) columns.push_back(ordered ? static_cast<int32_t>(order.at(i)) : static_cast<int32_t>(i));
        const std::vector<int> expected = reference_gptq(weight, H, scales[0], 4, 16, columns);
        // A value that lies within F32's error of a rounding border may take the other code, which moves the rest of its row by whole steps: on correlated
        // inputs a few rows go another way that is as good. So the codes are compared where columns hardly interact, and the error everywhere.
        int64_t n_different = 0;
        for (int64_t i = 0; i < codes.spec.count(); ++i) n_different += static_cast<int>(codes.at(i)) != expected[static_cast<size_t>(i)];
        if (!correlated) expect(n_different * 500 <= codes.spec.count(), std::to_string(n_different) + " of " + std::to_string(codes.spec.count()) + " codes differ, block " + std::to_string(block_size));
        const Array reference = array_of(DType::I8, shape, [&](int64_t i) { return expected[static_cast<size_t>(i)]; });
        double errors[2];
        for (int i = 0; i < 2; ++i) {
          const Array back = run("dequantize", {i == 0 ? codes : reference, scales[0], scales[1], none()}, all, 1)[0];
          errors[i] = run("hessian_error", {weight, back, H}, {}, 1)[0].at(0);
        }
        expect(std::fabs(errors[0] - errors[1]) <= 0.01 * errors[1], "output error " + std::to_string(errors[0]) + ", reference " + std::to_string(errors[1]));
        for (int64_t r = 0; r < shape[0]; ++r) expect(codes.at(r, 5) == 0, "a dead column is not zero");
      }
});

const Case identity_cases("GPTQ with an identity Hessian is round to nearest", [] {
  for (DType dtype : {DType::F32, DType::BF16}) {
    const Array weight = normal(dtype, {65, 64}, 42), eye = array_of(DType::F32, {64, 64}, [](int64_t i) { return i / 64 == i % 64; });
    Options all = args(4, false, "channel");
    all.set("block_size", 32.0);
    const std::vector<Array> scales = run("weight_scales", {weight, none()}, all, 1);
    const Array R = run("gptq_factor", {eye, none()}, options({{"dampening_frac", 0.0}}), 1)[0];
    const Array codes = run_everywhere("quantize_gptq", {weight, R, scales[0], scales[1], none(), none(), none()}, all)[0];
    const Array nearest = run("quantize_rtn", {weight, scales[0], scales[1], none()}, all, 1)[0];
    // BF16 round to nearest rounds the quotient to BF16 first, the solver does not: 8 bits of quotient move a code at a border only.
    int64_t n_different = 0;
    for (int64_t i = 0; i < codes.spec.count(); ++i) n_different += codes.at(i) != nearest.at(i);
    expect(n_different * (dtype == DType::F32 ? 1000000 : 30) <= codes.spec.count(), std::to_string(n_different) + " codes differ");
  }
});

const Case better_cases("GPTQ's output error is below round to nearest's on correlated inputs", [] {
  const Array weight = normal(DType::BF16, {64, 128}, 43), H = hessian_of(128, 400);
  Options all = args(3, true, "channel");
  all.set("block_size", 128.0);
  const std::vector<Array> scales = run("weight_scales", {weight, none()}, all, 1);
  const Array R = run("gptq_factor", {H, none()}, options({{"dampening_frac", 0.01}}), 1)[0];
  double errors[2];
  for (int i = 0; i < 2; ++i) {
    const Array codes = i == 0 ? run("quantize_rtn", {weight, scales[0], scales[1], none()}, all, 1)[0] : run_everywhere("quantize_gptq", {weight, R, scales[0], scales[1], none(), none(), none()}, all)[0];
    const Array back = run("dequantize", {codes, scales[0], scales[1], none()}, all, 1)[0];
    errors[i] = run_everywhere("hessian_error", {weight, back, H}, {})[0].at(0);
  }
  expect(errors[1] < 0.7 * errors[0], "GPTQ " + std::to_string(errors[1]) + ", round to nearest " + std::to_string(errors[0]));
});

}  // namespace
