// Numbers beyond the range in which they mean something: some are refused by llm-compressor, some stop it late, some it takes.
import type { Problem } from '../../../schemas/src/problem.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import { booleanOf, coerceTo } from '../recipe/coerce.js';
import type { Check } from './check.js';

interface Range {
  field: string;
  isWithin(value: number, body: RecipeModifier['body']): boolean;
  /** What is taken with wrong results is a warning. */
  severity: 'error' | 'warning';
  message: string;
}

const sparsity: Range = {
  field: 'sparsity',
  isWithin: (value) => value >= 0 && value <= 1,
  severity: 'error',
  message: 'it is the part of the weights that becomes zero, from 0 to 1; beyond, llm-compressor fails while it prunes.',
};
const strength: Range = {
  field: 'smoothing_strength',
  isWithin: (value) => value >= 0 && value <= 1,
  severity: 'warning',
  message:
    'it is an exponent from 0 (weights stay) to 1 (everything moves into them); llm-compressor takes any number, and beyond the result is worse than none.',
};

/** Steps from 0 to 1, as AWQModifier divides its grid; with the weights one point is kept for no scaling. */
function exponents(n_grid: number, duo_scaling: unknown): number {
  if (duo_scaling === 'both') return Math.max(1, Math.floor(n_grid / 2));
  return booleanOf(duo_scaling, true) ? n_grid - 1 : n_grid;
}

const rangesOfModifiers: ReadonlyMap<string, readonly Range[]> = new Map(
  Object.entries({
    SmoothQuantModifier: [strength],
    LogarithmicEqualizationModifier: [strength],
    SparseGPTModifier: [sparsity],
    WandaPruningModifier: [sparsity],
    MagnitudePruningModifier: [
      { ...sparsity, field: 'final_sparsity', message: 'it is the part of the weights that becomes zero, from 0 to 1.' },
    ],
    REAPPruningModifier: [
      {
        field: 'sparsity',
        isWithin: (value) => value > 0 && value < 1,
        severity: 'error',
        message: 'it is the part of the experts that is removed, between 0 and 1; llm-compressor refuses the ends too.',
      },
    ],
    AWQModifier: [
      {
        field: 'n_grid',
        isWithin: (value) => value >= 1,
        severity: 'error',
        message: 'it is the number of exponents that are tried; without one there are no scales, and llm-compressor fails.',
      },
      {
        field: 'n_grid',
        isWithin: (value, { duo_scaling }) => value < 1 || exponents(value, duo_scaling) !== 1,
        severity: 'error',
        message:
          'it leaves one exponent where duo_scaling needs a first and a last, and llm-compressor divides by zero. Use 20, or at least 3 (4 with duo_scaling: both).',
      },
    ],
  }),
);

export const valueOutOfRange: Check = {
  code: 'value-out-of-range',
  run: ({ modifiers }) =>
    modifiers.flatMap((modifier) => (rangesOfModifiers.get(modifier.name) ?? []).flatMap((range) => problemsOf(modifier, range))),
};

function problemsOf({ path, body }: RecipeModifier, { field, isWithin, severity, message }: Range): Problem[] {
  const said = body[field];
  return (Array.isArray(said) ? (said as unknown[]) : [said]).flatMap((item, index): Problem[] => {
    const value = coerceTo('number', item) as number | undefined;
    if (value === undefined || isWithin(value, body)) return [];
    const at = Array.isArray(said) ? [...path, field, index] : [...path, field];
    return [{ code: 'value-out-of-range', severity, path: at, at: 'value', message: `${field} is ${value}; ${message}` }];
  });
}
