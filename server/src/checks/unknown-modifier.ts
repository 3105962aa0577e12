// A modifier name that neither llm-compressor nor Bitwright knows: it fails at parse.
import type { Check } from './check.js';
import { knownModifiers } from '../plan/read-modifiers.js';
import { nearestName } from '../recipe/did-you-mean.js';

export const unknownModifier: Check = {
  code: 'unknown-modifier',
  run: ({ modifiers }) =>
    modifiers
      .filter(({ name }) => !knownModifiers.includes(name))
      .map(({ name, path }) => {
        const near = nearestName(name, knownModifiers);
        return {
          code: 'unknown-modifier',
          severity: 'error',
          path,
          at: 'key',
          message: `${name} is no modifier of llm-compressor 0.13 or of Bitwright${near === null ? `; there are ${knownModifiers.join(', ')}.` : `; did you mean ${near}?`}`,
          ...(near === null
            ? {}
            : { fixes: [{ title: `Rename to ${near}`, preferred: true, edits: [{ kind: 'replace-key' as const, path, text: near }] }] }),
        };
      }),
};
