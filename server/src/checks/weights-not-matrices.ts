// Much of the model stands in weights that are no matrices, or transposed ones: a run does all that it was asked for, and leaves them as they are.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { percent } from '../../../schemas/src/number-text.js';
import { weightsBeyond } from '../plan/weights-beyond-matrices.js';
import type { Check } from './check.js';
import { firstOf } from './first-of.js';

/** Of the bytes of the model: less than that nobody misses. */
const WORTH_TELLING = 0.1;

export const weightsNotMatrices: Check = {
  code: 'weights-not-matrices',
  run({ model, quantization: [first] }) {
    if (model === null || model.quantization !== null || first === undefined) return [];
    const weights = weightsBeyond(model);
    if (weights.length === 0) return [];
    const sum = (of: readonly { bytes: number }[]): number => of.reduce((total, { bytes }) => total + bytes, 0);
    const share = sum(weights) / sum(model.tensors);
    if (!(share > WORTH_TELLING)) return [];
    const names = weights.map(({ name, n_dims }) => `${name} (${n_dims === 2 ? 'Conv1D' : `${n_dims} dimensions`})`);
    const what = weights.every(({ n_dims }) => n_dims === 2)
      ? 'are kept transposed, and no modifier takes such weights.'
      : 'are no matrices, and only linear layers and embeddings are quantized. Quantize convolutions with the tool of your runtime; experts in one tensor can be saved as one linear layer each.';
    return [
      {
        code: 'weights-not-matrices',
        severity: 'warning',
        path: first.modifier.path,
        at: 'key',
        message: `${percent(share)} of the model, ${bytesText(sum(weights))}, stay as they are: ${firstOf(names, 3)} ${what}`,
      },
    ];
  },
};
