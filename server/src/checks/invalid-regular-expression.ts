// An entry that cannot be used: mostly a re: pattern that is no regular expression, which llm-compressor finds out only while matching modules.
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
          message: `${shortened(pattern.entry)} cannot be used as a pattern: ${pattern.error ?? ''}. Mend it; a dot is written \\. and a bracket \\(.`,
        })),
    ),
};

const shortened = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}…` : text);
