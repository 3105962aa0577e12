// A gate on a figure that the recipe does not measure: it could never be judged.
import { gateFacts } from '../../../schemas/src/quality-gates.js';
import { gatesPlan } from '../plan/build-plan.js';
import type { Check } from './check.js';

export const gateWithoutMeasure: Check = {
  code: 'gate-without-measure',
  run({ document, evaluations }) {
    const gates = gatesPlan(document);
    if (gates === null) return [];
    return gateFacts.flatMap(({ key, figure, measuredBy }) => {
      if (gates[key] === null || measuredBy === null || evaluations.some(({ path }) => path[1] === measuredBy)) return [];
      const path = ['gates', key];
      return [
        {
          code: 'gate-without-measure',
          severity: 'error' as const,
          path,
          at: 'key' as const,
          message: `${key} looks at ${figure}, and nothing measures it: the recipe has no evaluate.${measuredBy}. Add it with a dataset, or remove the gate.`,
          fixes: [{ title: `Remove ${key}`, preferred: false, edits: [{ kind: 'remove' as const, path }] }],
        },
      ];
    });
  },
};
