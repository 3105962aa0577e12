// Hints inside a recipe: how many layers a pattern matches, how many bits a weight takes, how many bytes a modifier saves.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { RecipePath, TextRange } from '../../../schemas/src/problem.js';
import { sizeOfDtype, storedBytes } from '../plan/estimate-size.js';
import type { PatternMatch, Resolution } from '../plan/resolution.js';

/** Each kind has a switch of its own. */
export const inlayHintKinds = ['matchCounts', 'bitsPerWeight', 'bytesSaved'] as const;
export type InlayHintKind = (typeof inlayHintKinds)[number];

export interface InlayHint {
  kind: InlayHintKind;
  /** It stands behind this place. */
  position: TextRange['start'];
  label: string;
  tooltip: string;
}

const listedLayers = 8;

/** Those on the lines of `range`; empty without a model. */
export function inlayHints(resolution: Resolution, range: TextRange, shown: ReadonlySet<InlayHintKind>): InlayHint[] {
  if (resolution.model === null) return [];
  const hints = [
    ...(shown.has('matchCounts')
      ? resolution.quantization.flatMap(({ patterns }) => patterns.flatMap((match) => countHint(resolution, match)))
      : []),
    ...(shown.has('bitsPerWeight') || shown.has('bytesSaved')
      ? resolution.quantization.flatMap(({ modifier }) => costHints(resolution, modifier.path))
      : []),
  ];
  return hints.filter(({ kind, position }) => shown.has(kind) && position.line >= range.start.line && position.line <= range.end.line);
}

function countHint({ document }: Resolution, { path, matches, kind }: PatternMatch): InlayHint[] {
  if (matches === null || !document.has(path)) return [];
  const names = matches.slice(0, listedLayers).map(({ name }) => name);
  const more = matches.length > listedLayers ? [`and ${matches.length - listedLayers} more`] : [];
  return [
    {
      kind: 'matchCounts',
      position: document.rangeOf(path, 'value').end,
      label: layersText(matches.length),
      tooltip: `${kind === 'target' ? 'Chooses' : 'Leaves out'} ${layersText(matches.length)} of the model\n${[...names, ...more].join('\n')}`,
    },
  ];
}

const layersText = (n: number): string => (n === 1 ? '1 layer' : `${n} layers`);

/** Behind the modifier's name: bits per weight of the layers it quantizes, and bytes it saves. */
function costHints({ document, layers }: Resolution, path: RecipePath): InlayHint[] {
  const own = layers.filter(({ scheme, quantizer }) => scheme?.weights && samePath(quantizer?.recipe_path, path));
  if (own.length === 0 || !document.has(path)) return [];
  const sum = (of: (layer: LayerPlan) => number): number => own.reduce((total, layer) => total + of(layer), 0);
  const weights = sum(({ rows, columns }) => rows * columns);
  const before = sum((layer) => (layer.tied_to === null ? layer.rows * layer.columns * sizeOfDtype(layer.dtype) : 0));
  const after = sum((layer) => (layer.scheme === null ? 0 : storedBytes(layer, layer.scheme, sizeOfDtype(layer.dtype))));
  const position = document.rangeOf(path, 'key').end;
  // Behind the colon.
  const behind = { line: position.line, character: position.character + 1 };
  const bits = (after * 8) / weights;
  return [
    {
      kind: 'bitsPerWeight',
      position: behind,
      label: `${bits.toFixed(2)} bits per weight`,
      tooltip: `${own.length} layers, ${weights.toLocaleString('en')} weights, scales and zero points included`,
    },
    {
      kind: 'bytesSaved',
      position: behind,
      label: `${after <= before ? '−' : '+'}${bytesText(Math.abs(before - after))}`,
      tooltip: `${bytesText(before)} become ${bytesText(after)}`,
    },
  ];
}

const samePath = (a: readonly (string | number)[] | undefined, b: RecipePath): boolean =>
  a !== undefined && a.length === b.length && a.every((step, index) => step === b[index]);
