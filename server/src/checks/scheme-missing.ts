// A quantization modifier that says no scheme: an error of llm-compressor when it has no field at all, else silently nothing.
import type { Check } from './check.js';

export const schemeMissing: Check = {
  code: 'scheme-missing',
  run: ({ quantization }) =>
    quantization
      .filter(({ modifier: { body }, groups }) => groups.length === 0 && (body['kv_cache_scheme'] ?? null) === null)
      .map(({ modifier: { name, path, body } }) => {
        const silent = Object.keys(body).length > 0;
        return {
          code: 'scheme-missing',
          severity: 'error',
          path,
          at: 'key',
          message: `${name} has neither scheme nor config_groups, so ${silent ? 'nothing would be quantized, and llm-compressor says nothing' : 'llm-compressor fails when it starts'}. Add a scheme, such as W4A16.`,
          fixes: [{ title: 'Add scheme: W4A16', preferred: true, edits: [{ kind: 'insert-key', path, key: 'scheme', text: 'W4A16' }] }],
        };
      }),
};
