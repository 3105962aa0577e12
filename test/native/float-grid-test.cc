// The float grids: every code against a float64 table written from the definition of the format, rounding of every float16 value against a search in that table,
// and the scales of FP8, NVFP4 and MX against float64 formulas.
#include <limits>

#include "quantizers/float-grid.h"
#include "runner.h"

using namespace bitwright_test;

namespace {

/// Values of a format with a sign, `exponent` bits biased by `bias` and `mantissa` bits; NaN for the codes that stand for none.
std::vector<double> table_of(int exponent_bits, int mantissa_bits, int bias, bool last_is_nan) {
  const int n = 1 << (1 + exponent_bits + mantissa_bits);
  std::vector<double> table;
  for (int code = 0; code < n; ++code) {
    const int magnitude = code & (n / 2 - 1), exponent = magnitude >> mantissa_bits, mantissa = magnitude & ((1 << mantissa_bits) - 1);
    const double fraction = static_cast<double>(mantissa) / (1 << mantissa_bits);
    const double value = exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
    table.push_back(last_is_nan && magnitude == n / 2 - 1 ? std::nan("") : code >= n / 2 ? -value : value);
  }
  return table;
}
const std::vector<double> e4m3 = table_of(4, 3, 7, true), e2m1 = table_of(2, 1, 1, false);

/// Code of the nearest value with the sign of x; of two that are equally near, the even one.
int nearest(const std::vector<double>& table, double x) {
  const int half = static_cast<int>(table.size()) / 2, first = std::signbit(x) ? half : 0;
  int best = first;
  for (int code = first; code < first + half; ++code) {
    const double distance = std::fabs(table[static_cast<size_t>(code)] - x), smallest = std::fabs(table[static_cast<size_t>(best)] - x);
    if (distance < smallest || (distance == smallest && code % 2 == 0)) best = code;
  }
  return best;
}

Options args(int num_bits, const std::string& strategy, int group_size = 0, bool mx = false) {
  Options all = options({{"num_bits", static_cast<double>(num_bits)}, {"symmetric", true}, {"type", std::string("float")}, {"strategy", strategy}, {"group_size", static_cast<double>(group_size)}, {"observer", std::string("minmax")}});
  if (mx) all.set("mx", true);
  return all;
}
Options block_args(int rows, int columns) {
  Options all = args(8, "block");
  all.set("block_rows", static_cast<double>(rows));
  all.set("block_columns", static_cast<double>(columns));
  return all;
}

const Case code_cases("every code of E4M3 and E2M1 is the value of the format, and comes back from it", [] {
  expect(e4m3[0x7e] == 448 && e4m3[1] == std::ldexp(1, -9) && e2m1[7] == 6 && e2m1[1] == 0.5, "the table");
  for (int code = 0; code < 256; ++code) {
    const float value = bitwright::e4m3_value(static_cast<uint8_t>(code));
    const double wanted = e4m3[static_cast<size_t>(code)];
    if (std::isnan(wanted)) {
      expect(std::isnan(value), "code " + std::to_string(code) + " is NaN");
      continue;
    }
    expect(value == wanted && std::signbit(value) == std::signbit(wanted), "E4M3 code " + std::to_string(code) + " is " + std::to_string(value));
    expect(bitwright::e4m3_code(value) == code && bitwright::round_to_e4m3(value) == value, "E4M3 value " + std::to_string(value));
  }
  for (int code = 0; code < 16; ++code) {
    const float value = bitwright::e2m1_value(static_cast<uint8_t>(code));
    const double wanted = e2m1[static_cast<size_t>(code)];
    expect(value == wanted && std::signbit(value) == std::signbit(wanted), "E2M1 code " + std::to_string(code) + " is " + std::to_string(value));
    expect(bitwright::e2m1_code(value) == code && bitwright::round_to_e2m1(value) == value, "E2M1 value " + std::to_string(value));
  }
  for (int code = 0; code < 255; ++code) {
    const float value = bitwright::e8m0_value(static_cast<uint8_t>(code));
    expect(value == std::ldexp(1.0, code - 127) && bitwright::e8m0_code(value) == code, "E8M0 code " + std::to_string(code));
  }
});

const Case rounding_cases("rounding to E4M3 and E2M1 finds the nearest value for every float16 and for values beside the borders", [] {
  auto check = [](float x) {
    if (std::fabs(x) <= 448) expect(bitwright::e4m3_code(bitwright::round_to_e4m3(x)) == nearest(e4m3, x), "E4M3 of " + std::to_string(x));
    if (std::fabs(x) <= 6) expect(bitwright::e2m1_code(bitwright::round_to_e2m1(x)) == nearest(e2m1, x), "E2M1 of " + std::to_string(x));
  };
  for (int bits = 0; bits < 65536; ++bits)
    if (const float x = bitwright::f16_to_float(static_cast<uint16_t>(bits)); std::isfinite(x)) check(x);
  for (const std::vector<double>* table : {&e4m3, &e2m1})
    for (size_t code = 0; code + 1 < table->size() / 2; ++code) {
      if (std::isnan((*table)[code + 1])) continue;
      const float border = static_cast<float>(((*table)[code] + (*table)[code + 1]) / 2);
      for (float x : {border, std::nextafter(border, 0.0f), std::nextafter(border, 1000.0f)}) check(x), check(-x);
    }
  check(std::numeric_limits<float>::denorm_min());
  check(-1e-30f);
});

const Case storage_cases("4-bit codes and E8M0 scales round-trip through storage, in the order of the columns", [] {
  const Array codes = array_of(DType::U8, {16, 16}, [](int64_t i) { return (i % 16 + i / 16) % 16; });
  const Array packed = run_everywhere("pack_fp4", {codes}, {})[0];
  expect(packed.spec.shape == Shape{16, 8} && packed.as<uint8_t>()[0] == 0x10, "the even column is the low nibble");
  expect(run_everywhere("unpack_fp4", {packed}, {})[0].bytes == codes.bytes, "unpacked");
  const Array bytes = array_of(DType::U8, {15, 17}, [](int64_t i) { return static_cast<double>(i); });
  const Array scales = run_everywhere("e8m0_scales", {bytes}, {})[0];
  for (int64_t i = 0; i < 255; ++i) expect(scales.at(i) == std::ldexp(1.0, static_cast<int>(i) - 127), "scale " + std::to_string(i));
  expect(run_everywhere("e8m0_codes", {scales}, {})[0].bytes == bytes.bytes, "codes of scales");
  expect_refused("e8m0_codes", {array_of(DType::F32, {1, 1}, [](int64_t) { return 0.75; })}, {}, "no power of two");
});

const Case scale_cases("FP8 and FP4 weights: scales of every strategy, and every code the nearest one of the rounded quotient", [] {
  for (DType dtype : {DType::F32, DType::BF16, DType::F16})
    for (const auto& [name, all, num_bits] : {std::tuple{"tensor", args(8, "tensor"), 8}, {"channel", args(8, "channel"), 8}, {"group", args(8, "group", 16), 8}, {"block", block_args(24, 20), 8},
                                              {"mx8", args(8, "group", 32, true), 8}, {"mx4", args(4, "group", 32, true), 4}}) {
      const int64_t O = 65, I = 64;
      const Array weight = normal(dtype, {O, I}, 41, 0.05);
      const std::vector<Array> scales = run_everywhere("weight_scales", {weight, none()}, all);
      const Array q = run_everywhere("quantize_rtn", {weight, scales[0], scales[1], none()}, all)[0];
      const Array back = run_everywhere("dequantize", {q, scales[0], scales[1], none()}, all)[0];
      const std::string text = name;
      const int64_t r_size = text == "tensor" ? O : text == "block" ? 24 : 1, c_size = text == "block" ? 20 : text == "group" ? 16 : text[0] == 'm' ? 32 : I;
      const std::vector<double>& table = num_bits == 8 ? e4m3 : e2m1;
      auto rounded = [&](double x) { return array_of(dtype, {1}, [&](int64_t) { return x; }).at(0); };
      const int64_t n_groups = (I + c_size - 1) / c_size;
      expect(scales[0].spec.count() == (O + r_size - 1) / r_size * n_groups, text + " has " + std::to_string(scales[0].spec.count()) + " scales");
      for (int64_t r = 0; r < O; ++r)
        for (int64_t c = 0; c < I; ++c) {
          double largest = 0;
          for (int64_t i = r / r_size * r_size; i < std::min(O, r / r_size * r_size + r_size); ++i)
            for (int64_t j = c / c_size * c_size; j < std::min(I, c / c_size * c_size + c_size); ++j) largest = std::max(largest, std::fabs(weight.at(i, j)));
          int exponent;
          const double significand = std::frexp(largest, &exponent) * 2;
          const double wanted = text[0] == 'm' ? std::ldexp(1.0, exponent - 1 + (significand >= 1.75) - (num_bits == 8 ? 8 : 2)) : rounded(largest / 448);
          const double scale = scales[0].at(r / r_size * n_groups + c / c_size);
          expect(scale == wanted, text + ": scale " + std::to_string(scale) + ", expected " + std::to_string(wanted));
          const double quotient = std::clamp(rounded(weight.at(r, c) / scale), -table[table.size() / 2 - 2 + (num_bits == 4)], table[table.size() / 2 - 2 + (num_bits == 4)]);
          const int code = q.as<uint8_t>()[r * I + c];
          expect(code == nearest(table, quotient), text + ": code " + std::to_string(code) + " of " + std::to_string(quotient));
          expect(back.at(r, c) == rounded(table[static_cast<size_t>(code)] * scale), text + ": the weight that comes back");
        }
    }
});

const Case zero_cases("an all-zero cell: epsilon for FP8, the smallest power of two for MX (1 where F16 has none), 0.125 under G = 1 for NVFP4; -0 becomes 0", [] {
  for (DType dtype : {DType::F32, DType::BF16, DType::F16}) {
    const Array weight = array_of(dtype, {2, 32}, [](int64_t i) { return i % 2 ? -0.0 : 0.0; });
    const double epsilon = dtype == DType::BF16 ? 0.0078125 : dtype == DType::F16 ? 0.0009765625 : 1.1920928955078125e-7;
    const std::vector<Array> plain = run_everywhere("weight_scales", {weight, none()}, args(8, "channel"));
    expect(plain[0].at(1) == epsilon, "FP8 scale " + std::to_string(plain[0].at(1)));
    const Array q = run_everywhere("quantize_rtn", {weight, plain[0], plain[1], none()}, args(8, "channel"))[0];
    for (int64_t i = 0; i < 64; ++i) expect(q.as<uint8_t>()[i] == 0, "-0 has code " + std::to_string(q.as<uint8_t>()[i]));
    const std::vector<Array> mx = run_everywhere("weight_scales", {weight, none()}, args(4, "group", 32, true));
    expect(mx[0].at(0) == (dtype == DType::F16 ? 1.0 : std::ldexp(1.0, -127)), "MX scale");
    const std::vector<Array> largest = run_everywhere("weight_scales", {weight, none()}, args(4, "tensor_group", 16));
    const Array zero = array_of(DType::F32, {1}, [](int64_t) { return 0.0; });
    const Array G = run_everywhere("global_scale", {zero}, options({{"dtype", std::string(bitwright::name_of(dtype))}}))[0];
    expect(G.at(0) == 1, "global scale of zeros " + std::to_string(G.at(0)));
    const Array local = run_everywhere("tensor_group_scales", {largest[0], G}, {})[0];
    expect(bitwright::e4m3_value(local.as<uint8_t>()[0]) == 0.125f, "local scale of zeros");
  }
});

const Case nvfp4_cases("NVFP4: both levels of scales and the codes against float64", [] {
  for (DType dtype : {DType::F32, DType::BF16, DType::F16}) {
    auto rounded = [&](double x) { return array_of(dtype, {1}, [&](int64_t) { return x; }).at(0); };
    const Array weight = normal(dtype, {33, 48}, 42, 0.05);
    const Options all = args(4, "tensor_group", 16);
    const Array largest = run_everywhere("weight_scales", {weight, none()}, all)[0];
    double most = 0;
    for (int64_t i = 0; i < largest.spec.count(); ++i) most = std::max(most, largest.at(i));
    const Array G = run_everywhere("global_scale", {array_of(DType::F32, {1}, [&](int64_t) { return most; })}, options({{"dtype", std::string(bitwright::name_of(dtype))}}))[0];
    expect(G.at(0) == rounded(rounded(1 / most) * 2688), "global scale " + std::to_string(G.at(0)));
    const Array local = run_everywhere("tensor_group_scales", {largest, G}, {})[0];
    const Array effective = run_everywhere("effective_scales", {local, G}, {})[0];
    const Array zero_points = array_of(DType::I8, {33, 3}, [](int64_t) { return 0.0; });
    const Array q = run_everywhere("quantize_rtn", {weight, effective, zero_points, none()}, all)[0];
    const Array back = run_everywhere("dequantize", {q, effective, zero_points, none()}, all)[0];
    for (int64_t r = 0; r < 33; ++r)
      for (int64_t c = 0; c < 48; ++c) {
        const int64_t cell = r * 3 + c / 16;
        double a = 0;
        for (int64_t j = c / 16 * 16; j < c / 16 * 16 + 16; ++j) a = std::max(a, std::fabs(weight.at(r, j)));
        expect(largest.at(cell) == a, "largest of the group");
        const float product = static_cast<float>(G.at(0) * rounded(a / 6));
        const int scale_code = local.as<uint8_t>()[cell];
        expect(scale_code == nearest(e4m3, std::min<double>(product, 448)), "local scale " + std::to_string(scale_code));
        expect(effective.at(cell) == static_cast<float>(e4m3[static_cast<size_t>(scale_code)] / G.at(0)), "effective scale");
        const double quotient = std::clamp<double>(static_cast<float>(weight.at(r, c) / effective.at(cell)), -6, 6);
        const int code = q.as<uint8_t>()[r * 48 + c];
        expect(code == nearest(e2m1, quotient), "code " + std::to_string(code) + " of " + std::to_string(quotient));
        expect(back.at(r, c) == static_cast<float>(e2m1[static_cast<size_t>(code)] * effective.at(cell)), "the weight that comes back");
      }
  }
});

const Case search_cases("the mse search on float grids never does worse than the range", [] {
  const Array weight = normal(DType::F32, {48, 64}, 43);
  for (const Options& plain : {args(8, "tensor"), args(8, "channel"), block_args(20, 24), args(4, "group", 32, true)}) {
    Options search = plain;
    search.set("observer", std::string("mse"));
    for (const auto& [name, value] : {std::pair{"maxshrink", 0.2}, {"patience", 5.0}, {"grid", 100.0}, {"norm", 2.0}}) search.set(name, value);
    double errors[2] = {};
    for (int i = 0; i < 2; ++i) {
      const Options& all = i == 0 ? plain : search;
      const std::vector<Array> scales = run_everywhere("weight_scales", {weight, none()}, all);
      const Array q = run("quantize_rtn", {weight, scales[0], scales[1], none()}, all, 1)[0];
      const Array back = run("dequantize", {q, scales[0], scales[1], none()}, all, 1)[0];
      for (int64_t j = 0; j < weight.spec.count(); ++j) errors[i] += std::pow(weight.at(j) - back.at(j), 2);
    }
    expect(errors[1] <= errors[0], "mse " + std::to_string(errors[1]) + ", minmax " + std::to_string(errors[0]));
  }
});

const Case gptq_cases("GPTQ with an identity Hessian is round to nearest, on every float grid", [] {
  const int64_t I = 64;
  const Array U = array_of(DType::F32, {I, I}, [&](int64_t i) { return i / I == i % I ? 1.0 : 0.0; });
  const Array weight = normal(DType::F32, {70, I}, 44, 0.05);
  for (Options all : {args(8, "tensor"), args(8, "channel"), args(8, "group", 16), block_args(24, 20), args(8, "group", 32, true), args(4, "group", 32, true)}) {
    all.set("block_size", 24.0);
    const std::vector<Array> scales = run_everywhere("weight_scales", {weight, none()}, all);
    const Array nearest_codes = run("quantize_rtn", {weight, scales[0], scales[1], none()}, all, 1)[0];
    const std::vector<Array> solved = run_everywhere("quantize_gptq", {weight, U, scales[0], scales[1], none(), none(), none()}, all);
    expect(solved[0].spec.dtype == nearest_codes.spec.dtype && solved[0].bytes == nearest_codes.bytes, "codes differ");
  }
});

const Case input_cases("inputs on float grids: per token, per group, MX and local scales against float64", [] {
  const Array x = normal(DType::F32, {37, 64}, 45, 3);
  auto check = [&](const Array& y, int64_t length, const std::vector<double>& table, const std::function<double(double)>& scale_of) {
    const double most = table[table.size() / 2 - (table.size() == 256 ? 2 : 1)];
    for (int64_t i = 0; i < x.spec.count(); ++i) {
      double largest = 0;
      for (int64_t j = i / length * length; j < i / length * length + length; ++j) largest = std::max(largest, std::fabs(x.at(j)));
      const double scale = scale_of(largest);
      const int code = nearest(table, std::clamp<double>(static_cast<float>(x.at(i) / scale), -most, most));
      expect(y.at(i) == static_cast<float>(table[static_cast<size_t>(code)] * scale), "input " + std::to_string(x.at(i)) + " became " + std::to_string(y.at(i)));
    }
  };
  const auto plain = [](double largest) { return static_cast<double>(static_cast<float>(largest / 448)); };
  check(run_everywhere("fake_quantize_dynamic", {x}, args(8, "token"))[0], 64, e4m3, plain);
  check(run_everywhere("fake_quantize_dynamic", {x}, args(8, "group", 16))[0], 16, e4m3, plain);
  for (int num_bits : {4, 8})
    check(run_everywhere("fake_quantize_dynamic", {x}, args(num_bits, "group", 32, true))[0], 32, num_bits == 8 ? e4m3 : e2m1, [&](double largest) {
      int exponent;
      const double significand = std::frexp(largest, &exponent) * 2;
      return std::ldexp(1.0, exponent - 1 + (significand >= 1.75) - (num_bits == 8 ? 8 : 2));
    });
  const Array G = array_of(DType::F32, {1}, [](int64_t) { return 230.5; });
  check(run_everywhere("fake_quantize_local", {x, G}, args(4, "tensor_group", 16))[0], 16, e2m1, [](double largest) {
    const double local = std::min<double>(static_cast<float>(230.5f * static_cast<float>(largest / 6)), 448);
    return static_cast<double>(static_cast<float>(e4m3[static_cast<size_t>(nearest(e4m3, local))] / 230.5));
  });
  const Array range = array_of(DType::F32, {2}, [](int64_t i) { return i == 0 ? -3.5 : 2.25; });
  const Options static_args = options({{"num_bits", 8.0}, {"symmetric", true}, {"type", std::string("float")}, {"strategy", std::string("tensor")}, {"scale_dtype", std::string("F32")}});
  const Array scale = run_everywhere("activation_scale", {range}, static_args)[0];
  expect(scale.at(0) == static_cast<float>(3.5 / 448), "static scale " + std::to_string(scale.at(0)));
  const Array y = run_everywhere("fake_quantize_static", {x, scale, none()}, static_args)[0];
  for (int64_t i = 0; i < x.spec.count(); ++i) {
    const int code = nearest(e4m3, std::clamp<double>(static_cast<float>(x.at(i) / scale.at(0)), -448, 448));
    expect(y.at(i) == static_cast<float>(e4m3[static_cast<size_t>(code)] * scale.at(0)), "static input " + std::to_string(x.at(i)));
  }
});

const Case refused_cases("what a float grid cannot be is refused by name", [] {
  const Array weight = normal(DType::F32, {4, 32}, 46);
  Options asymmetric = args(8, "channel"), six = args(6, "channel"), integers = args(4, "tensor_group", 16), empty = block_args(0, 4);
  asymmetric.set("symmetric", false);
  integers.set("type", std::string("int"));
  expect_refused("weight_scales", {weight, none()}, asymmetric, "floats are symmetric");
  expect_refused("weight_scales", {weight, none()}, six, "floats have 4 or 8 bits");
  expect_refused("weight_scales", {weight, none()}, integers, "are for floats");
  expect_refused("weight_scales", {weight, none()}, empty, "has no weights");
  expect_refused("fake_quantize_dynamic", {weight}, args(8, "group", 24), "does not divide");
});

}  // namespace
