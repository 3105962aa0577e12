// Levels that the rest of the scheme, or its modifier, leaves no room for: each of them is a set of symmetric integers of weights.
import { levelsFacts, type Levels } from '../../../schemas/src/levels.js';
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { quantizerFacts } from '../../../schemas/src/modifiers.js';
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import type { SchemeGroup } from '../plan/expand-scheme.js';
import { quantizationModifiers, type RecipeModifier } from '../plan/read-modifiers.js';
import { saidArgs, saidObserver } from '../plan/said-observers.js';
import { changeTo } from '../recipe/change-to.js';
import type { Check } from './check.js';

export const levelsNotForScheme: Check = {
  code: 'levels-not-for-scheme',
  run: ({ quantization }) =>
    quantization.flatMap(({ modifier, groups }) =>
      groups.flatMap((group) => [...onInputs(modifier, group), ...onWeights(modifier, group), ...meanWithoutLevels(modifier, group)]),
    ),
};

const problem = (path: RecipePath, message: string, fixes?: ProblemFix[]): Problem => ({
  code: 'levels-not-for-scheme',
  severity: 'error',
  path,
  at: 'value',
  message,
  ...(fixes === undefined ? {} : { fixes }),
});

/** Only weights have them: inputs are rounded by the runtime, which knows none. */
function onInputs(modifier: RecipeModifier, group: SchemeGroup): Problem[] {
  return (['input_activations', 'output_activations'] as const).flatMap((place) => {
    const said = saidArgs(modifier, group, place);
    if (said === null || (said.args['levels'] ?? null) === null) return [];
    const path = [...said.path, 'levels'];
    return [
      problem(path, `levels are for weights: ${place} are rounded by the runtime, which has every integer of num_bits. Remove it.`, [
        { title: 'Remove levels', preferred: true, edits: [{ kind: 'remove', path }] },
      ]),
    ];
  });
}

function onWeights(modifier: RecipeModifier, group: SchemeGroup): Problem[] {
  const weights = group.scheme?.weights;
  const said = saidArgs(modifier, group, 'weights');
  if (!weights || weights.levels === undefined || said === null) return [];
  const { levels } = weights;
  const { least_bits } = levelsFacts[levels];
  const place = (key: string): RecipePath => (said.args[key] === undefined ? [...said.path, 'levels'] : [...said.path, key]);
  if (weights.type !== 'int')
    return [
      problem(place('type'), `levels ${levels} are integers, and ${group.name} has type ${weights.type}. Set type: int.`, [
        changeTo('int', place('type')),
      ]),
    ];
  if (!weights.symmetric)
    return [
      problem(
        place('symmetric'),
        `levels ${levels} lie on both sides of zero alike, and ${group.name} has symmetric: false. Set symmetric: true.`,
        [changeTo('true', place('symmetric'))],
      ),
    ];
  if (weights.num_bits < least_bits)
    return [
      problem(
        place('num_bits'),
        `levels ${levels} need num_bits ${least_bits} or more to be stored, and ${group.name} has ${weights.num_bits}. Set num_bits: ${least_bits}.`,
        said.args['num_bits'] === undefined ? undefined : [changeTo(String(least_bits), place('num_bits'))],
      ),
    ];
  const obstacle = ofModifier(modifier.name, levels, weights);
  return obstacle === null ? [] : [problem([...said.path, 'levels'], obstacle)];
}

/** Rounding and GPTQ take the nearest level; the other solvers reckon with neighbours one step apart. */
function ofModifier(modifier: string, levels: Levels, { observer }: QuantizationArgs): string | null {
  const stem = quantizationModifiers.get(modifier);
  if (stem === undefined) return null;
  if (stem !== 'rtn' && stem !== 'gptq' && !levelsFacts[levels].has_even_steps)
    return `${modifier} solves for integers one step apart, and levels ${levels} are not. Use levels ternary, or ${quantizerFacts.gptq.modifier} or ${quantizerFacts.rtn.modifier}.`;
  if (observer === 'absmean' && !levelsFacts[levels].absmean)
    return `The observer absmean is for levels ternary and binary; with levels ${levels} it would cut most weights off. Use memoryless_mse.`;
  return null;
}

function meanWithoutLevels(modifier: RecipeModifier, group: SchemeGroup): Problem[] {
  const weights = group.scheme?.weights;
  const said = saidObserver(modifier, group, 'weights');
  if (!weights || said === null || weights.observer !== 'absmean' || weights.levels !== undefined) return [];
  return [
    problem(
      said.path,
      `The observer absmean is for levels ternary and binary, and ${group.name} has none. Use memoryless_mse, or add levels: ternary.`,
      [changeTo('memoryless_mse', said.path)],
    ),
  ];
}
