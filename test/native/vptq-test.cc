// VPTQ against float64: the k-means only lowers its error and finds what there is to find, indices are the nearest centroids, errors are spread as GPTQ spreads them,
// and the file's bits give back what was chosen.
#include "runner.h"

using namespace bitwright_test;

namespace {

struct Sizes {
  int64_t length = 2, count = 4, res_count = 0, groups = 1, outliers = 0;
  bool norm = false, stores_order = false;
  double kiter = 50, ktol = 0, kseed = 7, block_size = 3;
};

Options settings(const Sizes& s) {
  return options({{"vector_len", static_cast<double>(s.length)}, {"num_centroids", static_cast<double>(s.count)}, {"num_res_centroids", static_cast<double>(s.res_count)},
                  {"group_num", static_cast<double>(s.groups)}, {"outlier_size", static_cast<double>(s.outliers)}, {"outlier_num_centroids", 16.0}, {"enable_norm", s.norm},
                  {"stores_order", s.stores_order}, {"kiter", s.kiter}, {"ktol", s.ktol}, {"kseed", s.kseed}, {"block_size", s.block_size}});
}

double bits_of(int64_t count) { return count <= 1 ? 0 : std::ceil(std::log2(static_cast<double>(count))); }

/// What a reader gets of the results.
Array read_back(const std::vector<Array>& found, const Sizes& s, int64_t rows, int64_t columns, const Array& order) {
  const Array packed = run_everywhere("vptq_pack", {found[0]}, options({{"bits", bits_of(s.count) + bits_of(s.res_count)}}))[0];
  const size_t outliers_at = s.res_count > 0 ? 6 : 5;
  const bool has_outliers = s.outliers > 0;
  return run_everywhere("vptq_values", {packed, found[1], s.res_count > 0 ? found[5] : none(), has_outliers ? found[outliers_at] : none(), has_outliers ? found[outliers_at + 1] : none(), s.stores_order ? order : none(), s.norm ? found[2] : none(), s.norm ? found[3] : none()},
                        options({{"rows", static_cast<double>(rows)}, {"columns", static_cast<double>(columns)}, {"vector_len", static_cast<double>(s.length)}}))[0];
}

double weighted_error(const Array& W, const Array& back, const Array& diagonal) {
  double sum = 0;
  for (int64_t r = 0; r < W.spec.shape[0]; ++r)
    for (int64_t c = 0; c < W.spec.shape[1]; ++c) sum += (diagonal.spec.present ? diagonal.at(c) : 1.0) * std::pow(W.at(r, c) - back.at(r, c), 2);
  return sum;
}

Array importance(int64_t columns) {
  return array_of(DType::F32, {columns}, [](int64_t i) { return 0.25 + static_cast<double>(i * i % 7); });
}

const Case error_cases("vptq: no iteration of the k-means raises the weighted error, and its last one is that of the file", [] {
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16})
    for (const bool norm : {false, true})
      for (const int64_t length : {1, 2, 3, 4}) {
        const Sizes s{length, 8, 0, 1, 0, norm};
        const Array W = normal(dtype, {33, 24}, 5, 0.3), diagonal = importance(24);
        const std::vector<Array> found = run_everywhere("quantize_vptq", {W, none(), diagonal, none()}, settings(s));
        int64_t last = 0;
        for (int64_t i = 1; i < found[4].spec.shape[1] && !std::isnan(found[4].at(i)); last = i++) expect(found[4].at(i) <= found[4].at(i - 1) * (1 + 1e-6), "iteration " + std::to_string(i) + " raises the error to " + std::to_string(found[4].at(i)));
        expect(last >= 3, "only " + std::to_string(last) + " iterations were made");
        // Weights are relative to their mean over the columns; vectors are filled up with zeros, which the reader leaves out.
        if (dtype != DType::F32 || norm || 33 % length != 0) continue;
        double mean = 0;
        for (int64_t c = 0; c < 24; ++c) mean += diagonal.at(c) / 24;
        const double error = weighted_error(W, read_back(found, s, 33, 24, none()), diagonal) / mean;
        expect(std::fabs(error - found[4].at(last)) <= 1e-4 * error, "the k-means ends at " + std::to_string(found[4].at(last)) + ", the file has " + std::to_string(error));
      }
});

const Case nearest_cases("vptq: without a Hessian every index is that of the nearest centroid, and a second codebook takes what is left", [] {
  const Sizes s{3, 16, 4, 2, 0, true};
  const Array W = normal(DType::BF16, {20, 12}, 9, 0.2);
  const std::vector<Array> found = run_everywhere("quantize_vptq", {W, none(), none(), none()}, settings(s));
  for (int64_t c = 0; c < 12; ++c)
    for (int64_t v = 0; v < 7; ++v) {
      const int64_t g = c / 6, both = static_cast<int64_t>(found[0].at((g * 7 + v) * 6 + c % 6));
      double left[3];
      for (int64_t e = 0; e < 3; ++e) left[e] = 3 * v + e < 20 ? (W.at(3 * v + e, c) - found[3].at(c)) / found[2].at(c) : 0;
      int64_t at = both & 15;
      for (const auto& [book, count] : {std::pair<size_t, int64_t>{1, 16}, {5, 4}}) {
        const auto distance = [&, book = book](int64_t k) {
          double sum = 0;
          for (int64_t e = 0; e < 3 && 3 * v + e < 20; ++e) sum += std::pow(left[e] - found[book].at(g, k * 3 + e), 2);
          return sum;
        };
        for (int64_t k = 0; k < count; ++k) expect(distance(at) <= distance(k) + 1e-5, "column " + std::to_string(c) + ", vector " + std::to_string(v) + ": centroid " + std::to_string(k) + " is nearer than " + std::to_string(at));
        for (int64_t e = 0; e < 3; ++e) left[e] -= found[book].at(g, at * 3 + e);
        at = both >> 4;
      }
    }
});

/// A draw goes along sums over all vectors: taken at its word, the last bit of one weight would draw other points.
const Case draw_cases("vptq: the k-means begins with the same points where the Hessian differs by the order of its sums alone", [] {
  const Array W = normal(DType::F32, {256, 60}, 61, 0.2);
  const auto centroids = [&](double error) {
    const Array diagonal = array_of(DType::F32, {60}, [&](int64_t i) { return std::exp(2 * std::sin(static_cast<double>(i))) * (1 + error * std::cos(static_cast<double>(7 * i))); });
    return run_everywhere("quantize_vptq", {W, none(), diagonal, none()}, settings({2, 64, 0, 1, 0, true, false, 0}))[1].bytes;
  };
  const std::vector<uint8_t> expected = centroids(0);
  for (const double error : {1e-6, 1e-5, 1e-4}) expect(centroids(error) == expected, "other points with weights that are " + std::to_string(1e6 * error) + " parts in a million apart");
});

const Case enough_cases("vptq: as many centroids as there are vectors leave no error, more of them neither; a few points get the best codebook there is", [] {
  const Array W = normal(DType::F32, {4, 6}, 3);
  for (const int64_t count : {16, 64}) {
    const Sizes s{2, count};
    const std::vector<Array> found = run_everywhere("quantize_vptq", {W, none(), none(), none()}, settings(s));
    expect(found[4].at(0) == 0, "the start leaves " + std::to_string(found[4].at(0)));
    const Array back = read_back(found, s, 4, 6, none());
    for (int64_t i = 0; i < 24; ++i) expect(back.at(i) == W.at(i), "weight " + std::to_string(i) + " is " + std::to_string(back.at(i)));
  }
  // Two clusters, every split of six points into two tried: of several seeds one must find the best of them.
  const Array few = array_of(DType::F32, {1, 6}, [](int64_t i) { return std::vector<double>{-1.1, 0.2, -0.9, 1.3, 0.4, 1.0}[static_cast<size_t>(i)]; }), weights = importance(6);
  double least = INFINITY, mean = 0;
  for (int64_t c = 0; c < 6; ++c) mean += weights.at(c) / 6;
  for (int split = 1; split < 63; ++split) {
    double total[2] = {}, moment[2] = {}, error = 0;
    for (int64_t c = 0; c < 6; ++c) {
      total[split >> c & 1] += weights.at(c);
      moment[split >> c & 1] += weights.at(c) * few.at(c);
    }
    for (int64_t c = 0; c < 6; ++c) error += weights.at(c) * std::pow(few.at(c) - moment[split >> c & 1] / total[split >> c & 1], 2);
    least = std::min(least, error / mean);
  }
  double best = INFINITY;
  for (double seed = 0; seed < 8; ++seed) {
    const std::vector<Array> found = run_everywhere("quantize_vptq", {few, none(), weights, none()}, settings({1, 2, 0, 1, 0, false, false, 50, 0, seed}));
    double error = INFINITY;
    for (int64_t i = 0; i < 51 && !std::isnan(found[4].at(i)); ++i) error = found[4].at(i);
    expect(error >= least * (1 - 1e-5), "the error " + std::to_string(error) + " is below the least there is, " + std::to_string(least));
    best = std::min(best, error);
  }
  expect(best <= least * (1 + 1e-5), "the best of eight seeds is " + std::to_string(best) + ", the least there is " + std::to_string(least));
});

/// The walk in float64, textbook fashion, with the codebooks that were found.
const Case walk_cases("vptq: errors are spread through the factor as in GPTQ, in the order given, and make the output error less", [] {
  const int64_t O = 12, I = 16;
  const Array W = normal(DType::F32, {O, I}, 21), X = normal(DType::F32, {40, I}, 22);
  std::vector<double> H(static_cast<size_t>(I * I));
  for (int64_t a = 0; a < I; ++a)
    for (int64_t b = 0; b < I; ++b)
      for (int64_t t = 0; t < 40; ++t) H[static_cast<size_t>(a * I + b)] += (X.at(t, a) + 0.8 * X.at(t, (a + 1) % I)) * (X.at(t, b) + 0.8 * X.at(t, (b + 1) % I));
  const Array hessian = array_of(DType::F32, {I, I}, [&](int64_t i) { return H[static_cast<size_t>(i)]; });
  const Array diagonal = array_of(DType::F32, {I}, [&](int64_t i) { return H[static_cast<size_t>(i * I + i)]; });
  // Columns in one block have the processor's bits on every backend, those of several the same walk.
  for (const auto& [ordered, block_size] : {std::pair{false, 3.0}, {true, 3.0}, {false, 16.0}, {true, 16.0}}) {
    const Array order = ordered ? run("hessian_order", {hessian}, {}, 1)[0] : none();
    const Array factor = run("inverse_factor", {run("gptq_factor", {hessian, order}, options({{"dampening_frac", 0.01}}), 1)[0]}, {}, 1)[0];
    const Sizes s{2, 8, 0, 1, 0, true, false, 50, 0, 7, block_size};
    const std::vector<Array> found = run_everywhere("quantize_vptq", {W, factor, diagonal, order}, settings(s));
    const Array back = read_back(found, s, O, I, none());
    const auto column = [&](int64_t j) { return ordered ? static_cast<int64_t>(order.at(j)) : j; };
    std::vector<double> w(static_cast<size_t>(O * I));
    for (int64_t r = 0; r < O; ++r)
      for (int64_t j = 0; j < I; ++j) w[static_cast<size_t>(r * I + j)] = W.at(r, column(j));
    for (int64_t j = 0; j < I; ++j) {
      for (int64_t v = 0; v < O / 2; ++v) {
        const auto distance = [&](double first, double second) { return std::pow(w[static_cast<size_t>(2 * v * I + j)] - first, 2) + std::pow(w[static_cast<size_t>((2 * v + 1) * I + j)] - second, 2); };
        const double own = distance(back.at(2 * v, column(j)), back.at(2 * v + 1, column(j))), scale = found[2].at(column(j)), bias = found[3].at(column(j));
        for (int64_t k = 0; k < 8; ++k) expect(own <= distance(found[1].at(2 * k) * scale + bias, found[1].at(2 * k + 1) * scale + bias) * (1 + 1e-4) + 1e-4, "column " + std::to_string(j) + " of the walk, vector " + std::to_string(v) + ": not the nearest centroid");
      }
      for (int64_t r = 0; r < O; ++r) {
        const double error = (w[static_cast<size_t>(r * I + j)] - back.at(r, column(j))) / factor.at(j, j);
        for (int64_t k = j + 1; k < I; ++k) w[static_cast<size_t>(r * I + k)] -= error * factor.at(j, k);
      }
    }
    const auto output_error = [&](const Array& values) {
      double sum = 0;
      for (int64_t r = 0; r < O; ++r)
        for (int64_t a = 0; a < I; ++a)
          for (int64_t b = 0; b < I; ++b) sum += (W.at(r, a) - values.at(r, a)) * H[static_cast<size_t>(a * I + b)] * (W.at(r, b) - values.at(r, b));
      return sum;
    };
    // So few vectors lie well or badly with eight centroids, as the draws have it: the mean of several.
    double with_walk = 0, alone = 0;
    for (double seed = 0; seed < 16; ++seed) {
      Sizes own = s;
      own.kseed = seed;
      with_walk += output_error(read_back(run("quantize_vptq", {W, factor, diagonal, order}, settings(own), 1), own, O, I, none()));
      alone += output_error(read_back(run("quantize_vptq", {W, none(), diagonal, none()}, settings(own), 1), own, O, I, none()));
    }
    expect(with_walk < 0.8 * alone, "output error " + std::to_string(with_walk / 16) + " with the walk, " + std::to_string(alone / 16) + " without");
  }
});

const Case outlier_cases("vptq: outliers and groups along an order, rows that no vector length divides, a second codebook: all of it comes back", [] {
  const int64_t O = 21, I = 19;
  const Array W = normal(DType::F16, {O, I}, 31, 0.5);
  std::vector<int32_t> places(static_cast<size_t>(I));
  for (int64_t i = 0; i < I; ++i) places[static_cast<size_t>(i)] = static_cast<int32_t>(i * 7 % I);
  const Array order = ints({I}, places);
  double before = INFINITY;
  for (const int64_t res_count : {0, 4, 16}) {
    const Sizes s{4, 16, res_count, 2, 3, true, true};
    const std::vector<Array> found = run_everywhere("quantize_vptq", {W, none(), none(), order}, settings(s));
    expect(found.size() == (res_count > 0 ? 8u : 7u), "results");
    const double error = weighted_error(W, read_back(found, s, O, I, order), none());
    expect(error < before, std::to_string(res_count) + " residual centroids leave " + std::to_string(error) + ", fewer left " + std::to_string(before));
    before = error;
    // The first three columns of the order have 6 vectors each, 18 in all, and 16 centroids.
    double of_outliers = 0;
    const Array back = read_back(found, s, O, I, order);
    for (int64_t p = 0; p < 3; ++p)
      for (int64_t r = 0; r < O; ++r) of_outliers += std::pow(W.at(r, places[static_cast<size_t>(p)]) - back.at(r, places[static_cast<size_t>(p)]), 2);
    expect(of_outliers < 0.2 * 3 * O * 0.25, "outliers have the error " + std::to_string(of_outliers));
  }
});

/// No reference: what is searched here is found in pieces, and must be what one search finds.
const Case piece_cases("vptq: several tiles of points, codebooks that no shared memory holds, every length of vectors, centroids that lose their points: the bits of the processor", [] {
  const Array tall = normal(DType::F32, {130, 140}, 51, 0.2), wide = normal(DType::BF16, {67, 40}, 52, 0.2);
  run_everywhere("quantize_vptq", {tall, none(), importance(140), none()}, settings({2, 32, 0, 1, 0, true, false, 4}));
  for (const int64_t length : {1, 2, 3, 5, 9, 17, 40, 64}) run_everywhere("quantize_vptq", {wide, none(), importance(40), none()}, settings({length, 16, 4, 2, 4, length % 2 == 0, true, 6}));
  run_everywhere("quantize_vptq", {normal(DType::F32, {96, 30}, 53), none(), none(), none()}, settings({1, 2048, 2048, 1, 0, false, false, 1}));
  // From a start at -6, -2.5, 10 and 1000, which these seeds draw, the second centroid goes to 0 and its two points to its neighbours.
  const Array line = array_of(DType::F32, {1, 7}, [](int64_t i) { return std::vector<double>{-6, -4.3, -2.5, 2.5, 4, 10, 1000}[static_cast<size_t>(i)]; });
  const Array heavy = array_of(DType::F32, {7}, [](int64_t i) { return std::vector<double>{1, 3, 1, 1, 3, 0.3, 1}[static_cast<size_t>(i)]; });
  for (const double seed : {130.0, 159.0, 326.0}) run_everywhere("quantize_vptq", {line, none(), heavy, none()}, settings({1, 4, 0, 1, 0, false, false, 30, 0, seed}));
});

const Case odd_cases("vptq: constant columns and zeros come back exactly, weightless columns have no say, NaN and infinity are told with their column", [] {
  const Array W = array_of(DType::BF16, {8, 5}, [](int64_t i) { return i % 5 == 0 ? 0.5 : i % 5 == 1 || i / 5 == 3 ? 0.0 : std::sin(static_cast<double>(i)); });
  const Sizes s{2, 4, 0, 1, 0, true};
  const std::vector<Array> found = run_everywhere("quantize_vptq", {W, none(), none(), none()}, settings(s));
  const Array back = read_back(found, s, 8, 5, none());
  for (int64_t r = 0; r < 8; ++r) expect(back.at(r, 0) == 0.5 && back.at(r, 1) == 0, "row " + std::to_string(r) + " of the constant columns is " + std::to_string(back.at(r, 0)) + ", " + std::to_string(back.at(r, 1)));
  // Of the columns one alone weighs anything: its vectors are the codebook.
  const Array alone = array_of(DType::F32, {5}, [](int64_t i) { return i == 3 ? 2.0 : 0.0; });
  const Sizes plain{2, 4};
  const Array of_one = read_back(run_everywhere("quantize_vptq", {W, none(), alone, none()}, settings(plain)), plain, 8, 5, none());
  for (int64_t r = 0; r < 8; ++r) expect(of_one.at(r, 3) == W.at(r, 3), "row " + std::to_string(r) + " of the column that weighs is " + std::to_string(of_one.at(r, 3)));
  const Array nothing = array_of(DType::F32, {5}, [](int64_t) { return 0.0; }), zeros = array_of(DType::F32, {8, 5}, [](int64_t) { return 0.0; });
  run_everywhere("quantize_vptq", {W, none(), nothing, none()}, settings(plain));
  for (const bool norm : {false, true}) {
    const Sizes empty{2, 4, 2, 1, 0, norm};
    const Array back_zeros = read_back(run_everywhere("quantize_vptq", {zeros, none(), nothing, none()}, settings(empty)), empty, 8, 5, none());
    for (int64_t i = 0; i < 40; ++i) expect(back_zeros.at(i) == 0, "a weight of zeros is " + std::to_string(back_zeros.at(i)));
  }
  for (const double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    expect_refused("quantize_vptq", {array_of(DType::F32, {4, 6}, [&](int64_t i) { return i == 9 ? bad : 0.5; }), none(), none(), none()}, settings(plain), "column 3 has a weight");
    expect_refused("quantize_vptq", {array_of(DType::F32, {4, 6}, [](int64_t) { return 0.5; }), none(), array_of(DType::F32, {6}, [&](int64_t i) { return i == 2 ? bad : 1.0; }), none()}, settings(plain), "diag(H) at column 2");
  }
});

const Case refused_cases("vptq: sizes that make no sense are refused, each by its name", [] {
  const Array W = normal(DType::F32, {8, 6}, 1);
  const auto refused = [&](const Sizes& s, const std::string& part) { expect_refused("quantize_vptq", {W, none(), none(), none()}, settings(s), part); };
  refused({0}, "vector_len of 0");
  refused({2, 5}, "powers of two");
  refused({2, 4, 8}, "num_res_centroids 8 is above");
  refused({2, 4, 0, 4}, "group_num 4");
  refused({2, 4, 0, 1, 6}, "outlier_size 6");
  expect_refused("quantize_vptq", {W, none(), none(), ints({6}, {0, 1, 2, 3, 4, 4})}, settings({}), "names column 4 twice");
  const Array packed = ints({1, 4, 1}, {-1, 0, 0, 0}), centroids = normal(DType::F32, {1, 6}, 2);
  expect_refused("vptq_values", {packed, centroids, none(), none(), none(), none(), none(), none()}, options({{"rows", 8.0}, {"columns", 6.0}, {"vector_len", 2.0}}), "the index 3 stands for no centroid");
  expect_refused("vptq_values", {ints({1, 4, 1}, {0, 0, 0, 0}), normal(DType::F32, {1, 8}, 2), none(), ints({1, 2, 2}, {0, 1, -1, 0}), normal(DType::F32, {1, 8}, 3), none(), none(), none()}, options({{"rows", 8.0}, {"columns", 6.0}, {"vector_len", 2.0}}), "the index 4294967295 stands for no centroid");
});

const Case pack_cases("vptq_pack: every number of bits up to 32, the least first, across words", [] {
  for (int64_t bits = 1; bits <= 32; ++bits) {
    const uint64_t mask = (uint64_t{1} << bits) - 1;
    std::vector<int32_t> values;
    for (int64_t i = 0; i < 2 * 37; ++i) values.push_back(static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint64_t>(i + 1) * 2654435761u & mask)));
    const Array packed = run_everywhere("vptq_pack", {ints({1, 2, 37}, values)}, options({{"bits", static_cast<double>(bits)}}))[0];
    const int64_t words = (37 * bits + 31) / 32;
    expect(packed.spec.shape == Shape{1, 2, words}, "shape of " + std::to_string(bits) + " bits");
    for (int64_t row = 0; row < 2; ++row)
      for (int64_t bit = 0; bit < words * 32; ++bit) {
        const uint32_t got = packed.as<uint32_t>()[row * words + bit / 32] >> bit % 32 & 1u;
        const uint32_t wanted = bit < 37 * bits ? static_cast<uint32_t>(values[static_cast<size_t>(row * 37 + bit / bits)]) >> bit % bits & 1u : 0u;
        expect(got == wanted, "bit " + std::to_string(bit) + " with " + std::to_string(bits) + " bits each");
      }
  }
});

}  // namespace
