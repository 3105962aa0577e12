// The methods of the quality tables: name in the table → modifiers with their fields, the last of `modifiers` gets the scheme.
//
//   observer, symmetric   of the weights' scheme; without `symmetric` it is that of the command line
//   behind                modifiers behind the quantizer
//   bits                  for methods whose storage says how many bits a weight takes: what they are listed under, one row each; they have no scheme of ours

/** They need no rows; with rows their output errors are measured. */
const measured = { requires_calibration_data: true };
const rtn = { modifiers: { QuantizationModifier: measured } };
const gptq = { modifiers: { GPTQModifier: {} } };
const rotation = { rotations: ['R1', 'R2'], seed: 42 };
const smoothed = { SmoothQuantModifier: { smoothing_strength: 0.8 } };
const half = (name) => ({ [name]: { sparsity: 0.5, mask_structure: '2:4', targets: ['Linear'], ignore: ['re:.*lm_head'] } });
const beacon = (fields) => ({ modifiers: { BeaconModifier: fields } });

export const methods = {
  rtn,
  hqq: { modifiers: { HQQModifier: measured } },
  gptq,
  'rtn-absmean': { ...rtn, observer: 'absmean' },
  'gptq-absmean': { ...gptq, observer: 'absmean' },
  'rtn-mse': { ...rtn, observer: 'memoryless_mse' },
  'gptq-mse': { ...gptq, observer: 'memoryless_mse' },
  'awq-rtn': { modifiers: { AWQModifier: {}, QuantizationModifier: {} } },
  'awq-gptq': { modifiers: { AWQModifier: {}, GPTQModifier: {} } },
  'smoothquant-rtn': { modifiers: { ...smoothed, QuantizationModifier: {} } },
  'smoothquant-gptq': { modifiers: { ...smoothed, GPTQModifier: {} } },
  'hadamard-gptq': { modifiers: { HadamardModifier: rotation, GPTQModifier: {} } },
  'spinquant-gptq': { modifiers: { SpinQuantModifier: { rotations: ['R1', 'R2'], transform_type: 'hadamard' }, GPTQModifier: {} } },
  'hadamard-beacon': { modifiers: { HadamardModifier: rotation, BeaconModifier: {} } },
  gpfq: { modifiers: { GPFQModifier: {} } },
  comq: { modifiers: { COMQModifier: {} } },
  qronos: { modifiers: { QronosModifier: {} } },
  'beacon-plain': beacon({ error_correction: false, second_start: false }),
  beacon: beacon({ error_correction: false }),
  'beacon-corrected': beacon({ error_correction: true }),
  'beacon-corrected-whole': beacon({ error_correction: true, correction_strength: 1 }),
  'beacon-corrected-quarter': beacon({ error_correction: true, correction_strength: 0.25 }),
  'gptq-asymmetric': { ...gptq, symmetric: false },
  'beacon-asymmetric': { ...beacon({}), symmetric: false },
  'beacon-asymmetric-corrected': { ...beacon({ error_correction: true }), symmetric: false },
  'beacon-no-centering': { ...beacon({ centering: false }), symmetric: false },
  'rtn-bias-correction': { ...rtn, behind: { BiasCorrectionModifier: {} } },
  'gptq-variance-correction': { ...gptq, behind: { VarianceCorrectionModifier: {} } },
  'rtn-low-rank-residual': { ...rtn, behind: { LowRankResidualModifier: { rank: 8 } } },
  'rtn-outlier-split': { ...rtn, behind: { OutlierSplitModifier: { max_columns: 2 } } },
  'sparsegpt-2:4-gptq': { modifiers: { ...half('SparseGPTModifier'), GPTQModifier: { actorder: null } } },
  'wanda-2:4-gptq': { modifiers: { ...half('WandaPruningModifier'), GPTQModifier: {} } },
  // Pairs of weights and 16 centroids; vectors of 4 with 16 centroids and 16 for what they leave: 2 bits of indices. Codebooks, scales and means come on top.
  vptq: { modifiers: { VPTQModifier: { vector_len: 2, num_centroids: 16 } }, bits: 2 },
  'vptq-residual': { modifiers: { VPTQModifier: { vector_len: 4, num_centroids: 16, num_res_centroids: 16 } }, bits: 2 },
  nf4: { modifiers: { BitsAndBytesModifier: { bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: false } }, bits: 4 },
  'nf4-double': { modifiers: { BitsAndBytesModifier: { bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: true } }, bits: 4 },
};

/** 1.58 bits: three levels, which are symmetric alone. */
export function runsAt({ bits: own, symmetric = true }, bits) {
  return own === undefined ? bits !== 1.58 || symmetric : bits === own;
}
