// The contract of a quantizer: it chooses the integers of one weight and says what it had to do for it.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import type { Tensor } from '../tensor/tensor.js';

/** What the damped inverse of H took: reported, never silent. */
export interface FactorFindings {
  /** Damping in fact used, as a multiple of mean diag(H). */
  dampening_frac: number;
  dead_columns: number;
  retries: number;
}

/** The Hessian of the inputs that a group of linears shares, with its factor computed once for all of them. */
export interface SharedHessian {
  /** F32 [columns, columns]. */
  readonly hessian: Tensor;
  /** U8 [columns]: 1 where the column of the input was always zero. */
  readonly dead: Tensor;
  /** I32 [columns]: columns by descending diag(H). */
  order(): Tensor;
  factor(order: 'original' | 'descending', dampening_frac: number): Promise<{ factor: Tensor; findings: FactorFindings }>;
}

export interface QuantizerInput {
  layer: LayerPlan;
  weight: Tensor;
  /** Null without calibration, and for a layer that no calibration row reached. */
  hessian: SharedHessian | null;
}

export interface QuantizedWeight {
  /** I8 [rows, columns], in the original order of columns. */
  q: Tensor;
  scale: Tensor;
  zeroPoint: Tensor;
  /** I32 [columns], column → group, where groups are not contiguous. */
  gIdx: Tensor | null;
  findings: FactorFindings | null;
  problems: RunProblem[];
}

export interface Quantizer {
  quantize(input: QuantizerInput): Promise<QuantizedWeight>;
}
