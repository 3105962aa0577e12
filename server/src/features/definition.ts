// Where what stands under the cursor comes from, and where else it is spoken of: alias and anchor, layer and rule, path and file.
import path from 'node:path';
import type { RecipePath, TextRange } from '../../../schemas/src/problem.js';
import { decidingRule, rulesOfLayer } from '../plan/layer-rules.js';
import { matchesOf, modulesOf } from '../plan/pattern-matches.js';
import type { Resolution } from '../plan/resolution.js';
import { definitionOfAlias, referencesOfAnchor } from './anchors.js';
import { wantsTarget } from './completion-targets.js';

/** In the recipe, or another file. */
export type Definition = { range: TextRange } | { file: string };

/** A pattern may match ten thousand layers; the rules of the first ones are enough. */
const mostLayers = 200;

export function definitions(resolution: Resolution, offset: number): Definition[] {
  const { document, model, quantization } = resolution;
  const anchor = definitionOfAlias(document, offset);
  if (anchor !== null) return [{ range: anchor }];
  const place = document.placeAt(offset);
  if (place === null || place.at !== 'value') return [];
  const file = fileAt(resolution, place.path);
  if (file !== null) return [{ file }];
  const entry = document.valueAt(place.path);
  if (model === null || typeof entry !== 'string' || !wantsTarget(place.path)) return [];
  const ranges = new Map<string, Definition>();
  for (const module of matchesOf(entry, modulesOf(model)).slice(0, mostLayers)) {
    const rule = decidingRule(rulesOfLayer(quantization, module));
    if (rule === null) continue;
    // Default targets are not written; their scheme is.
    const at = document.has(rule.path) ? rule.path : (rule.group ?? rule.modifier).path;
    ranges.set(JSON.stringify(at), { range: document.rangeOf(at, 'value') });
  }
  return [...ranges.values()];
}

/** Of an anchor its aliases; of a layer or pattern every entry that names one of its layers. */
export function references(resolution: Resolution, offset: number, withDefinition: boolean): TextRange[] {
  const { document, model, quantization } = resolution;
  const ofAnchor = referencesOfAnchor(document, offset, withDefinition);
  if (ofAnchor.length > 0) return ofAnchor;
  const place = document.placeAt(offset);
  const entry = place?.at === 'value' ? document.valueAt(place.path) : undefined;
  if (place === null || model === null || typeof entry !== 'string' || !wantsTarget(place.path)) return [];
  const named = new Set(matchesOf(entry, modulesOf(model)));
  return quantization
    .flatMap(({ patterns }) => patterns)
    .filter(({ path: at, matches }) => document.has(at) && (matches?.some((module) => named.has(module)) ?? false))
    .map(({ path: at }) => document.rangeOf(at, 'value'));
}

function fileAt({ model, calibration, evaluations, tasks }: Resolution, at: RecipePath): string | null {
  const isAt = (other: RecipePath): boolean => at.join('/') === other.join('/');
  if (isAt(['model'])) return model === null ? null : path.join(model.dir, 'config.json');
  const dataset = [calibration, ...evaluations, ...tasks.files].find((candidate) => candidate !== null && isAt(candidate.path));
  return dataset?.exists === true ? dataset.plan.dataset : null;
}
