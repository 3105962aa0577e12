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

#include "formats/formats.h"
#include "formats/vptq-stream.h"

namespace bitwright {

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
            context.pool.parallel_chunks(in[0].extent(0) * in[0].extent(1), 64, [&](int64_t begin, int64_t end) {
              for (int64_t v = begin; v < end; ++v)
                for (int64_t word = 0; word < words; ++word) out[0].as<uint32_t>()[v * words + word] = vptq_word(in[0].as<uint32_t>() + v * columns, columns, bits, word);
            });
            return Status::fine();
          }};
}

Operation vptq_values_operation() {
  return {"vptq_values",
          [](const Specs& in, const Options& options, Specs& out) {
            VptqLayout s;
            if (Status status = read_layout(in, options, s); !status.ok()) return status;
            out = {{in[1].dtype, {s.rows, s.columns}}};
            return Status::fine();
          },
          [](RunContext& context, const Views& in, const Views& out, const Options& options) {
            VptqLayout s;
            (void)read_layout(Specs(in.begin(), in.end()), options, s);
            if (Status status = check_permutation(in[5], s.columns); !status.ok()) return status;
            std::atomic<int64_t> unknown{-1};
            with_weight_type(in[1].dtype, [&](auto type) {
              using T = decltype(type);
              const VptqFile<T> file(s, in);
              context.pool.parallel_chunks(s.rows, 16, [&](int64_t begin, int64_t end) {
                for (int64_t r = begin; r < end; ++r)
                  for (int64_t p = 0; p < s.columns; ++p) {
                    float value = 0;
                    const int64_t column = file.column_of(p), fault = file.value(r, p, column, value);
                    if (fault < 0) out[0].as<typename T::Stored>()[r * s.columns + column] = T::store(value);
                    else unknown = fault;
                  }
              });
            });
            if (unknown >= 0) return Status::error(vptq_no_centroid(unknown));
            return Status::fine();
          }};
}

}  // namespace bitwright
