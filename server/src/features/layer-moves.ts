// What is to become of each chosen layer: the modifier that it belongs to, and its scheme there as a recipe writes it; or why it cannot be.
import type { LayerPlan, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import type { NamedModule } from '../../../schemas/src/model/match-targets.js';
import type { LayerEdit } from '../../../schemas/src/protocol/client-server.js';
import { expandScheme, type SchemeGroup } from '../plan/expand-scheme.js';
import { presetBody } from '../plan/presets.js';
import { decidingRule, rulesOfLayer } from '../plan/layer-rules.js';
import { modulesOf } from '../plan/pattern-matches.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import type { Resolution, ResolvedModifier } from '../plan/resolution.js';
import { mappingOf } from '../recipe/coerce.js';

/** A scheme without its storage format, which follows from it. */
export type SchemeArgs = Omit<QuantizationScheme, 'format'>;

export const schemeArgs = ({ weights, input_activations, output_activations }: QuantizationScheme): SchemeArgs => ({
  weights,
  input_activations,
  output_activations,
});

/** A layer with what is to become of it. */
export interface Move {
  layer: LayerPlan;
  module: NamedModule;
  resolved: ResolvedModifier;
  note: string;
  /** null: it is ignored. `body` is the group as a recipe writes it, without its targets. */
  to: { scheme: SchemeArgs; body: Readonly<Record<string, unknown>>; title: string } | null;
}

/** A sentence for the user. */
export class EditRefused extends Error {}

export function movesOf(resolution: Resolution, { layers, to }: LayerEdit): Move[] {
  const modules = resolution.model === null ? [] : modulesOf(resolution.model);
  const byName = new Map(modules.map((module) => [module.name, module]));
  const plans = new Map(resolution.layers.map((layer) => [layer.name, layer]));
  return layers.map(({ name, reason }) => {
    const [layer, module] = [plans.get(name), byName.get(name)];
    if (layer === undefined || module === undefined)
      throw new EditRefused(`The model of this recipe has no layer ${name}. Analyze this recipe again.`);
    const rules = rulesOfLayer(resolution.quantization, module);
    const rule = decidingRule(rules);
    const resolved = resolution.quantization.find(({ modifier }) => modifier === rule?.modifier) ?? onlyModifier(resolution, name);
    const note = reason.replace(/\s+/g, ' ').trim();
    if ('ignore' in to) return { layer, module, resolved, note, to: null };
    if ('scheme' in to) return { layer, module, resolved, note, to: presetTarget(to.scheme, resolved.modifier) };
    const group = rule?.group ?? rules.find(({ outcome }) => outcome === 'left-out')?.group ?? resolved.groups[0];
    return { layer, module, resolved, note, to: bitsTarget(to.num_bits, group ?? null, resolved.modifier, name) };
  });
}

function onlyModifier({ quantization }: Resolution, name: string): ResolvedModifier {
  const [only] = quantization;
  if (only === undefined || quantization.length > 1)
    throw new EditRefused(
      only === undefined
        ? 'The recipe has no modifier that quantizes. Add one, such as QuantizationModifier.'
        : `No target names ${name}, and several modifiers could take it. Name it in the targets of one of them.`,
    );
  return only;
}

function presetTarget(preset: string, modifier: RecipeModifier): NonNullable<Move['to']> {
  const body = presetBody(preset);
  const { groups } = expandScheme({
    ...modifier,
    body: { ...modifier.body, config_groups: undefined, scheme: preset, targets: ['Linear'] },
  });
  const scheme = groups[0]?.scheme ?? null;
  if (body === null || scheme === null) throw new EditRefused(`${preset} is no preset scheme.`);
  if (scheme.weights === null) throw new EditRefused(`${preset} quantizes no weights; to leave layers as they are, ignore them.`);
  return { scheme: schemeArgs(scheme), body, title: preset.toLowerCase() };
}

function bitsTarget(num_bits: number, group: SchemeGroup | null, modifier: RecipeModifier, name: string): NonNullable<Move['to']> {
  const weights = group?.scheme?.weights ?? null;
  if (!group?.scheme || weights === null)
    throw new EditRefused(`${name} has no scheme whose bits could be changed. Assign it a scheme instead.`);
  if (weights.type === 'float')
    throw new EditRefused(
      `${name} has weights in ${weights.num_bits}-bit floating point, which has no form with ${num_bits} bits and the same scales. Assign it a scheme instead.`,
    );
  if (!Number.isInteger(num_bits) || num_bits < 1 || num_bits > 8)
    throw new EditRefused(`Weights are stored in 1 to 8 bits, and ${num_bits} were asked for.`);
  const body = bodyOf(group, modifier);
  return {
    scheme: { ...schemeArgs(group.scheme), weights: { ...weights, num_bits } },
    body: { ...body, weights: { ...mappingOf(body['weights']), num_bits } },
    title: `int${num_bits}`,
  };
}

/** A group as its author, or its preset, wrote it, without its targets. */
export function bodyOf(group: SchemeGroup, { body }: RecipeModifier): Readonly<Record<string, unknown>> {
  const written = group.path.at(-2) === 'config_groups' ? mappingOf(mappingOf(body['config_groups'])[group.name]) : presetBody(group.name);
  if (written === null) throw new EditRefused(`${group.name} is no preset scheme.`);
  return Object.fromEntries(Object.entries(written).filter(([key]) => key !== 'targets'));
}
