// actorder of GPTQModifier in other words than its four: llm-compressor accepts any text, and writes wrong weights or a config.json that cannot be loaded.
import { actorders } from '../plan/quantization-args.js';
import { changeTo } from '../recipe/change-to.js';
import type { Check } from './check.js';
import { severityOfSilence } from './severity-of-silence.js';

export const actorderInvalid: Check = {
  code: 'actorder-invalid',
  run: (resolution) =>
    resolution.quantization.flatMap(({ modifier: { name, body, path } }) => {
      const value = body['actorder'];
      if (name !== 'GPTQModifier' || typeof value !== 'string' || actorders.has(value)) return [];
      const lower = value.toLowerCase();
      // What Python prints and reads as null is a text to YAML.
      const meant = lower === 'none' ? 'null' : actorders.has(lower) ? lower : null;
      const at = [...path, 'actorder'];
      return [
        {
          code: 'actorder-invalid',
          severity: severityOfSilence(resolution),
          path: at,
          at: 'value',
          message: `actorder is ${JSON.stringify(value)}; llm-compressor accepts the text and writes wrong weights. Use static (or weight), group (or dynamic), or null${meant === null ? '' : meant === 'null' ? ', which is what Python calls None' : `, in lower case: ${meant}`}.`,
          ...(meant === null ? {} : { fixes: [changeTo(meant, at)] }),
        },
      ];
    }),
};
