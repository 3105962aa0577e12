// Rotations against products with the dense matrix in double, on both axes, with pieces, gains and every dtype.
#include <bit>

#include "runner.h"

using namespace bitwright_test;

namespace {

/// Order 12, of Paley: the quadratic residues modulo 11.
Array paley12() {
  const auto character = [](int64_t a) { return a % 11 == 0 ? 0 : (a * a * a * a * a % 11 == 1 ? 1 : -1); };
  return array_of(DType::I8, {12, 12}, [&](int64_t k) -> double {
    const int64_t i = k / 12, j = k % 12;
    if (i == j) return 1;
    if (i == 0) return 1;
    if (j == 0) return -1;
    return character(((i - j) % 11 + 11) % 11);
  });
}

/// The dense matrix that the operation stands for, by its definition.
std::vector<double> dense(const Array& signs, const Array& factor) {
  const int64_t b = signs.spec.count(), K = factor.spec.shape[0];
  std::vector<double> R;
  for (int64_t i = 0; i < b; ++i)
    for (int64_t j = 0; j < b; ++j) R.push_back((std::popcount(static_cast<uint64_t>(i / K & j / K)) % 2 ? -1 : 1) * signs.at(i) * factor.at(i % K, j % K) / std::sqrt(static_cast<double>(b)));
  return R;
}

/// x turned in double: piece p of every line times R[p] (or the only one).
std::vector<double> turned(const Array& x, const Array& gain, int64_t axis, int64_t b, const std::vector<double>& R) {
  const int64_t rows = x.spec.shape[0], columns = x.spec.shape.size() < 2 ? 1 : x.spec.shape[1], pieces = static_cast<int64_t>(R.size()) / (b * b);
  std::vector<double> y(static_cast<size_t>(rows * columns));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t along = axis == 0 ? r : c, piece = along / b, j = along % b;
      double sum = 0;
      for (int64_t i = 0; i < b; ++i) {
        const int64_t from = piece * b + i;
        sum += x.at(axis == 0 ? from * columns + c : r * columns + from) * (gain.spec.present ? gain.at(from) : 1.0) * R[static_cast<size_t>(piece % pieces * b * b + i * b + j)];
      }
      y[static_cast<size_t>(r * columns + c)] = sum;
    }
  return y;
}

Options axis(int64_t axis, const char* dtype) { return options({{"axis", static_cast<double>(axis)}, {"dtype", std::string(dtype)}}); }

Array some_signs(int64_t b) {
  return array_of(DType::I8, {b}, [](int64_t i) { return i * i % 7 < 3 ? -1.0 : 1.0; });
}

const Case hadamard_cases("hadamard_transform is the product with D (S x F) / sqrt(b), on both axes, by pieces, with a gain, in every dtype", [] {
  const Array one = array_of(DType::I8, {1, 1}, [](int64_t) { return 1.0; }), twelve = paley12();
  struct Size {
    Shape shape;
    int64_t b;
  };
  for (const Array& factor : {one, twelve})
    for (const Size& size : {Size{{5, 96}, 96}, Size{{33, 48}, 24}, Size{{96, 17}, 48}, Size{{1, 48}, 12}}) {
      const int64_t K = factor.spec.shape[0], b = K == 1 ? 16 : size.b;
      const Array signs = some_signs(b), x = normal(DType::F32, size.shape, 71), gain = normal(DType::BF16, {size.shape[1]}, 72);
      const std::vector<double> R = dense(signs, factor);
      if (size.shape[1] % b == 0) {
        expect_close(run_everywhere("hadamard_transform", {x, none(), signs, factor}, axis(1, "F32"))[0], turned(x, none(), 1, b, R), 2e-7);
        expect_close(run_everywhere("hadamard_transform", {x, gain, signs, factor}, axis(1, "F32"))[0], turned(x, gain, 1, b, R), 2e-7);
      }
      if (size.shape[0] % b == 0) expect_close(run_everywhere("hadamard_transform", {x, none(), signs, factor}, axis(0, "F32"))[0], turned(x, none(), 0, b, R), 2e-7);
    }
  for (const auto& [dtype, name, unit] : {std::tuple{DType::BF16, "BF16", 1.0 / 256}, std::tuple{DType::F16, "F16", 1.0 / 2048}}) {
    const Array x = normal(dtype, {24, 24}, 73), signs = some_signs(24), bias = normal(dtype, {48}, 74);
    const std::vector<double> R = dense(signs, twelve);
    expect_close(run_everywhere("hadamard_transform", {x, none(), signs, twelve}, axis(1, name))[0], turned(x, none(), 1, 24, R), unit);
    expect_close(run_everywhere("hadamard_transform", {x, none(), signs, twelve}, axis(0, "F32"))[0], turned(x, none(), 0, 24, R), 2e-7);
    expect_close(run_everywhere("hadamard_transform", {bias, none(), signs, twelve}, axis(0, name))[0], turned(bias, none(), 0, 24, R), unit);
  }
});

const Case rotate_cases("rotate is the product with R, one for all pieces or one for each", [] {
  for (int64_t pieces : {1, 3}) {
    const Array R = normal(DType::F64, {pieces, 8, 8}, 75), x = normal(DType::F32, {35, 24}, 76), tall = normal(DType::BF16, {24, 35}, 77), gain = normal(DType::F32, {24}, 78);
    std::vector<double> values;
    for (int64_t i = 0; i < R.spec.count(); ++i) values.push_back(R.at(i));
    expect_close(run_everywhere("rotate", {x, none(), R}, axis(1, "F32"))[0], turned(x, none(), 1, 8, values), 2e-7);
    expect_close(run_everywhere("rotate", {x, gain, R}, axis(1, "BF16"))[0], turned(x, gain, 1, 8, values), 1.0 / 256);
    expect_close(run_everywhere("rotate", {tall, none(), R}, axis(0, "F32"))[0], turned(tall, none(), 0, 8, values), 2e-7);
  }
});

const Case undo_cases("a product does not change when columns of one side and rows of the other are turned alike", [] {
  const Array W = normal(DType::F32, {7, 24}, 79), V = normal(DType::F32, {24, 9}, 80), signs = some_signs(24), factor = paley12();
  const Array WR = run_everywhere("hadamard_transform", {W, none(), signs, factor}, axis(1, "F32"))[0], RV = run_everywhere("hadamard_transform", {V, none(), signs, factor}, axis(0, "F32"))[0];
  for (int64_t i = 0; i < 7; ++i)
    for (int64_t j = 0; j < 9; ++j) {
      double before = 0, after = 0;
      for (int64_t k = 0; k < 24; ++k) {
        before += W.at(i, k) * V.at(k, j);
        after += WR.at(i, k) * RV.at(k, j);
      }
      expect(std::fabs(before - after) < 1e-5, std::to_string(before) + " became " + std::to_string(after));
    }
});

const Case refusal_cases("rotations that do not fit are refused", [] {
  const Array W = normal(DType::F32, {4, 24}, 81), signs = some_signs(12), factor = paley12();
  expect_refused("hadamard_transform", {W, none(), some_signs(36), factor}, axis(1, "F32"), "36 is not a power of two times its factor of order 12");
  expect_refused("hadamard_transform", {W, none(), signs, factor}, axis(0, "F32"), "an axis of 4 is not a multiple of the rotation's 12");
  expect_refused("hadamard_transform", {W, none(), signs, factor}, axis(2, "F32"), "axis is neither 0 nor 1");
  expect_refused("hadamard_transform", {W, none(), signs, factor}, axis(1, "I8"), "dtype I8");
  expect_refused("hadamard_transform", {W, normal(DType::F32, {4}, 82), signs, factor}, axis(1, "F32"), "a gain of the number of columns");
  expect_refused("rotate", {W, none(), normal(DType::F64, {3, 12, 12}, 83)}, axis(1, "F32"), "one R, or one for each piece");
});

}  // namespace
