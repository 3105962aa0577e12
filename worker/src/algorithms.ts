// The table of algorithms: the name in a plan → its implementation. Imported by the dispatchers of jobs/ alone.
import type { PrunerPlan, QuantizerPlan, TransformPlan } from '../../schemas/src/generated/plan.js';
import { compressedTensorsFormats } from './checkpoint/formats/compressed-tensors.js';
import type { Format } from './checkpoint/formats/format.js';
import { histogramObservers } from './observers/histogram.js';
import { staticRangeObservers } from './observers/static-range.js';
import { constant } from './pruning/constant.js';
import { magnitude } from './pruning/magnitude.js';
import type { Pruner } from './pruning/pruner.js';
import { sparsegpt } from './pruning/sparsegpt.js';
import { wanda } from './pruning/wanda.js';
import { bitsandbytes } from './quantizers/bitsandbytes.js';
import { beacon } from './quantizers/beacon.js';
import { comq } from './quantizers/comq.js';
import type { Encoder } from './quantizers/encoder.js';
import { gguf } from './quantizers/gguf.js';
import { gpfq } from './quantizers/gpfq.js';
import { gptq } from './quantizers/gptq.js';
import { hqq } from './quantizers/hqq.js';
import { qronos } from './quantizers/qronos.js';
import type { Quantizer } from './quantizers/quantizer.js';
import { rtn } from './quantizers/rtn.js';
import { sparseGptq } from './quantizers/sparse-gptq.js';
import { vptq } from './quantizers/vptq.js';
import { weightObservers } from './quantizers/weight-observer.js';
import * as awqSearch from './transforms/awq.js';
import * as awqClip from './transforms/awq-clip.js';
import * as biasCorrection from './transforms/bias-correction.js';
import * as duquant from './transforms/duquant.js';
import * as hadamard from './transforms/hadamard.js';
import * as lowRankResidual from './transforms/low-rank-residual.js';
import * as outlierSplit from './transforms/outlier-split.js';
import { smoothquant } from './transforms/smoothquant.js';
import * as varianceCorrection from './transforms/variance-correction.js';

type PlanNamed<Name extends QuantizerPlan['name']> = Extract<QuantizerPlan, { name: Name }>;

/** Methods that make the bytes of their format themselves. */
export type EncoderName = 'bitsandbytes' | 'vptq' | 'gguf';
export type GridPlan = Exclude<QuantizerPlan, { name: EncoderName }>;

const encoders: { readonly [Name in EncoderName]: Encoder<PlanNamed<Name>> } = { bitsandbytes, vptq, gguf };

export const quantizers: { readonly [Name in GridPlan['name']]: Quantizer<PlanNamed<Name>> } = {
  rtn,
  gptq,
  hqq,
  beacon,
  comq,
  gpfq,
  qronos,
};
/** Those that move weights, as they go about a layer whose zeros are to stay. */
export const sparseQuantizers: { readonly [Name in QuantizerPlan['name']]?: Quantizer<PlanNamed<Name>>['quantize'] } = { gptq: sparseGptq };
export const pruners: { readonly [Name in PrunerPlan['name']]: Pruner<Extract<PrunerPlan, { name: Name }>> } = {
  sparsegpt,
  wanda,
  magnitude,
  constant,
};
/** Each in its own form: SmoothQuant computes its scales at once, AWQ searches for them, rotations are folded into the whole model before, corrections come behind a quantizer. */
export const transforms = {
  smoothquant,
  awq: { ...awqSearch, ...awqClip },
  hadamard,
  duquant,
  'bias-correction': biasCorrection,
  'variance-correction': varianceCorrection,
  'low-rank-residual': lowRankResidual,
  'outlier-split': outlierSplit,
} as const satisfies Record<TransformPlan['name'], unknown>;
export const formats: Readonly<Record<string, Format>> = compressedTensorsFormats;
/** Observers by the names that schemes carry. */
export const observers = { weights: weightObservers, inputs: [...staticRangeObservers, ...histogramObservers] };

/** Null where the method chooses codes of a grid. */
export const encoderOf = (plan: QuantizerPlan): Encoder | null =>
  plan.name in encoders ? (encoders[plan.name as EncoderName] as Encoder) : null;
