// AWQ mappings against the model and the schemes behind them: llm-compressor looks at them only when calibration starts.
import type { LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { groupBy } from '../../../schemas/src/group-by.js';
import type { Problem } from '../../../schemas/src/problem.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import {
  awqPatterns,
  blockPrefix,
  isSharedHeads,
  namesMatching,
  observedLayer,
  pairsOf,
  parentOf,
  widthOf,
  type AwqPair,
  type AwqPatterns,
} from '../plan/resolve-awq-mappings.js';
import { coerceTo } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const awqCannotScale: Check = {
  code: 'awq-cannot-scale',
  run: ({ model, modifiers, quantization, layers, architectureReason }) => {
    if (model === null) return [];
    return (
      modifiers
        .filter(({ name }) => name === 'AWQModifier')
        // Without any quantizer awq-without-quantizer speaks, and of no mapping in particular.
        .flatMap((modifier) => problemsOf(modifier, model, quantization.length === 0 ? [] : layers, architectureReason))
    );
  },
};

function problemsOf(modifier: RecipeModifier, model: ModelDescription, layers: readonly LayerPlan[], unknown: string | null): Problem[] {
  const said = Array.isArray(modifier.body['mappings']);
  const mappings = awqPatterns(modifier, unknown === null);
  if (mappings === null) return [];
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  const problems = mappings.flatMap((mapping) => faultOf(mapping, modifier, model, byName) ?? []);
  // Defaults that do not fit are one fault.
  return said ? problems : problems.slice(0, 1);
}

function faultOf(
  mapping: AwqPatterns,
  { body }: RecipeModifier,
  model: ModelDescription,
  layers: ReadonlyMap<string, LayerPlan>,
): Problem | null {
  const { smooth, balance, path, activation_hook_target: hook } = mapping;
  const problem = (severity: Problem['severity'], message: string): Problem => ({
    code: 'awq-cannot-scale',
    severity,
    path,
    at: 'key',
    message: `AWQModifier: ${message}`,
  });
  const smoothNames = namesMatching(smooth, model);
  const balanceNames = balance.map((entry) => ({ entry, names: namesMatching(entry, model) }));
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
  const several = [...groupBy(smoothNames, blockPrefix).values()].find((names) => names.length > 1);
  if (several !== undefined)
    return problem(
      'error',
      `${smooth} matches ${several.length} layers of one block (${several.join(', ')}), and a mapping scales one. Narrow the pattern.`,
    );
  const blocksOfBalance = new Set(balanceNames.flatMap(({ names }) => names).map(blockPrefix));
  const alone = smoothNames.find((name) => !blocksOfBalance.has(blockPrefix(name)));
  if (alone !== undefined)
    return problem(
      'error',
      `${alone} stands in a block in which ${balance.join(', ')} ${balance.length === 1 ? 'matches' : 'match'} nothing, and llm-compressor fails on the incomplete set. Let smooth_layer and balance_layers name the same blocks.`,
    );
  const pairs = pairsOf(mapping, model).filter((pair) => !isSharedHeads(pair, model));
  for (const { smooth_layer, balance_layers } of pairs) {
    const outputs = widthOf(smooth_layer, model)?.outputs;
    const other = balance_layers.find((name) => widthOf(name, model)?.inputs !== outputs);
    if (other !== undefined)
      return problem(
        'error',
        `${smooth_layer} hands on ${outputs} channels and ${other} takes ${widthOf(other, model)?.inputs}, so that no scale of one belongs to a column of the other. Give layers of which one feeds the other.`,
      );
  }
  const unseen = pairs.find((pair) => observedLayer(pair, hook, model) === null);
  if (unseen !== undefined)
    return problem(
      'error',
      `activation_hook_target ${hook} of ${parentOf(unseen.balance_layers)} is no linear and no MLP, so that no input is recorded there. Leave it out for the input of ${unseen.balance_layers[0]}.`,
    );
  const balanced = balanceNames.flatMap(({ names }) => names).flatMap((name) => layers.get(name) ?? []);
  const tensorWide = balanced.find(({ scheme }) => scheme?.weights?.strategy === 'tensor');
  if (tensorWide !== undefined && (coerceTo('boolean', body['duo_scaling']) ?? true) !== false)
    return problem(
      'error',
      `${tensorWide.name} gets one scale for the whole tensor, which duo_scaling cannot weigh by. Set duo_scaling: false, or use strategy channel or group.`,
    );
  const rewired = model.architecture === null ? null : wiringFault(pairs);
  if (rewired !== null) return problem('warning', rewired);
  if (balanced.length > 0 && balanced.every(({ scheme }) => (scheme?.weights ?? null) === null))
    return Array.isArray(body['mappings'])
      ? problem(
          'warning',
          `none of ${balance.join(', ')} is quantized by the modifiers of this recipe, so this mapping is passed over. Remove it, or widen the targets.`,
        )
      : problem(
          'information',
          `none of ${balance.join(', ')} is quantized by the modifiers of this recipe, so that one of its mappings, which are the defaults, is passed over.`,
        );
  return null;
}

/** What hands its output on in the Llama family so that a scale passes through, and all that take it. */
const readers: Readonly<Record<string, readonly string[]>> = {
  input_layernorm: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  post_attention_layernorm: ['mlp.gate_proj', 'mlp.up_proj'],
  v_proj: ['self_attn.o_proj'],
  up_proj: ['mlp.down_proj'],
};

/** A scale that not all readers undo, or that one undoes which never got it, changes what the model computes. */
function wiringFault(pairs: readonly AwqPair[]): string | null {
  for (const { smooth_layer, balance_layers } of pairs) {
    const block = blockPrefix(smooth_layer);
    const expected = (readers[smooth_layer.slice(smooth_layer.lastIndexOf('.') + 1)] ?? []).map((name) => block + name);
    const missing = expected.filter((name) => !balance_layers.includes(name));
    const strange = balance_layers.filter((name) => !expected.includes(name));
    if (strange.length > 0)
      return `${strange.join(', ')} ${strange.length === 1 ? 'does' : 'do'} not take the output of ${smooth_layer} itself, so that the scales do not cancel and the model computes something else, without a word. ${expected.length === 0 ? 'Remove the mapping.' : `Its balance layers are ${expected.join(', ')}.`}`;
    if (missing.length > 0)
      return `${missing.join(', ')} ${missing.length === 1 ? 'takes' : 'take'} the output of ${smooth_layer} too and ${missing.length === 1 ? 'is' : 'are'} not among its balance layers, so that the scales do not cancel and the model computes something else, without a word. Add ${missing.length === 1 ? 'it' : 'them'}.`;
  }
  return null;
}
