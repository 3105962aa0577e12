// An importance matrix beside transforms: they change what enters the layers, and it was measured before them.
import { transformModifiers } from '../plan/read-modifiers.js';
import type { Check } from './check.js';

export const imatrixBeforeTransform: Check = {
  code: 'imatrix-before-transform',
  run({ imatrices, modifiers }) {
    const transform = modifiers.find(({ name }) => transformModifiers.includes(name));
    if (transform === undefined) return [];
    return imatrices.map(({ path, modifier }) => ({
      code: 'imatrix-before-transform',
      severity: 'warning',
      path,
      at: 'value',
      message: `imatrix was measured on the model as it is, and ${transform.name} changes what enters its layers, so columns would weigh by inputs that they no longer have. Use importance: true, which measures behind ${transform.name}.`,
      related: [{ path: transform.path, at: 'key', message: `${transform.name} changes the inputs` }],
      fixes:
        modifier.body['importance'] !== undefined
          ? [{ title: 'Remove imatrix', preferred: true, edits: [{ kind: 'remove', path }] }]
          : [
              {
                title: 'Use importance: true',
                preferred: true,
                edits: [
                  { kind: 'replace-key', path, text: 'importance' },
                  { kind: 'replace-value', path, text: 'true' },
                ],
              },
            ],
    }));
  },
};
