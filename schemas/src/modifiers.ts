// Every modifier that a recipe may name: whose it is, what it is for, whether it runs here, and what it needs of calibration rows.
import type {
  AwqPlan,
  DuquantPlan,
  HadamardPlan,
  LowRankResidualPlan,
  OutlierSplitPlan,
  PrunerPlan,
  QuantizerPlan,
  SmoothQuantPlan,
  TransformPlan,
} from './generated/plan.js';

export interface ModifierFacts {
  name: string;
  /** Those of bitwright alone have fields in llm-compressor's style, and are unknown to it. */
  origin: 'llm-compressor' | 'bitwright';
  /** Transforms come before the quantizers and keep the function; corrections work on what these have made. */
  kind: 'quantizer' | 'transform' | 'correction' | 'pruning';
  /** Its name in a plan; null: it does not run in this version. */
  stem: QuantizerPlan['name'] | TransformPlan['name'] | PrunerPlan['name'] | null;
  /** It never runs without data. */
  calibrated: boolean;
}

const of = (
  kind: ModifierFacts['kind'],
  name: string,
  stem: ModifierFacts['stem'],
  calibrated: boolean,
  origin: ModifierFacts['origin'] = 'llm-compressor',
): ModifierFacts => ({ name, origin, kind, stem, calibrated });

/** Those that run come first; llm-compressor's are those of 0.13. */
export const modifierFacts: readonly ModifierFacts[] = [
  of('quantizer', 'QuantizationModifier', 'rtn', false),
  of('quantizer', 'GPTQModifier', 'gptq', true),
  of('quantizer', 'HQQModifier', 'hqq', false, 'bitwright'),
  of('quantizer', 'BitsAndBytesModifier', 'bitsandbytes', false, 'bitwright'),
  of('quantizer', 'VPTQModifier', 'vptq', true, 'bitwright'),
  of('quantizer', 'GGUFModifier', 'gguf', false, 'bitwright'),
  of('transform', 'SmoothQuantModifier', 'smoothquant', true),
  of('transform', 'AWQModifier', 'awq', true),
  of('transform', 'LogarithmicEqualizationModifier', 'smoothquant', true),
  of('transform', 'SpinQuantModifier', 'hadamard', false),
  of('transform', 'HadamardModifier', 'hadamard', false, 'bitwright'),
  of('transform', 'DuQuantModifier', 'duquant', true, 'bitwright'),
  of('correction', 'BiasCorrectionModifier', 'bias-correction', true, 'bitwright'),
  of('correction', 'VarianceCorrectionModifier', 'variance-correction', false, 'bitwright'),
  of('correction', 'LowRankResidualModifier', 'low-rank-residual', true, 'bitwright'),
  of('correction', 'OutlierSplitModifier', 'outlier-split', true, 'bitwright'),
  of('quantizer', 'BeaconModifier', 'beacon', true, 'bitwright'),
  of('quantizer', 'COMQModifier', 'comq', true, 'bitwright'),
  of('quantizer', 'GPFQModifier', 'gpfq', true, 'bitwright'),
  of('quantizer', 'QronosModifier', 'qronos', true, 'bitwright'),
  of('pruning', 'SparseGPTModifier', 'sparsegpt', true),
  of('pruning', 'WandaPruningModifier', 'wanda', true),
  of('pruning', 'MagnitudePruningModifier', 'magnitude', false),
  of('pruning', 'ConstantPruningModifier', 'constant', false),
  of('quantizer', 'AutoRoundModifier', null, true),
  of('transform', 'QuIPModifier', null, false),
  of('pruning', 'REAPPruningModifier', null, true),
];

export interface QuantizerFacts {
  /** What people call the method. */
  title: string;
  modifier: string;
  /** It solves for the integers with the Hessian of the inputs, which embeddings do not have. */
  solves: boolean;
}

export const quantizerFacts: Readonly<Record<QuantizerPlan['name'], QuantizerFacts>> = {
  rtn: { title: 'round to nearest', modifier: 'QuantizationModifier', solves: false },
  gptq: { title: 'GPTQ', modifier: 'GPTQModifier', solves: true },
  hqq: { title: 'HQQ', modifier: 'HQQModifier', solves: false },
  gguf: { title: "llama.cpp's blocks", modifier: 'GGUFModifier', solves: false },
  bitsandbytes: { title: 'bitsandbytes', modifier: 'BitsAndBytesModifier', solves: false },
  vptq: { title: 'VPTQ', modifier: 'VPTQModifier', solves: true },
  beacon: { title: 'Beacon', modifier: 'BeaconModifier', solves: true },
  comq: { title: 'COMQ', modifier: 'COMQModifier', solves: true },
  gpfq: { title: 'GPFQ', modifier: 'GPFQModifier', solves: true },
  qronos: { title: 'Qronos', modifier: 'QronosModifier', solves: true },
};

/** Quantizers that leave zeros at zero: those that round without moving weights, and those that are told where they are. */
export const keepsZeros: readonly QuantizerPlan['name'][] = ['rtn', 'hqq', 'gptq', 'comq', 'gpfq', 'qronos'];

/** True for a layer whose quantizer solves with the Hessian of its inputs. */
export const isSolved = ({ quantizer }: { quantizer: QuantizerPlan | null }): boolean =>
  quantizer !== null && quantizerFacts[quantizer.name].solves;

/** True for a layer whose quantizer compares its inputs with those that it has in the unquantized model: rows pass through both. */
export const needsPairs = ({ quantizer }: { quantizer: QuantizerPlan | null }): boolean =>
  quantizer !== null &&
  (quantizer.name === 'gpfq' || quantizer.name === 'qronos' || (quantizer.name === 'beacon' && quantizer.error_correction));

/** Transforms of single blocks, mapping by mapping, from what the rows show there. */
export type ScalingPlan = SmoothQuantPlan | AwqPlan;
export const isScaling = (transform: TransformPlan): transform is ScalingPlan =>
  transform.name === 'smoothquant' || transform.name === 'awq';

/** Done once with the whole model, before all else. */
export type RotationPlan = HadamardPlan | DuquantPlan;
export const isRotation = (transform: TransformPlan): transform is RotationPlan =>
  transform.name === 'hadamard' || transform.name === 'duquant';

/** Corrections that are kept as an adapter beside the quantized weights. */
export type AdapterPlan = LowRankResidualPlan | OutlierSplitPlan;
export const isAdapter = (transform: TransformPlan): transform is AdapterPlan =>
  transform.name === 'low-rank-residual' || transform.name === 'outlier-split';

/** Of the adapter's matrices, for all layers alike: each plan has rows of its own. */
export const adapterRank = (transforms: readonly TransformPlan[]): number =>
  transforms.filter(isAdapter).reduce((sum, plan) => sum + (plan.name === 'outlier-split' ? plan.max_columns : plan.rank), 0);
