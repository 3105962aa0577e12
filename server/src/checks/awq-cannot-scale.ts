// AWQ mappings against the model and the schemes behind them: llm-compressor looks at them only when calibration starts.
import type { LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { compileTarget } from '../../../schemas/src/model/match-targets.js';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import { containerModules } from '../plan/container-modules.js';
import { matchesOf, modulesOf } from '../plan/pattern-matches.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import { coerceTo, mappingOf, textOf, textsOf } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const awqCannotScale: Check = {
  code: 'awq-cannot-scale',
  run: ({ model, modifiers, layers, architectureReason }) => {
    if (model === null) return [];
    return modifiers
      .filter(({ name }) => name === 'AWQModifier')
      .flatMap((modifier) => problemsOf(modifier, model, layers, architectureReason));
  },
};

interface Mapping {
  smooth: string;
  balance: readonly string[];
  path: RecipePath;
}

/** For the classes that have no mappings of their own. */
const defaults: readonly { smooth: string; balance: readonly string[] }[] = [
  { smooth: 're:.*input_layernorm$', balance: ['re:.*q_proj$', 're:.*k_proj$', 're:.*v_proj$'] },
  { smooth: 're:.*v_proj$', balance: ['re:.*o_proj$'] },
  { smooth: 're:.*post_attention_layernorm$', balance: ['re:.*gate_proj$', 're:.*up_proj$'] },
  { smooth: 're:.*up_proj$', balance: ['re:.*down_proj$'] },
];

function problemsOf(modifier: RecipeModifier, model: ModelDescription, layers: readonly LayerPlan[], unknown: string | null): Problem[] {
  const { body, path } = modifier;
  const said = Array.isArray(body['mappings']) ? (body['mappings'] as unknown[]) : null;
  // Other architectures may have mappings of their own.
  if (said === null && unknown !== null) return [];
  const mappings: Mapping[] =
    said === null
      ? defaults.map((mapping) => ({ ...mapping, path }))
      : said.map((entry, index) => ({
          smooth: textOf(mappingOf(entry)['smooth_layer'], ''),
          balance: textsOf(mappingOf(entry)['balance_layers']),
          path: [...path, 'mappings', index],
        }));
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  const problems = mappings
    .filter(({ smooth, balance }) => smooth !== '' && balance.length > 0)
    .flatMap((mapping) => faultOf(mapping, modifier, model, byName) ?? []);
  // Defaults that do not fit are one fault.
  return said === null ? problems.slice(0, 1) : problems;
}

function faultOf(
  { smooth, balance, path }: Mapping,
  { body }: RecipeModifier,
  model: ModelDescription,
  layers: ReadonlyMap<string, LayerPlan>,
): Problem | null {
  const problem = (severity: Problem['severity'], message: string): Problem => ({
    code: 'awq-cannot-scale',
    severity,
    path,
    at: 'key',
    message: `AWQModifier: ${message}`,
  });
  const smoothNames = namesOf(smooth, model);
  const balanceNames = balance.map((entry) => ({ entry, names: namesOf(entry, model) }));
  const missing = [
    ...(smoothNames.length === 0 ? [smooth] : []),
    ...balanceNames.filter(({ names }) => names.length === 0).map(({ entry }) => entry),
  ];
  if (missing.length > 0) {
    const isIdle = missing.length === balance.length + 1;
    const effect = isIdle ? 'so this mapping does nothing' : 'so llm-compressor fails when it starts to calibrate';
    return problem(
      isIdle ? 'warning' : 'error',
      `${missing.join(', ')} ${missing.length === 1 ? 'matches' : 'match'} no module of the model, ${effect}. Give the names of this model's layers.`,
    );
  }
  const blocks = new Map<string, string[]>();
  for (const name of smoothNames) blocks.set(blockOf(name), [...(blocks.get(blockOf(name)) ?? []), name]);
  const several = [...blocks.values()].find((names) => names.length > 1);
  if (several !== undefined)
    return problem(
      'error',
      `${smooth} matches ${several.length} layers of one block (${several.join(', ')}), and a mapping scales one. Narrow the pattern.`,
    );
  const balanced = balanceNames.flatMap(({ names }) => names).flatMap((name) => layers.get(name) ?? []);
  const tensorWide = balanced.find(({ scheme }) => scheme?.weights?.strategy === 'tensor');
  if (tensorWide !== undefined && (coerceTo('boolean', body['duo_scaling']) ?? true) !== false)
    return problem(
      'error',
      `${tensorWide.name} gets one scale for the whole tensor, which duo_scaling cannot weigh by. Set duo_scaling: false, or use strategy channel or group.`,
    );
  if (balanced.length > 0 && balanced.every(({ scheme }) => (scheme?.weights ?? null) === null))
    return problem(
      'warning',
      `none of ${balance.join(', ')} is quantized by the modifiers of this recipe, so this mapping is passed over. Remove it, or widen the targets.`,
    );
  return null;
}

/** Norms have no matrix, and are what AWQ mostly scales. */
function namesOf(entry: string, model: ModelDescription): string[] {
  const compiled = compileTarget(entry);
  if (!('matcher' in compiled)) return [];
  const norms = containerModules(model).filter(({ kind, name }) => kind === 'norm' && compiled.matcher({ name, class: 'Other' }));
  return [...matchesOf(entry, modulesOf(model)), ...norms].map(({ name }) => name);
}

const blockOf = (name: string): string => /^.*?\.\d+\./.exec(name)?.[0] ?? '';
