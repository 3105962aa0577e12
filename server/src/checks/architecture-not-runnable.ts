// Calibration or evaluation of a model that cannot be run here.
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import { needsCalibration } from '../plan/needs-calibration.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import { canaryOf } from '../plan/resolve-canary.js';
import type { Resolution } from '../plan/resolution.js';
import type { Check } from './check.js';

export const architectureNotRunnable: Check = {
  code: 'architecture-not-runnable',
  run(resolution) {
    const { model, architectureReason, evaluations, tasks } = resolution;
    if (model === null || model.architecture !== null) return [];
    const needing = needsCalibration(resolution);
    const reason = `${model.architecture_name ?? 'The model'} cannot be run here: ${architectureReason ?? 'its architecture is unknown'}.`;
    const rest = needing === null ? '; the quantization itself needs no data.' : '.';
    const problem = (path: RecipePath, why: string, wayOut: string): Problem => ({
      code: 'architecture-not-runnable',
      severity: 'error',
      path,
      at: 'key',
      message: `${why} ${reason} ${wayOut}`,
    });
    return [
      ...(needing === null
        ? []
        : [problem(needing.path, `${needing.name} runs calibration data through the model.`, dataFree(needing, resolution))]),
      ...(evaluations.length > 0 || tasks.files.length > 0
        ? [problem(['evaluate'], 'evaluate runs the model.', `Remove evaluate${rest}`)]
        : []),
      ...(canaryOf(resolution) === null
        ? []
        : [
            problem(
              ['canary'],
              'The canary runs the half-quantized model and compares its predictions of the next token.',
              `Remove canary${rest}`,
            ),
          ]),
    ];
  },
};

/** What comes nearest to the modifier and needs no data. */
function dataFree({ name }: RecipeModifier, { quantization }: Resolution): string {
  if (name === 'SparseGPTModifier' || name === 'WandaPruningModifier') return 'Use MagnitudePruningModifier, which needs no data.';
  return quantization.some(({ groups }) => groups.some(({ scheme }) => scheme?.input_activations))
    ? 'Use QuantizationModifier with a scheme whose inputs are scaled while the model runs, such as W8A8 or FP8_DYNAMIC.'
    : 'Use a data-free scheme with QuantizationModifier, such as W4A16.';
}
