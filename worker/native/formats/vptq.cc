// Weights of vectors as the vptq package stores them (release 0.0.5, config.json: quant_method vptq): indices in a stream of bits, codebooks, and the weight again.
//
//   indices        I32 [groups, vectors, ⌈columns · bits / 32⌉]: index c of a vector row in bits c · bits …, the least first; C's index below that of C_res
//   place p        columns of outliers first, then those of the groups one behind the other; column perm[p] of the weight, p itself without perm
//   value          rd(rd(rd(C[i] + C_res[j]) · scale) + bias) in the dtype of the codebook, as torch computes it
//
//   vptq_pack      indices I32 [groups, vectors, columns] → packed
//   vptq_values    packed, centroids [groups, k·v], res_centroids or none, outlier indices I32 [1, vectors of 4, n] or none, outlier_centroids or none,
//                  perm I32 [I] or none, scale [I] or none, bias [I] or none → weight [O, I]
//
// Cost: O · I.
#include <atomic>

#include "core/convert.h"
#include "formats/formats.h"
#include "quantizers/grid.h"

namespace bitwright {
namespace {

int64_t bits_of(int64_t count) {
  int64_t bits = 0;
  while (int64_t{1} << bits < count) ++bits;
  return bits;
}

struct Layout {
  int64_t rows, columns, length, count, res_count, outlier_length, outliers, groups, bits;
  int64_t group_size() const { return (columns - outliers) / groups; }
  int64_t vectors() const { return (rows + length - 1) / length; }
  int64_t outlier_vectors() const { return (rows + outlier_length - 1) / outlier_length; }
  int64_t words() const { return (group_size() * bits + 31) / 32; }
};

Status read_layout(const Specs& in, const Options& options, Layout& s) {
  const auto refuse = [&] { return mismatch("packed indices I32, codebooks in a weight dtype, outliers, perm I32, scale and bias that fit rows, columns and vector_len", in); };
  if (in.size() != 8 || !in[0].present || !in[1].present || in[0].dtype != DType::I32 || in[0].shape.size() != 3 || !is_weight(in[1].dtype) || in[1].shape.size() != 2 || in[0].shape[0] < 1) return refuse();
  s = {options.integer("rows"), options.integer("columns"), options.integer("vector_len"), 0, 0, options.integer("outlier_vector_len", 4), in[3].present && in[3].shape.size() == 3 ? in[3].shape[2] : 0, in[0].shape[0], 0};
  if (s.rows < 1 || s.columns < 1 || s.length < 1 || s.outlier_length < 1 || s.outliers >= s.columns || (s.columns - s.outliers) % s.groups != 0 || in[1].shape[0] != s.groups || in[1].shape[1] % s.length != 0) return refuse();
  s.count = in[1].shape[1] / s.length;
  const bool has_res = in[2].present;
  if (has_res && (in[2].dtype != in[1].dtype || in[2].shape.size() != 2 || in[2].shape[0] != s.groups || in[2].shape[1] % s.length != 0)) return refuse();
  s.res_count = has_res ? in[2].shape[1] / s.length : 0;
  if (s.count < 1 || s.count > 65536 || s.res_count > s.count || (has_res && s.res_count < 1)) return refuse();
  s.bits = bits_of(s.count) + bits_of(s.res_count);
  const bool outliers_fit = !in[3].present ? !in[4].present
                                           : in[3].dtype == DType::I32 && in[3].shape == Shape{1, s.outlier_vectors(), s.outliers} && in[4].present && in[4].dtype == in[1].dtype && in[4].shape.size() == 2 &&
                                                 in[4].shape[0] == 1 && in[4].shape[1] >= s.outlier_length && in[4].shape[1] % s.outlier_length == 0;
  const auto per_column = [&](const TensorSpec& spec, DType dtype) { return !spec.present || (spec.dtype == dtype && spec.shape == Shape{s.columns}); };
  if (!outliers_fit || in[0].shape != Shape{s.groups, s.vectors(), s.words()} || !per_column(in[5], DType::I32) || !per_column(in[6], in[1].dtype) || !per_column(in[7], in[1].dtype) || in[6].present != in[7].present) return refuse();
  return Status::fine();
}

}  // namespace

Operation vptq_pack_operation() {
  return {"vptq_pack",
          [](const Specs& in, const Options& options, Specs& out) {
            const int64_t bits = options.integer("bits", -1);
            if (in.size() != 1 || in[0].dtype != DType::I32 || in[0].shape.size() != 3) return mismatch("indices I32 [groups, vectors, columns]", in);
            if (bits < 0 || bits > 32) return Status::error("indices of " + std::to_string(bits) + " bits are not packed into words of 32");
            out = {{DType::I32, {in[0].shape[0], in[0].shape[1], (in[0].shape[2] * bits + 31) / 32}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            const int64_t bits = options.integer("bits"), columns = in[0].extent(2), words = out[0].extent(2);
            const uint64_t mask = (uint64_t{1} << bits) - 1;
            context.pool.parallel_chunks(in[0].extent(0) * in[0].extent(1), 64, [&](int64_t begin, int64_t end) {
              for (int64_t v = begin; v < end; ++v) {
                uint64_t held = 0;
                int64_t n_held = 0, word = 0;
                for (int64_t c = 0; c < columns; ++c) {
                  held |= (in[0].as<uint32_t>()[v * columns + c] & mask) << n_held;
                  n_held += bits;
                  if (n_held < 32) continue;
                  out[0].as<uint32_t>()[v * words + word++] = static_cast<uint32_t>(held);
                  held >>= 32;
                  n_held -= 32;
                }
                if (n_held > 0) out[0].as<uint32_t>()[v * words + word] = static_cast<uint32_t>(held);
              }
            });
            return Status::fine();
          }};
}

Operation vptq_values_operation() {
  return {"vptq_values",
          [](const Specs& in, const Options& options, Specs& out) {
            Layout s;
            if (Status status = read_layout(in, options, s); !status.ok()) return status;
            out = {{in[1].dtype, {s.rows, s.columns}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            Layout s;
            (void)read_layout(Specs(in.begin(), in.end()), options, s);
            if (Status status = check_permutation(in[5], s.columns); !status.ok()) return status;
            const int64_t low = bits_of(s.count), n_outlier_centroids = in[4].present ? in[4].extent(1) / s.outlier_length : 0;
            const uint64_t mask = (uint64_t{1} << s.bits) - 1;
            std::atomic<int64_t> unknown{-1};
            with_weight_type(in[1].dtype, [&](auto type) {
              using T = decltype(type);
              using Stored = typename T::Stored;
              context.pool.parallel_chunks(s.rows, 16, [&](int64_t begin, int64_t end) {
                for (int64_t r = begin; r < end; ++r)
                  for (int64_t p = 0; p < s.columns; ++p) {
                    const int64_t column = in[5].present ? in[5].as<int32_t>()[p] : p;
                    float value = 0;
                    if (p < s.outliers) {
                      const int64_t index = in[3].as<int32_t>()[r / s.outlier_length * s.outliers + p];
                      if (index < 0 || index >= n_outlier_centroids) {
                        unknown = index;
                        continue;
                      }
                      value = T::load(in[4].as<Stored>()[index * s.outlier_length + r % s.outlier_length]);
                    } else {
                      const int64_t group = (p - s.outliers) / s.group_size(), at = (p - s.outliers) % s.group_size() * s.bits;
                      const uint32_t* words = in[0].as<uint32_t>() + (group * s.vectors() + r / s.length) * s.words();
                      uint64_t held = s.bits == 0 ? 0 : words[at / 32];
                      if (at % 32 + s.bits > 32) held |= static_cast<uint64_t>(words[at / 32 + 1]) << 32;
                      const uint64_t both = held >> at % 32 & mask;
                      const auto index = static_cast<int64_t>(both & ((uint64_t{1} << low) - 1)), second = static_cast<int64_t>(both >> low);
                      if (index >= s.count || (s.res_count > 0 && second >= s.res_count)) {
                        unknown = index >= s.count ? index : second;
                        continue;
                      }
                      value = T::load(in[1].as<Stored>()[(group * s.count + index) * s.length + r % s.length]);
                      if (s.res_count > 0) value = rounded_to<T>(value + T::load(in[2].as<Stored>()[(group * s.res_count + second) * s.length + r % s.length]));
                    }
                    if (in[6].present) value = rounded_to<T>(rounded_to<T>(value * T::load(in[6].as<Stored>()[column])) + T::load(in[7].as<Stored>()[column]));
                    out[0].as<Stored>()[r * s.columns + column] = T::store(value);
                  }
              });
            });
            if (unknown >= 0) return Status::error("the index " + std::to_string(unknown) + " stands for no centroid");
            return Status::fine();
          }};
}

}  // namespace bitwright
