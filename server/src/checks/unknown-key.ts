// A top-level key that nobody reads, near one that somebody does.
import { nearestName } from '../recipe/did-you-mean.js';
import type { Check } from './check.js';

const ownKeys = ['model', 'calibration', 'evaluate', 'output', 'device', 'threads', 'max_memory'];
const tolerated = ['args', 'metadata', 'recipe_type', 'budget'];

export const unknownKey: Check = {
  code: 'unknown-key',
  run: ({ document, modifiers }) =>
    Object.keys(document.value)
      .filter((key) => !ownKeys.includes(key) && !tolerated.includes(key) && !key.endsWith('_stage') && modifiers.length > 0)
      .map((key) => {
        const near = nearestName(key, ownKeys);
        return {
          code: 'unknown-key',
          severity: 'warning',
          path: [key],
          at: 'key',
          message: `${key} is read by nobody${near === null ? `: llm-compressor takes keys that end in _stage, Bitwright ${ownKeys.join(', ')}.` : `; did you mean ${near}?`}`,
          ...(near === null
            ? {}
            : {
                fixes: [
                  { title: `Rename to ${near}`, preferred: true, edits: [{ kind: 'replace-key' as const, path: [key], text: near }] },
                ],
              }),
        };
      }),
};
