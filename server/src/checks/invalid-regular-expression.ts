// A re: pattern that is no regular expression: llm-compressor finds out only while matching modules.
import type { Check } from './check.js';

export const invalidRegularExpression: Check = {
  code: 'invalid-regular-expression',
  run: ({ quantization }) =>
    quantization.flatMap(({ patterns }) =>
      patterns
        .filter((pattern) => pattern.error !== null)
        .map((pattern) => ({
          code: 'invalid-regular-expression',
          severity: 'error',
          path: pattern.path,
          at: 'value',
          message: `${pattern.entry} is no valid regular expression: ${pattern.error ?? ''}. llm-compressor notices only when the model is loaded. Mend the pattern; a dot is written \\. and a bracket \\(.`,
        })),
    ),
};
