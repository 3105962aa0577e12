// A modifier that llm-compressor has and this version cannot run.
import type { Check } from './check.js';
import {
  correctionModifiers,
  knownModifiers,
  pruningModifiers,
  quantizationModifiers,
  transformModifiers,
} from '../plan/read-modifiers.js';

const runnable = [...quantizationModifiers.keys(), ...transformModifiers, ...pruningModifiers, ...correctionModifiers];

const reasons: Readonly<Record<string, string>> = {
  QuIPModifier: ', as its rotations turn the inputs and outputs of linears while the model runs and a checkpoint would have to carry them',
};

export const modifierNotRunnableYet: Check = {
  code: 'modifier-not-runnable-yet',
  run: ({ modifiers }) =>
    modifiers
      .filter(({ name }) => knownModifiers.includes(name) && !runnable.includes(name))
      .map(({ name, path }) => ({
        code: 'modifier-not-runnable-yet',
        severity: 'error',
        path,
        at: 'key',
        message: `${name} is a modifier of llm-compressor that this version of Bitwright cannot run${reasons[name] ?? ''}; it runs ${runnable.join(', ')}.`,
      })),
};
