// What operations answer to inputs that are wrong or not finite: a sentence, never a crash, and nothing that is lost on the way.
#include <algorithm>
#include <map>

#include "core/operations.h"
#include "runner.h"

using namespace bitwright_test;

namespace {

std::vector<bitwright::Operation> every_operation() {
  std::vector<bitwright::Operation> all;
  for (const bitwright::OperationList& list : {bitwright::storage_operations(), bitwright::forward_operations(), bitwright::observer_operations(), bitwright::quantizer_operations(), bitwright::pruning_operations(),
                                               bitwright::transform_operations(), bitwright::format_operations(), bitwright::metric_operations()})
    all.insert(all.end(), list.begin(), list.end());
  return all;
}

const Case arity_cases("every operation refuses no inputs, and one that it does not know", [] {
  for (const bitwright::Operation& operation : every_operation())
    for (const std::vector<Array>& inputs : {std::vector<Array>{}, std::vector<Array>(9, normal(DType::F32, {2, 2}, 1))}) {
      bool refused = false;
      try {
        run(operation.name, inputs, {}, 1);
      } catch (const Failure& failure) {
        refused = failure.text.find(operation.name) != std::string::npos;
      }
      expect(refused, std::string(operation.name) + " took " + std::to_string(inputs.size()) + " inputs, or refused them without its name");
    }
});

struct Call {
  std::string operation;
  bitwright::Specs inputs;
  Options options;
};

/// One call of every operation that is in order.
std::vector<Call> calls_in_order() {
  constexpr DType F32 = DType::F32, I32 = DType::I32, I8 = DType::I8;
  const TensorSpec absent{DType::U8, {-1}, false}, W{F32, {4, 8}}, H{F32, {8, 8}}, x{F32, {6, 8}}, q{I8, {4, 8}}, scale{F32, {4, 2}}, zero_point{I8, {4, 2}}, per_column{I32, {8}}, per_token{I32, {6}}, s{F32, {8}};
  const Options grid = options({{"num_bits", 4.0}, {"symmetric", true}, {"strategy", std::string("group")}, {"group_size", 4.0}, {"observer", std::string("minmax")}, {"block_size", 3.0}, {"n_sweeps", 2.0}, {"n_iters", 2.0}});
  Options ternary = grid;
  ternary.set("levels", std::string("ternary"));
  const Options blocks = options({{"blocksize", 16.0}, {"rows", 4.0}, {"columns", 8.0}, {"dtype", std::string("BF16")}});
  const Options heads = options({{"n_heads", 2.0}, {"n_kv_heads", 2.0}, {"head_dim", 4.0}, {"scale", 0.5}, {"sliding_window", 0.0}});
  const Options pruning = options({{"sparsity", 0.5}, {"mask_n", 0.0}, {"mask_m", 0.0}, {"block_size", 3.0}, {"epsilon", 0.0}});
  const Options packing = options({{"num_bits", 4.0}, {"axis", 1.0}, {"rows", 4.0}, {"columns", 8.0}});
  const Options tokens = options({{"num_bits", 8.0}, {"symmetric", false}, {"strategy", std::string("token")}, {"scale_dtype", std::string("BF16")}});
  const Options floats = options({{"num_bits", 4.0}, {"symmetric", true}, {"type", std::string("float")}, {"strategy", std::string("tensor_group")}, {"group_size", 4.0}});
  return {{"cast", {W}, options({{"dtype", std::string("BF16")}})},
          {"reshape", {W}, options({{"shape", std::string("8,4")}})},
          {"narrow", {W}, options({{"start", 1.0}, {"length", 2.0}})},
          {"gather_columns", {W, per_column}, {}},
          {"stack_rows", {W, x, W}, {}},
          {"embedding", {W, per_token}, {}},
          {"linear", {x, W, {F32, {4}}}, {}},
          {"rmsnorm", {x, s}, options({{"eps", 1e-5}})},
          {"add", {x, x}, {}},
          {"silu_mul", {x, x}, {}},
          {"rope", {x, {F32, {3, 2}}, {F32, {3, 2}}, per_token}, heads},
          {"attention", {x, x, x, {I32, {2}}}, heads},
          {"cross_entropy", {x, per_token}, {}},
          {"logit_divergence", {x, x, per_token}, {}},
          {"linear_backward", {x, H}, {}},
          {"rmsnorm_backward", {x, s, x}, options({{"eps", 1e-5}})},
          {"silu_mul_backward", {x, x, x}, {}},
          {"attention_backward", {x, x, x, {I32, {2}}, x}, heads},
          {"cross_entropy_backward", {x, per_token}, {}},
          {"argmax", {x}, {}},
          {"store_rows", {x, x, per_token}, {}},
          {"cached_attention", {x, x, x, per_token}, heads},
          {"fake_quantize_dynamic", {x}, tokens},
          {"fake_quantize_local", {x, {F32, {1}}}, floats},
          {"fake_quantize_static", {x, {F32, {1}}, {I8, {1}}}, tokens},
          {"hessian_accumulate", {H, x}, options({{"decay", 0.5}, {"weight", 0.5}})},
          {"hessian_diagonal", {H}, {}},
          {"column_range_accumulate", {{F32, {2, 8}}, x}, {}},
          {"column_moments_accumulate", {{bitwright::DType::F64, {5, 8}}, x}, {}},
          {"range_accumulate", {{F32, {2}}, x}, {}},
          {"fisher_accumulate", {H, x, x}, {}},
          {"weighted_accumulate", {H, H}, options({{"decay", 0.5}, {"weight", 0.5}})},
          {"activation_scale", {{F32, {2}}}, tokens},
          {"weight_scales", {W, absent}, grid},
          {"hqq_scales", {W, scale, zero_point}, grid},
          {"absmean_scales", {W, absent}, ternary},
          {"histogram_accumulate", {{DType::I64, {8}}, {DType::F64, {4}}, x}, {}},
          {"search_scales", {W, absent, s}, grid},
          {"activation_ranges", {x}, grid},
          {"quantize_rtn", {W, scale, zero_point, per_column}, grid},
          {"dequantize", {q, scale, zero_point, absent}, grid},
          {"clipped_share", {W, scale, zero_point, absent}, grid},
          {"global_scale", {{F32, {1}}}, options({{"dtype", std::string("BF16")}})},
          {"tensor_group_scales", {scale, {F32, {1}}}, {}},
          {"effective_scales", {{DType::F8_E4M3, {4, 2}}, {F32, {1}}}, {}},
          {"gptq_factor", {H, absent}, options({{"dampening_frac", 0.01}})},
          {"inverse_factor", {H}, {}},
          {"hessian_order", {H}, {}},
          {"dead_columns", {H}, {}},
          {"prune_magnitude", {W}, pruning},
          {"prune_wanda", {W, s}, pruning},
          {"prune_sparsegpt", {W, H, absent, absent, absent, absent, {DType::U8, {8}}, {DType::U8, {4, 8}}}, pruning},
          {"zero_mask", {W}, pruning},
          {"quantize_gptq", {W, H, scale, zero_point, absent, absent, {DType::U8, {8}}}, grid},
          {"quantize_beacon", {W, H, H, scale, zero_point, {DType::U8, {8}}, absent}, grid},
          {"quantize_comq", {W, H, scale, zero_point, {DType::U8, {4, 8}}}, grid},
          {"quantize_gpfq", {W, H, H, scale, zero_point, {DType::U8, {4, 8}}}, grid},
          {"corrected_weight", {W, H, H, H}, {}},
          {"qronos_start", {W, W, H, H, H, scale, zero_point, absent}, grid},
          {"cross_hessian_accumulate", {H, x, x}, options({{"decay", 0.5}, {"weight", 0.5}})},
          {"column_absmax_accumulate", {s, W}, {}},
          {"smoothquant_scales", {{F32, {2, 8}}, s}, options({{"algorithm", std::string("smoothquant")}, {"smoothing_strength", 0.5}})},
          {"multiply_columns", {W, s}, {}},
          {"divide_rows", {W, {F32, {4}}}, {}},
          {"column_abs_sum_accumulate", {{DType::F64, {8}}, x}, {}},
          {"awq_weight_sum_accumulate", {{DType::F64, {8}}, W}, grid},
          {"awq_scales", {{DType::F64, {8}}, {DType::F64, {8}}}, options({{"n_tokens", 6.0}, {"n_rows", 4.0}, {"ratio", 0.5}})},
          {"divide_columns", {W, s}, {}},
          {"squared_error_accumulate", {{DType::F64, {1}}, x, x}, {}},
          {"hadamard_transform", {W, absent, {I8, {8}}, {I8, {2, 2}}}, options({{"axis", 1.0}, {"dtype", std::string("F32")}})},
          {"rotate", {W, absent, {DType::F64, {2, 4, 4}}}, options({{"axis", 1.0}, {"dtype", std::string("BF16")}})},
          {"cell_errors", {W, W, H}, grid},
          {"clip_cells", {W, scale}, grid},
          {"low_rank_residual", {W, W, H}, options({{"rank", 2.0}})},
          {"residual_columns", {W, W, {I32, {3}}}, {}},
          {"output_shift", {W, W, {DType::F64, {8}}, {DType::F64, {8}}}, {}},
          {"variance_sums", {W, W, W, W}, {}},
          {"pack_int32", {q}, packing},
          {"unpack_int32", {{I32, {4, 1}}}, packing},
          {"pack_fp4", {{DType::U8, {4, 8}}}, {}},
          {"unpack_fp4", {{DType::U8, {4, 4}}}, {}},
          {"e8m0_codes", {scale}, {}},
          {"e8m0_scales", {{DType::U8, {4, 2}}}, {}},
          {"blockwise_codes", {W, {F32, {16}}}, blocks},
          {"blockwise_values", {{DType::U8, {32}}, {F32, {2}}, {F32, {16}}, absent}, blocks},
          {"center", {{F32, {5}}}, {}},
          {"gguf_encode", {{F32, {2, 256}}, {F32, {256}}}, options({{"gguf_type", std::string("Q4_K")}})},
          {"gguf_decode", {{DType::U8, {2, 144}}}, options({{"gguf_type", std::string("Q4_K")}})},
          {"pack_nibbles", {{DType::U8, {9}}}, {}},
          {"unpack_nibbles", {{DType::U8, {5, 1}}}, options({{"count", 9.0}})},
          {"quantize_vptq", {W, H, s, absent}, options({{"vector_len", 2.0}, {"num_centroids", 4.0}, {"num_res_centroids", 2.0}, {"kiter", 3.0}, {"enable_norm", true}})},
          {"vptq_pack", {{I32, {2, 2, 9}}}, options({{"bits", 5.0}})},
          {"vptq_values", {{I32, {1, 2, 1}}, {F32, {1, 8}}, absent, absent, absent, absent, s, s}, options({{"rows", 4.0}, {"columns", 8.0}, {"vector_len", 2.0}})},
          {"compare", {W, W}, {}},
          {"hessian_error", {W, W, H}, {}},
          {"fisher_error", {W, W, W}, {}},
          {"histogram", {W}, options({{"n_bins", 4.0}, {"min", -1.0}, {"max", 1.0}})},
          {"summary", {W}, {}}};
}

/// Each call as it is and with one or two things changed by chance: what is refused names the operation, what is accepted runs or says why not,
/// alike on 1 and 3 threads.
const Case chance_cases("calls that are wrong by chance are refused or run, alike at any thread count", [] {
  std::mt19937 generator(77);
  auto pick = [&](auto... choices) {
    const std::common_type_t<decltype(choices)...> all[] = {choices...};
    return all[generator() % sizeof...(choices)];
  };
  auto change = [&](Call& call) {
    const Shape shapes[] = {{}, {0}, {1}, {2}, {6}, {8}, {0, 8}, {4, 0}, {0, 0}, {1, 8}, {4, 8}, {8, 8}, {6, 8}, {4, 2}, {2, 2, 8}};
    TensorSpec& input = call.inputs[generator() % call.inputs.size()];
    switch (generator() % 8) {
      case 0: input = {DType::U8, {-1}, false}; break;
      case 1: input.dtype = pick(DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32, DType::I8, DType::U8, DType::F8_E4M3); break;
      case 2: input.shape = shapes[generator() % 15]; break;
      case 3: std::swap(input, call.inputs[generator() % call.inputs.size()]); break;
      case 4: call.inputs.push_back(call.inputs[0]); break;
      case 5: call.inputs.pop_back(); break;
      case 6: call.options.set(pick("num_bits", "group_size", "block_size", "head_dim", "n_heads", "n_kv_heads", "sliding_window", "start", "length", "n_bins", "axis", "rows", "columns", "block_rows", "block_columns", "dampening_frac", "max", "scale", "sparsity", "mask_n", "mask_m"),
                               pick(-1.0, 0.0, 1.0, 2.0, 3.0, 8.0, 9.0, double{NAN}));
        break;
      default: call.options.set(pick("strategy", "observer", "type", "dtype", "scale_dtype", "shape", "algorithm"), std::string(pick("", "tensor", "channel", "block", "tensor_group", "float", "mse", "F32", "F16", "I8", "-4,-8", "x", "32", "log_equalization")));
    }
  };
  std::map<std::string, int> n_run;
  for (int round = 0; round < 60; ++round)
    for (Call call : calls_in_order()) {
      for (int n = round == 0 ? 0 : pick(1, 1, 2); n > 0 && !call.inputs.empty(); --n) change(call);
      std::vector<Array> inputs;
      const bool has_odd_values = round > 0 && generator() % 4 == 0;
      for (const TensorSpec& spec : call.inputs) {
        if (!spec.present) {
          inputs.push_back(none());
          continue;
        }
        int64_t nth = 0;
        inputs.push_back(array_of(spec.dtype, spec.shape, [&](int64_t) {
          if (has_odd_values && generator() % 20 == 0) return spec.dtype <= DType::BF16 ? pick(double{NAN}, double{INFINITY}, 0.0) : pick(-1.0, 100.0);
          return static_cast<double>(spec.shape == Shape{2} ? 6 * nth++ : round == 0 ? 1 : pick(0, 0, 1, 1));
        }));
      }
      std::string told[2];
      std::vector<Array> answers[2];
      for (int i = 0; i < 2; ++i) {
        try {
          answers[i] = run(call.operation, inputs, call.options, i == 0 ? 1 : 3);
          if (round == 0) ++n_run[call.operation];
        } catch (const Failure& failure) {
          told[i] = failure.text;
          expect(failure.text.find(call.operation) != std::string::npos, "\"" + failure.text + "\" does not name " + call.operation);
        } catch (const Skipped& lacking) {
          // One operation that this backend lacks does not end the case of all others.
          told[i] = lacking.reason;
          ++n_run[call.operation];
        }
      }
      expect(told[0] == told[1], call.operation + ": \"" + told[0] + "\" and \"" + told[1] + "\"");
      for (size_t i = 0; i < answers[0].size(); ++i) expect(answers[0][i].bytes == answers[1][i].bytes, call.operation + ": other bytes with 3 threads");
    }
  std::string never;
  for (const bitwright::Operation& operation : every_operation())
    if (n_run[operation.name] == 0 && std::string(operation.name) != "gptq_factor") never += std::string(" ") + operation.name;
  expect(never == "", "no call in order for" + never);
});

const Case weight_cases("a weight that is NaN or infinite has no scale, and GPTQ does not round it", [] {
  Options all = options({{"num_bits", 4.0}, {"symmetric", true}, {"strategy", std::string("group")}, {"group_size", 32.0}, {"block_size", 128.0}});
  const Array unit = array_of(DType::F32, {64, 64}, [](int64_t i) { return i % 65 == 0 ? 1.0 : 0.0; });
  const Array scale = array_of(DType::F32, {3, 2}, [](int64_t) { return 0.1; }), zero_point = array_of(DType::I8, {3, 2}, [](int64_t) { return 0.0; });
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16})
    for (const double value : {NAN, INFINITY, -INFINITY}) {
      const Array weight = array_of(dtype, {3, 64}, [&](int64_t i) { return i == 64 + 50 ? value : 0.5; });
      for (const std::string observer : {"minmax", "mse"}) {
        all.set("observer", observer);
        expect_refused("weight_scales", {weight, none()}, all, "NaN or infinite in row 1");
      }
      expect_refused("quantize_gptq", {weight, unit, scale, zero_point, none(), none(), none()}, all, "the loss of row 1");
    }
});

const Case permutation_cases("an order of columns that leaves one out is refused", [] {
  const Array H = array_of(DType::F32, {3, 3}, [](int64_t i) { return i % 4 == 0 ? 1.0 : 0.0; }), weight = normal(DType::F32, {2, 3}, 1), scale = array_of(DType::F32, {2, 1}, [](int64_t) { return 1.0; });
  const Array zero_point = array_of(DType::I8, {2, 1}, [](int64_t) { return 0.0; });
  const Options all = options({{"num_bits", 4.0}, {"symmetric", true}, {"strategy", std::string("channel")}, {"observer", std::string("minmax")}, {"block_size", 128.0}, {"dampening_frac", 0.01}});
  for (const auto& [order, part] : {std::pair{ints({3}, {0, 2, 2}), "column 2 twice"}, {ints({3}, {0, 1, 3}), "names column 3"}, {ints({3}, {-1, 1, 2}), "names column -1"}}) {
    expect_refused("gptq_factor", {H, order}, all, part);
    expect_refused("weight_scales", {weight, order}, all, part);
    expect_refused("quantize_gptq", {weight, H, scale, zero_point, order, none(), none()}, all, part);
    expect_refused("qronos_start", {weight, weight, H, H, H, scale, zero_point, order}, all, part);
  }
});

const Case activation_cases("a NaN or infinity among the inputs of a layer is told where it is used", [] {
  const Array H = array_of(DType::F32, {4, 4}, [](int64_t) { return 0.0; });
  for (const double value : {NAN, INFINITY}) {
    const Array x = array_of(DType::F32, {300, 4}, [&](int64_t i) { return i == 4 * 200 + 2 ? value : 1.0; });
    const Array poisoned = run("hessian_accumulate", {H, x}, options({{"decay", 0.0}, {"weight", 1.0}}), 2, 1)[0];
    expect_refused("gptq_factor", {poisoned, none()}, options({{"dampening_frac", 0.01}}), "diag(H) at column 2");
    const Array ranges = run("column_range_accumulate", {array_of(DType::F32, {2, 4}, [](int64_t) { return 1.0; }), x}, {}, 2, 1)[0];
    expect_refused("smoothquant_scales", {ranges, array_of(DType::F32, {4}, [](int64_t) { return 1.0; })}, options({{"algorithm", std::string("smoothquant")}, {"smoothing_strength", 0.5}}), "channel 2");
  }
});

const Case awq_cases("a NaN or infinity among the inputs of a layer is told by AWQ's scales", [] {
  for (const double value : {NAN, INFINITY}) {
    const Array x = array_of(DType::F32, {300, 4}, [&](int64_t i) { return i == 4 * 200 + 2 ? value : 1.0; });
    const Array sums = run("column_abs_sum_accumulate", {array_of(DType::F64, {4}, [](int64_t) { return 0.0; }), x}, {}, 2, 1)[0];
    expect_refused("awq_scales", {sums, none()}, options({{"n_tokens", 300.0}, {"ratio", 0.5}}), "channel 2");
  }
});

const Case passing_cases("a NaN passes through the forward pass and through quantized activations to the loss", [] {
  const Array x = array_of(DType::F32, {3, 8}, [](int64_t i) { return i == 10 ? NAN : 1.0; });
  const Options grid = options({{"num_bits", 8.0}, {"symmetric", true}, {"strategy", std::string("token")}});
  const Array scale = array_of(DType::F32, {1}, [](int64_t) { return 0.1; });
  for (const Array& y : {run("fake_quantize_dynamic", {x}, grid, 1)[0], run("fake_quantize_static", {x, scale, none()}, grid, 1)[0], run("rmsnorm", {x, array_of(DType::F32, {8}, [](int64_t) { return 1.0; })}, {}, 1)[0]})
    expect(std::isnan(y.at(10)), "the NaN was lost");
  expect(std::isnan(run("cross_entropy", {x, ints({3}, {0, 0, 0})}, {}, 1)[0].at(1)), "the loss of the row is a number");
  for (const double head_dim : {8.0, 32.0}) {
    // Token 1 has a NaN key: tokens 1 and 2 see it, token 0 does not.
    const int64_t width = static_cast<int64_t>(head_dim);
    const Array one = array_of(DType::F32, {3, width}, [](int64_t) { return 1.0; }), k = array_of(DType::F32, {3, width}, [&](int64_t i) { return i == width ? NAN : 1.0; });
    const Array y = run("attention", {one, k, one, ints({2}, {0, 3})}, options({{"n_heads", 1.0}, {"n_kv_heads", 1.0}, {"head_dim", head_dim}, {"scale", 1.0}}), 1)[0];
    expect(!std::isnan(y.at(0, 0)) && std::isnan(y.at(1, 0)) && std::isnan(y.at(2, 0)), "attention of heads of " + std::to_string(width));
  }
});

const Case memory_cases("a thousand runs of an operation give back all their memory", [] {
  bitwright::Device device(2);
  auto call = [&](const char* name, const std::vector<bitwright::Tensor>& inputs, const Options& all) {
    std::vector<bitwright::Tensor> results;
    if (Status status = device.enqueue(name, inputs, all, results); !status.ok()) throw Failure{status.message};
    for (bitwright::Tensor& result : results) device.release(std::move(result));
  };
  auto settle = [&] {
    std::promise<Status> promise;
    device.sync([&](Status status) { promise.set_value(std::move(status)); });
    if (const Status status = promise.get_future().get(); !status.ok()) throw Failure{status.message};
  };
  const Array x = normal(DType::F32, {300, 64}, 1), w = normal(DType::F32, {64, 64}, 2);
  const bitwright::Tensor X = device.from_bytes(x.spec, x.bytes.data()), W = device.from_bytes(w.spec, w.bytes.data()), H = device.zeros(w.spec);
  settle();
  const int64_t before = device.current_bytes();
  for (int i = 0; i < 1000; ++i) {
    call("linear", {X, W, nullptr}, {});
    call("hessian_accumulate", {H, X}, options({{"decay", 0.5}, {"weight", 0.1}}));
    if (i % 100 != 0) continue;
    call("gptq_factor", {H, nullptr}, options({{"dampening_frac", 0.01}}));
    settle();
  }
  settle();
  expect(device.current_bytes() == before, std::to_string(device.current_bytes() - before) + " bytes were not given back");
  // What 100 rounds hold at once at most, when the queue is fed faster than it works.
  expect(device.peak_bytes() <= before + x.spec.bytes() + 2 * w.spec.bytes(), "peak of " + std::to_string(device.peak_bytes()) + " bytes");
}, Where::once);

}  // namespace
