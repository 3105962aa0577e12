// Whether an edited recipe does what was asked: each named layer gets its scheme, every other layer and its quantizer stay, and nothing runs into an error that was not there.
import { isDeepStrictEqual } from 'node:util';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { EditLayersResult, ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';
import { schemeText } from '../plan/scheme-text.js';
import type { Resolution } from '../plan/resolution.js';
import { schemeArgs, type SchemeArgs } from './layer-moves.js';

export interface JudgedRecipe {
  problems: readonly ProblemWithRange[];
  resolution: Resolution;
}

export function judgeEditedLayers(
  before: JudgedRecipe,
  after: JudgedRecipe & { text: string },
  wanted: ReadonlyMap<string, SchemeArgs | null>,
): EditLayersResult {
  const known = new Set(before.problems.map(keyOf));
  const found = after.problems.filter((problem) => !known.has(keyOf(problem)));
  const error = found.find(({ severity }) => severity === 'error');
  if (error !== undefined) return { reason: `The recipe would then have an error: ${error.message}` };
  const layers = new Map(before.resolution.layers.map((layer) => [layer.name, layer]));
  for (const layer of after.resolution.layers) {
    const was = layers.get(layer.name);
    const expected = wanted.has(layer.name) ? (wanted.get(layer.name) ?? null) : argsOf(was);
    if (!isDeepStrictEqual(argsOf(layer), expected))
      return {
        reason: `The recipe would then make ${layer.name} ${layer.scheme === null ? 'unquantized' : schemeText(layer.scheme)}; another rule of it comes first. Edit the recipe by hand.`,
      };
    if (was?.quantizer && layer.quantizer && was.quantizer.modifier !== layer.quantizer.modifier)
      return { reason: `The recipe would then give ${layer.name} to ${layer.quantizer.modifier}. Edit the recipe by hand.` };
  }
  return { text: after.text, warnings: found.filter(({ severity }) => severity === 'warning').map(({ message }) => message) };
}

const keyOf = ({ code, message }: ProblemWithRange): string => `${code} ${message}`;

const argsOf = (layer: LayerPlan | undefined): SchemeArgs | null => (layer?.scheme ? schemeArgs(layer.scheme) : null);
