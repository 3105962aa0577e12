// The contract of a method that makes the bytes of a storage format itself: there is no grid of scales beside it that another format could hold.
import { encodedText } from '../../../schemas/src/encoded-weights.js';
import type { LayerPlan, QuantizerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import type { Tensor } from '../tensor/tensor.js';
import type { FactorFindings, QuantizerInput, SeenRows } from './quantizer.js';

export interface EncodedWeight {
  /** Tensors of the shard by what follows the name of the layer; the caller disposes them. */
  parts: readonly { suffix: string; tensor: Tensor }[];
  /** [rows, columns]: what a reader of them computes, in the dtype that it computes it in. The caller's. */
  read: Tensor;
  /** Values that weights of a cell with the median scale can have, ascending; null where no such picture can be drawn. */
  grid: Float32Array | null;
  /** What the damped inverse of H took, of a method that has one. */
  findings?: FactorFindings | null;
  /** What its columns weighed, of a method that measures it: sums of squared inputs over the rows. */
  importance?: ({ sums: Float32Array } & SeenRows) | null;
  problems: RunProblem[];
}

export interface Encoder<Plan extends QuantizerPlan = QuantizerPlan> {
  encode(input: QuantizerInput<Plan>): Promise<EncodedWeight>;
}

/** Short text of what a layer is stored as, e.g. nf4 g64, double quantized. */
export const storageText = ({ scheme }: LayerPlan): string | null => (scheme?.weights ? encodedText(scheme.weights) : null);
