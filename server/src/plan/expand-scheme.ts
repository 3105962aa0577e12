// Presets, config_groups and mappings of presets → groups of targets with explicit schemes; what a scheme and its modifier may say together.
import { ggufScheme } from '../../../schemas/src/gguf-scheme.js';
import type { LayerPlan, ModelDescription, QuantizationArgs, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import { booleanOf, coerceTo, mappingOf, textOf, textsOf } from '../recipe/coerce.js';
import { nearestName } from '../recipe/did-you-mean.js';
import { actorderOf } from './actorder.js';
import { observerOverrides, type ObserverOverrides } from './observer-overrides.js';
import { presetBody, presetNames } from './presets.js';
import { expandArgs, refusal, removal } from './quantization-args.js';
import { bitsandbytesScheme } from './quantizers/bitsandbytes.js';
import { vptqSchemeOf } from './quantizers/vptq.js';
import { defaultType, ggufSchemeOf, ggufWish, imatrixOf } from './quantizers/gguf.js';
import type { RecipeModifier } from './read-modifiers.js';

/** Targets and the scheme they get; scheme null where a problem stands in its place. */
export interface SchemeGroup {
  name: string;
  path: RecipePath;
  targets: readonly string[];
  targetsPath: RecipePath;
  /** null where the recipe does not say targets and the default holds. */
  targetsSaid: boolean;
  scheme: QuantizationScheme | null;
  /** Where layers of a group get schemes of their own, by their place in the model; `scheme` is that of most. */
  schemeOf?: (layer: LayerPlan, model: ModelDescription) => QuantizationScheme;
}

export interface ExpandedModifier {
  groups: SchemeGroup[];
  problems: Problem[];
}

export function expandScheme(modifier: RecipeModifier): ExpandedModifier {
  const { body, path } = modifier;
  if (modifier.name === 'BitsAndBytesModifier') return { groups: [wholeGroup(modifier, bitsandbytesScheme(body))], problems: [] };
  if (modifier.name === 'VPTQModifier') return { groups: [wholeGroup(modifier, vptqSchemeOf(body))], problems: [] };
  if (modifier.name === 'GGUFModifier') return { groups: ggufGroups(modifier), problems: [] };
  const problems: Problem[] = [];
  const expanded: Omit<SchemeGroup, 'scheme'>[] = [];
  /** null: no preset has that name. */
  const parts: (Readonly<Record<string, unknown>> | null)[] = [];
  const add = (
    name: string,
    at: RecipePath,
    targets: readonly string[],
    targetsPath: RecipePath,
    targetsSaid: boolean,
    part: Readonly<Record<string, unknown>> | null,
  ): void => {
    expanded.push({ name, path: at, targets, targetsPath, targetsSaid });
    parts.push(part);
  };
  const preset = (name: string, at: RecipePath): Readonly<Record<string, unknown>> | null => {
    const found = presetBody(name);
    if (found !== null) return found;
    const near = nearestName(name, presetNames);
    problems.push(
      refusal(
        'unknown-scheme',
        at,
        `${name} is no preset scheme${near === null ? `; presets are ${presetNames.join(', ')}` : `; did you mean ${near}?`} For a scheme of your own use config_groups.`,
      ),
    );
    return null;
  };
  const saidTargets = body['targets'] === undefined || body['targets'] === null ? null : textsOf(body['targets']);
  const { scheme, config_groups: groups } = body;
  const hasGroups = groups !== undefined && groups !== null;
  const hasScheme = scheme !== undefined && scheme !== null;
  if (hasGroups && hasScheme)
    problems.push({
      ...refusal(
        'scheme-and-config-groups-together',
        [...path, 'scheme'],
        `${modifier.name} has both scheme and config_groups, llm-compressor refuses that. Keep one: config_groups says the same and more.`,
        'key',
      ),
      related: [{ path: [...path, 'config_groups'], at: 'key', message: 'config_groups stands here' }],
      fixes: ['scheme', 'config_groups'].map((field) => removal(path, field)),
    });
  if (hasGroups) {
    for (const [name, group] of Object.entries(mappingOf(groups))) {
      const at = [...path, 'config_groups', name];
      add(name, at, textsOf(mappingOf(group)['targets']), [...at, 'targets'], true, mappingOf(group));
    }
  } else if (typeof scheme === 'string') {
    add(
      scheme,
      [...path, 'scheme'],
      saidTargets ?? ['Linear'],
      [...path, 'targets'],
      saidTargets !== null,
      preset(scheme, [...path, 'scheme']),
    );
  } else if (hasScheme) {
    for (const [name, targets] of Object.entries(mappingOf(scheme))) {
      const at = [...path, 'scheme', name];
      add(name, at, textsOf(targets), at, true, preset(name, at));
    }
  }
  const overrides = observerOverrides(modifier, problems);
  refuseCacheScheme(modifier, problems);
  return {
    groups: expanded.map((group, index) => {
      const part = parts[index] ?? null;
      return { ...group, scheme: part === null ? null : kept(group.path, expandGroup(part, group.path, modifier, overrides, problems)) };
    }),
    problems,
  };
}

/** Names that do not exist are told by the schema. */
function ggufGroups(modifier: RecipeModifier): SchemeGroup[] {
  const { body, path } = modifier;
  const importance = booleanOf(body['importance'], false) || imatrixOf(body) !== null;
  const group = (whole: Omit<SchemeGroup, 'scheme'>, said: string, pure: boolean): SchemeGroup => {
    const wish = ggufWish(said, pure, importance);
    if (wish === null) return { ...whole, scheme: null };
    return {
      ...whole,
      scheme: kept(whole.path, ggufScheme(wish.base, null, null)),
      schemeOf: (layer, model) => kept([...whole.path, 'of layers'], ggufSchemeOf(wish, layer, model)),
    };
  };
  const groups = body['config_groups'] ?? null;
  if (groups === null) {
    const { scheme: _, ...whole } = wholeGroup(modifier, null, ['Linear', 'Embedding']);
    return [group(whole, textOf(body['type'], defaultType), booleanOf(body['pure'], false))];
  }
  return Object.entries(mappingOf(groups)).map(([name, said]) => {
    const at = [...path, 'config_groups', name];
    const part = mappingOf(said);
    const targets = textsOf(part['targets']);
    return group({ name, path: at, targets, targetsPath: [...at, 'targets'], targetsSaid: true }, textOf(part['type'], ''), true);
  });
}

/** A modifier that is its own scheme: all of its targets get it. */
function wholeGroup(
  { name, path, body }: RecipeModifier,
  scheme: QuantizationScheme | null,
  usual: readonly string[] = ['Linear'],
): SchemeGroup {
  const targetsSaid = body['targets'] !== undefined && body['targets'] !== null;
  const targets = targetsSaid ? textsOf(body['targets']) : usual;
  return { name, path, targets, targetsPath: [...path, 'targets'], targetsSaid, scheme: kept(path, scheme) };
}

const schemes = new Map<string, QuantizationScheme>();
const mostSchemes = 2000;

/**
 * The scheme of a group is the same object as long as it says the same, from one key press to the next, and never that of another group: layers are
 * compared by it.
 */
function kept<Scheme extends QuantizationScheme | null>(path: RecipePath, scheme: Scheme): Scheme;
function kept(path: RecipePath, scheme: QuantizationScheme | null): QuantizationScheme | null {
  if (scheme === null) return null;
  const key = JSON.stringify([path, scheme]);
  const known = schemes.get(key) ?? Object.freeze(scheme);
  if (schemes.size >= mostSchemes) schemes.clear();
  schemes.set(key, known);
  return known;
}

/** The keys and values of the cache are quantized as the inputs of attention. */
function refuseCacheScheme({ body, path }: RecipeModifier, problems: Problem[]): void {
  const said = coerceTo('object', body['kv_cache_scheme']);
  if (said === undefined) return;
  const at = [...path, 'kv_cache_scheme'];
  const { strategy, dynamic } = expandArgs(mappingOf(said), at, false, null, problems);
  if (strategy === 'channel' || strategy === 'block' || ((strategy === 'group' || strategy === 'tensor_group') && dynamic !== true))
    problems.push(
      refusal(
        'input-strategy-unsupported',
        at,
        `kv_cache_scheme cannot use strategy ${strategy}; llm-compressor fails on it when it starts. Use tensor or attn_head.`,
      ),
    );
}

function expandGroup(
  part: Readonly<Record<string, unknown>>,
  path: RecipePath,
  modifier: RecipeModifier,
  overrides: ObserverOverrides,
  problems: Problem[],
): QuantizationScheme | null {
  const before = problems.length;
  const inGroups = path.includes('config_groups');
  const args = (key: string, observer: string | null): QuantizationArgs | null => {
    const value = part[key];
    if (value === undefined || value === null) return null;
    return expandArgs(mappingOf(value), inGroups ? [...path, key] : path, key === 'weights', observer, problems);
  };
  let weights = args('weights', overrides.weights);
  const input_activations = args('input_activations', overrides.input);
  const output_activations = args('output_activations', overrides.output);
  if (input_activations !== null && (input_activations.strategy === 'channel' || input_activations.strategy === 'block'))
    problems.push(
      refusal(
        'input-strategy-unsupported',
        path,
        `input_activations cannot use strategy ${input_activations.strategy}; llm-compressor allows token, tensor, group and tensor_group.`,
      ),
    );
  if (output_activations !== null && !isOutputStrategy(output_activations))
    problems.push(
      refusal(
        'input-strategy-unsupported',
        path,
        `output_activations cannot use ${output_activations.dynamic === true ? '' : 'calibrated '}strategy ${output_activations.strategy}; llm-compressor fails on it. Use tensor, or token at run time.`,
      ),
    );
  if (weights?.strategy === 'attn_head')
    problems.push(
      refusal(
        'quantization-args-invalid',
        inGroups ? [...path, 'weights', 'strategy'] : path,
        'strategy attn_head is for the inputs of attention and for kv_cache_scheme; llm-compressor fails on weights with it when it starts. Use channel.',
      ),
    );
  if (weights !== null && modifier.name === 'GPTQModifier')
    weights = {
      ...weights,
      actorder: actorderOf(modifier, mappingOf(part['weights']), weights, inGroups ? [...path, 'weights'] : path, problems),
    };
  if (problems.length > before) return null;
  const format = coerceTo('string', part['format']) as QuantizationScheme['format'] | undefined;
  return { weights, input_activations, output_activations, format: format ?? inferFormat(weights, input_activations) };
}

const isOutputStrategy = ({ strategy, dynamic }: QuantizationArgs): boolean =>
  strategy === 'tensor' || strategy === 'token' || (dynamic === true && (strategy === 'group' || strategy === 'tensor_group'));

/** Storage format by compressed-tensors' order of rules; the first that fits. */
function inferFormat(weights: QuantizationArgs | null, inputs: QuantizationArgs | null): QuantizationScheme['format'] {
  if (weights === null) return 'dense';
  if (weights.type === 'float' && weights.num_bits === 4)
    return weights.group_size === 32 ? 'mxfp4-pack-quantized' : weights.group_size === 16 ? 'nvfp4-pack-quantized' : 'naive-quantized';
  if (weights.type === 'float' && weights.group_size === 32 && (weights.scale_dtype ?? '').endsWith('uint8')) return 'mxfp8-quantized';
  if (weights.type === 'int' && inputs !== null) return 'int-quantized';
  if (weights.type === 'int' && weights.num_bits <= 8) return 'pack-quantized';
  return weights.type === 'float' && inputs !== null ? 'float-quantized' : 'naive-quantized';
}
