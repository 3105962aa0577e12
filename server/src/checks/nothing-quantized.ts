// All patterns match something, and still no layer is left to quantize: everything targeted is ignored or of a class that is skipped.
import type { Check } from './check.js';

export const nothingQuantized: Check = {
  code: 'nothing-quantized',
  run({ model, layers, quantization }) {
    const [first] = quantization;
    if (
      model === null ||
      first === undefined ||
      quantization.some(({ groups }) => groups.length === 0 || groups.some(({ scheme }) => scheme === null))
    )
      return [];
    if (quantization.some(({ patterns }) => patterns.some((pattern) => pattern.kind === 'target' && pattern.matches?.length === 0)))
      return [];
    if (layers.some((layer) => layer.scheme?.weights)) return [];
    return [
      {
        code: 'nothing-quantized',
        severity: 'error',
        path: first.modifier.path,
        at: 'key',
        message: `No layer is left to quantize: of the ${layers.length} modules with a matrix, targets choose none that ignore does not take away (only Linear and Embedding modules can be quantized). Widen targets or shorten ignore.`,
      },
    ];
  },
};
