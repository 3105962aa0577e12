// The contract of a quantizer: it chooses the integers of one weight and says what it had to do for it.
import type { LayerPlan, QuantizerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import type { SparsityArgs } from '../tensor/operations/pruning.js';
import type { Tensor } from '../tensor/tensor.js';

/** What the damped inverse of H took: reported, never silent. */
export interface FactorFindings {
  /** Damping in fact used, as a multiple of mean diag(H). */
  dampening_frac: number;
  dead_columns: number;
  retries: number;
}

/** Of a Hessian with damping: H + damping = R Rᵀ. */
export interface HessianFactor {
  /** R, upper, F32 [columns, columns]. */
  factor: Tensor;
  /** R⁻¹, upper; computed when it is first asked for. */
  inverse(): Tensor;
  findings: FactorFindings;
}

/** What a Hessian was summed over. */
export interface SeenRows {
  rows: number;
  tokens: number;
}

/** The Hessian of the inputs that a group of linears shares, with its factor computed once for all of them. */
export interface SharedHessian {
  /** F32 [columns, columns]. */
  readonly hessian: Tensor;
  /** F32 [columns, columns], XᵀX̃ beside the Hessian of X̃, scaled alike; null where no quantizer asks for it. */
  readonly cross: Tensor | null;
  readonly seen: SeenRows;
  /** U8 [columns]: 1 where the column of the input was always zero. */
  readonly dead: Tensor;
  /** F32 [columns]: diag(H), the importance of a column. */
  diagonal(): Tensor;
  /** I32 [columns]: columns by descending diag(H). */
  order(): Tensor;
  factor(order: 'original' | 'descending', dampening_frac: number): Promise<HessianFactor>;
}

/** What pruning leaves to the quantizer of a layer: weights that are zero on the file too. */
export interface ZerosToKeep {
  /** U8 [rows, columns]: 1 where the weight is to be zero; null: none yet. */
  mask: Tensor | null;
  /** SparseGPT chooses (more) zeros in the same walk through the columns; null: all are chosen. */
  selection: (SparsityArgs & { block_size: number; dampening_frac: number }) | null;
}

export interface QuantizerInput<Plan extends QuantizerPlan = QuantizerPlan> {
  layer: LayerPlan;
  /** The layer's own, with the fields of its method. */
  plan: Plan;
  weight: Tensor;
  /** Weights of the other linears that servers fuse with this one, which share a global scale with it (NVFP4); empty for other schemes. */
  fused: readonly Tensor[];
  /** Null without calibration, and for a layer that no calibration row reached. */
  hessian: SharedHessian | null;
  /** Absent where nothing prunes the layer. Quantizers that do not move weights need not look at it. */
  zeros?: ZerosToKeep | null;
}

export interface WeightScales {
  /** What the weight is divided by: tensor [1], channel [rows, 1], group [rows, groups], block; in the dtype of the weight, F32 where there are two levels. */
  scale: Tensor;
  /** I8, shape of the scale; zeros when symmetric. */
  zeroPoint: Tensor;
  /** Where the scale is a quotient (NVFP4): F8_E4M3 [rows, groups] and F32 [1]. */
  levels: { scale: Tensor; global: Tensor } | null;
}

export interface QuantizedWeight extends WeightScales {
  /** Codes [rows, columns] in the original order of columns: I8 integers, F8_E4M3, or U8 for floats of 4 bits. */
  q: Tensor;
  /** I32 [columns], column → group, where groups are not contiguous. */
  gIdx: Tensor | null;
  findings: FactorFindings | null;
  problems: RunProblem[];
}

export interface Quantizer<Plan extends QuantizerPlan = QuantizerPlan> {
  quantize(input: QuantizerInput<Plan>): Promise<QuantizedWeight>;
  /** Where several linears with one Hessian can be taken in one go; each gets what it would get alone. */
  together?: {
    /** Linears with one input, in lists for `quantize`. */
    sets<Input extends QuantizerInput<Plan>>(inputs: readonly Input[]): Input[][];
    quantize(set: readonly QuantizerInput<Plan>[]): Promise<QuantizedWeight[]>;
  };
}

export function disposeQuantized({ q, gIdx, ...scales }: QuantizedWeight): void {
  q.dispose();
  gIdx?.dispose();
  disposeScales(scales);
}

export function disposeScales({ scale, zeroPoint, levels }: WeightScales): void {
  for (const tensor of [scale, zeroPoint, levels?.scale, levels?.global]) tensor?.dispose();
}
