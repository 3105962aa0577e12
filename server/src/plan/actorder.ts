// The actorder of GPTQ, which a recipe may say on the modifier and in the weights of a group.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import { changeTo } from '../recipe/change-to.js';
import { actorders, refusal } from './quantization-args.js';
import type { RecipeModifier } from './read-modifiers.js';

/** The modifier's actorder wins where the args say none; two different ones are refused, aliases count as different. Of texts that mean nothing actorder-invalid speaks. */
export function actorderOf(
  modifier: RecipeModifier,
  said: Readonly<Record<string, unknown>>,
  weights: QuantizationArgs,
  argsPath: RecipePath,
  problems: Problem[],
): QuantizationArgs['actorder'] {
  const path = [...modifier.path, 'actorder'];
  const value = modifier.body['actorder'];
  if (typeof value === 'boolean')
    problems.push({
      ...refusal(
        'actorder-invalid',
        path,
        `actorder is ${String(value)}; on the modifier it must be static, weight, group, dynamic or null.`,
      ),
      fixes: [changeTo(value ? 'group' : 'null', path)],
    });
  // The args are read first: true is group, false is null, and letters do not matter there.
  const written = said['actorder'];
  const inArgs = written === true ? 'group' : written === false ? null : typeof written === 'string' ? written.toLowerCase() : written;
  if (value !== undefined && inArgs !== undefined && inArgs !== null && value !== inArgs)
    problems.push({
      ...refusal(
        'actorder-given-twice',
        path,
        `actorder is ${JSON.stringify(value)} here and ${JSON.stringify(written)} in the weights of ${String(argsPath.at(-2))}; llm-compressor refuses two different ones. Keep one.`,
      ),
      related: [{ path: [...argsPath, 'actorder'], at: 'value', message: `${JSON.stringify(written)} here` }],
      fixes: [
        {
          title: `Keep ${JSON.stringify(value)}, of the modifier`,
          preferred: false,
          edits: [{ kind: 'remove', path: [...argsPath, 'actorder'] }],
        },
        { title: `Keep ${JSON.stringify(written)}, of the weights`, preferred: false, edits: [{ kind: 'remove', path }] },
      ],
    });
  const asked =
    value === undefined
      ? inArgs === undefined || inArgs === null
        ? 'weight'
        : weights.actorder
      : value === null
        ? null
        : (actorders.get(String(value)) ?? null);
  // The modifier's `group` falls back where there are no groups; the check actorder-without-groups says so.
  return asked === 'group' && weights.strategy !== 'group' && weights.strategy !== 'tensor_group' ? null : asked;
}
