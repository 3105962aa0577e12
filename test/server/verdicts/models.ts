// The models that the table of verdicts is judged on: headers with the shapes of those that test/parity/recipe-verdicts.py makes.
import { tinyLlama } from '../../support/model-fixture.js';
import type { TinyModel } from '../../support/model-fixture.js';

export const verdictModels: Readonly<Record<string, () => TinyModel>> = {
  llama: () => wide(false),
  narrow: () => tinyLlama(),
  tied: () => wide(true),
};

/** Two blocks with 128 columns, so that the presets with groups of 128 fit. */
function wide(tied: boolean): TinyModel {
  const config = { hidden_size: 128, intermediate_size: 256, vocab_size: 64, tie_word_embeddings: tied };
  const extent: Readonly<Record<number, number>> = { 32: 64, 64: 128, 172: 256 };
  const narrow = tinyLlama({ config });
  const tensors = Object.entries(narrow.tensors)
    .filter(([name]) => !tied || name !== 'lm_head.weight')
    .map(([name, shape]): [string, number[]] => [name, shape.map((size) => extent[size] ?? size)]);
  return { config: narrow.config, tensors: Object.fromEntries(tensors) };
}
