// Weights that no modifier reaches: those of three and more dimensions (convolutions, and experts in one tensor), and the transposed ones of Conv1D.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { isConv1d } from '../../../schemas/src/model/conv1d.js';
import { compileTarget } from '../../../schemas/src/model/match-targets.js';
import { madeOnce } from '../../../schemas/src/made-once.js';

export interface WeightBeyond {
  name: string;
  /** 2: of Conv1D. */
  n_dims: number;
  bytes: number;
}

/** Position embeddings and class tokens, one row of which is all there is, are no weights of a layer. Made once for a model. */
export const weightsBeyond = madeOnce((model: ModelDescription): readonly WeightBeyond[] => {
  const { tensors, model_type } = model;
  return tensors.flatMap(({ name: tensor, shape, bytes }) => {
    const name = tensor.replace(/\.weight$/, '');
    const isBeyond = shape.length > 2 ? shape[0] !== 1 : shape.length === 2 && isConv1d(model_type, name);
    return isBeyond ? [{ name, n_dims: shape.length, bytes }] : [];
  });
});

/** What an entry of targets or ignore names among them: by full name, by pattern, or by class as PyTorch and transformers have it. */
export function weightsBeyondNamed(entry: string, model: ModelDescription): readonly WeightBeyond[] {
  const dims = entry === 'Conv1D' ? 0 : /^Conv(?:Transpose)?([123])d$/.exec(entry)?.[1];
  if (dims !== undefined) return weightsBeyond(model).filter(({ n_dims }) => n_dims === Number(dims) + 2);
  const compiled = compileTarget(entry);
  if (!('matcher' in compiled) || entry === 'Module') return [];
  return weightsBeyond(model).filter(({ name }) => compiled.matcher({ name, class: 'Other' }));
}
