// A model folder that is itself a quantized checkpoint.
import type { Check } from './check.js';

export const modelAlreadyQuantized: Check = {
  code: 'model-already-quantized',
  run: ({ model }) =>
    model?.quantization
      ? [
          {
            code: 'model-already-quantized',
            severity: 'error',
            path: ['model'],
            at: 'value',
            message: `${model.dir} is already quantized (${model.quantization.format === 'gguf' || model.quantization.format === 'bitsandbytes' ? '' : 'compressed-tensors, '}${model.quantization.format}). Name the original model: rounding a rounded model loses twice.`,
          },
        ]
      : [],
};
