// Weights of three and more dimensions: convolutions, and experts in one tensor. No modifier reaches them.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { compileTarget } from '../../../schemas/src/model/match-targets.js';

export interface HigherWeight {
  name: string;
  n_dims: number;
  bytes: number;
}

/** Position embeddings and class tokens, one row of which is all there is, are no weights of a layer. */
export function higherWeights(model: ModelDescription): readonly HigherWeight[] {
  return model.tensors
    .filter(({ shape }) => shape.length > 2 && shape[0] !== 1)
    .map(({ name, shape, bytes }) => ({ name: name.replace(/\.weight$/, ''), n_dims: shape.length, bytes }));
}

/** What an entry of targets or ignore names among them: by full name, by pattern, or by class as PyTorch has it. */
export function higherWeightsNamed(entry: string, model: ModelDescription): readonly HigherWeight[] {
  const dims = /^Conv(?:Transpose)?([123])d$/.exec(entry)?.[1];
  if (dims !== undefined) return higherWeights(model).filter(({ n_dims }) => n_dims === Number(dims) + 2);
  const compiled = compileTarget(entry);
  if (!('matcher' in compiled) || entry === 'Module') return [];
  return higherWeights(model).filter(({ name }) => compiled.matcher({ name, class: 'Other' }));
}
