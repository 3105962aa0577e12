// What an entry of targets, ignore or mappings means in the model: the layers it matches, or of one layer its shape, its rules and the scheme in force.
import type { LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { compileTarget } from '../../../schemas/src/model/match-targets.js';
import { containersMatching } from '../plan/container-modules.js';
import { sizeOfDtype, storedBytes } from '../plan/estimate-size.js';
import { schemeText } from '../plan/scheme-text.js';
import { rulesOfLayer, type LayerRule } from '../plan/layer-rules.js';
import { matchesOf, modulesOf } from '../plan/pattern-matches.js';
import { settledLayers } from '../plan/resolution.js';
import type { Resolution } from '../plan/resolution.js';
import { bytesText } from '../../../schemas/src/bytes-text.js';

const listedLayers = 12;
const listedRules = 12;

/** Markdown; null without a model. */
export function targetText(entry: string, resolution: Resolution): string | null {
  const { model } = resolution;
  if (model === null) return null;
  const compiled = compileTarget(entry);
  if ('error' in compiled) return `Not a regular expression: ${compiled.error}.`;
  if (Object.hasOwn(model.modules, entry)) return layerText(entry, model, resolution);
  const modules = modulesOf(model);
  const matched = matchesOf(entry, modules).map(({ name }) => name);
  if (matched.length === 0) return unmatchedText(entry, model);
  const listed = matched.slice(0, listedLayers).map((name) => `- \`${name}\``);
  const rest = matched.length > listedLayers ? [`- and ${matched.length - listedLayers} more`] : [];
  const [only] = matched;
  return [
    `Matches ${matched.length} of ${modules.length} layers:`,
    [...listed, ...rest].join('\n'),
    ...effects(new Set(matched), resolution),
    ...(matched.length === 1 && only !== undefined ? [layerText(only, model, resolution)] : []),
  ].join('\n\n');
}

/** Blocks, attention and norms have names too, and pruning may target them. */
function unmatchedText(entry: string, model: ModelDescription): string {
  const containers = containersMatching(entry, model);
  const [first] = containers;
  const none = `Matches none of the ${modulesOf(model).length} layers of the model.`;
  return first === undefined ? none : `${none}\n\nIt fits ${containers.length} modules without a matrix, such as \`${first.name}\`.`;
}

/** What becomes of the layers together; the pattern may not be the rule that decides. */
function effects(names: ReadonlySet<string>, resolution: Resolution): string[] {
  const layers = settledLayers(resolution)?.layers ?? [];
  if (names.size < 2) return [];
  // The layers of one group share one scheme: a model may have ten thousand layers.
  const found = new Map<LayerPlan['scheme'], { first: LayerPlan; count: number }>();
  for (const layer of layers) {
    if (!names.has(layer.name)) continue;
    const known = found.get(layer.scheme);
    if (known === undefined) found.set(layer.scheme, { first: layer, count: 1 });
    else known.count += 1;
  }
  const parts = [...found.values()].map(({ first, count }) => `${count} × ${effectText(first)}`);
  return parts.length === 0 ? [] : [`In force: ${parts.join('; ')}.`];
}

const effectText = ({ scheme, quantizer }: LayerPlan): string =>
  scheme === null ? 'unchanged' : `${schemeText(scheme)}${quantizer === null ? '' : ` by ${quantizer.modifier}`}`;

function layerText(name: string, model: ModelDescription, resolution: Resolution): string {
  const { layers, quantization, document } = resolution;
  const layer = layers.find((candidate) => candidate.name === name);
  const weight = model.tensors.find((tensor) => tensor.name === `${name}.weight`);
  const shape = weight === undefined ? 'shares its weight with another layer' : `${weight.shape.join(' × ')} ${weight.dtype}`;
  const module = modulesOf(model).find((candidate) => candidate.name === name);
  const rules = module === undefined ? [] : rulesOfLayer(quantization, module);
  const lineOf = ({ path, modifier, group }: LayerRule): number =>
    document.rangeOf(document.has(path) ? path : (group ?? modifier).path, 'value').start.line + 1;
  const listed = rules.slice(0, listedRules).map((rule) => `- line ${lineOf(rule)}: ${ruleText(rule)}`);
  const rest = rules.length > listedRules ? [`- and ${rules.length - listedRules} more`] : [];
  return [
    `\`${name}\` · ${model.modules[name]} · ${shape}`,
    ...(layer === undefined || settledLayers(resolution) === null ? [] : [fateText(layer)]),
    ...(rules.length === 0 ? ['No target names it.'] : [['Rules that name it:', '', ...listed, ...rest].join('\n')]),
  ].join('\n\n');
}

function fateText(layer: LayerPlan): string {
  const { scheme, quantizer, rows, columns, dtype } = layer;
  if (scheme === null) return 'Stays as it is.';
  const before = rows * columns * sizeOfDtype(dtype);
  const sizes = `${bytesText(before)} → ${bytesText(storedBytes(layer, scheme, sizeOfDtype(dtype)))} as ${scheme.format}`;
  return `Becomes ${schemeText(scheme)}${quantizer === null ? '' : `, by ${quantizer.modifier}`} (${sizes}).`;
}

function ruleText({ entry, modifier, group, outcome, winner }: LayerRule): string {
  const where = group === null ? `ignore of ${modifier.name}` : `${group.name} of ${modifier.name}`;
  const by = winner === null ? '' : `\`${winner.entry}\``;
  return `\`${entry}\` (${where}) ${outcomeText(outcome, by, winner?.modifier.name ?? '')}`;
}

function outcomeText(outcome: LayerRule['outcome'], by: string, later: string): string {
  switch (outcome) {
    case 'holds':
      return '**holds**';
    case 'leaves-out':
      return 'leaves it out of that modifier';
    case 'left-out':
      return `is passed over: ${by} in ignore wins over targets`;
    case 'outranked':
      return `is passed over for ${by}: full names go first, then patterns in the order of their letters, then classes`;
    case 'taken-over':
      return `is overwritten by ${by} of the later ${later}`;
    case 'no-matrix':
      return 'is passed over: only linear layers and embeddings are quantized';
  }
}
