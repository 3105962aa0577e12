// A calibration section in a recipe none of whose modifiers uses data: no row of it is read.
import { calibratedModifiers, knownModifiers } from '../plan/read-modifiers.js';
import { canaryOf } from '../plan/resolve-canary.js';
import { needsCalibration } from '../plan/needs-calibration.js';
import { booleanOf } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const calibrationWithoutEffect: Check = {
  code: 'calibration-without-effect',
  run(resolution) {
    const { calibration, modifiers, quantization, document } = resolution;
    if (calibration === null || !document.has(['calibration', 'dataset']) || modifiers.length === 0) return [];
    // Of a modifier or scheme that is not understood it is not known what it needs.
    if (!modifiers.every(({ name }) => knownModifiers.includes(name))) return [];
    if (quantization.some(({ groups }) => groups.length === 0 || groups.some(({ scheme }) => scheme === null))) return [];
    if (canaryOf(resolution)?.text === calibration) return [];
    if (needsCalibration(resolution) !== null || modifiers.some(({ body }) => booleanOf(body['requires_calibration_data'], false)))
      return [];
    return [
      {
        code: 'calibration-without-effect',
        severity: 'information',
        path: ['calibration'],
        at: 'key',
        message: `No modifier of this recipe uses data (${[...new Set(modifiers.map(({ name }) => name))].join(', ')}; the scale of a weight comes from the weight, and activations are scaled while the model runs), so ${calibration.plan.dataset} is not read. Remove calibration, or use a modifier that learns from data: ${calibratedModifiers.filter((name) => name === 'GPTQModifier' || name === 'SmoothQuantModifier').join(', ')}.`,
        fixes: [{ title: 'Remove calibration', preferred: false, edits: [{ kind: 'remove', path: ['calibration'] }] }],
      },
    ];
  },
};
