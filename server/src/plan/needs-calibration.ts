// Which modifier of a recipe needs calibration rows.
import { booleanOf, textOf } from '../recipe/coerce.js';
import { ownImportance } from './quantizers/gguf.js';
import { calibratedModifiers, type RecipeModifier } from './read-modifiers.js';
import type { Resolution, ResolvedModifier } from './resolution.js';
import { saidObserver } from './said-observers.js';

/** The first modifier that needs rows: for what it does, for calibrated activations, for an observer that weighs by them. */
export function needsCalibration(resolution: Resolution): RecipeModifier | null {
  const byScheme = ({ modifier, groups }: ResolvedModifier): boolean =>
    (modifier.body['kv_cache_scheme'] ?? null) !== null ||
    booleanOf(modifier.body['requires_calibration_data'], false) ||
    (modifier.name === 'GGUFModifier' && ownImportance(modifier.body)) ||
    // llm-compressor knows it in this spelling alone.
    groups.some((group) => saidObserver(modifier, group, 'weights')?.text === 'imatrix_mse') ||
    groups.some(
      ({ scheme }) =>
        scheme !== null &&
        ((scheme.input_activations !== null && scheme.input_activations.dynamic !== true) || scheme.output_activations?.dynamic === false),
    );
  const needing = resolution.quantization.filter(byScheme).map(({ modifier }) => modifier);
  // The norm of a row is known without rows of data, the variance of its output is not.
  const keepsOutputs = ({ name, body }: RecipeModifier): boolean =>
    name === 'VarianceCorrectionModifier' && textOf(body['statistic'], 'weights') === 'outputs';
  return (
    resolution.modifiers.find(
      (modifier) => calibratedModifiers.includes(modifier.name) || needing.includes(modifier) || keepsOutputs(modifier),
    ) ?? null
  );
}
