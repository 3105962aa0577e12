// What is said of one layer: the tooltip of its cell, what a screen reader hears of it, and the rows of the table and of the CSV file.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { LayerSensitivity, SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import type { LayerRulesResult } from '../../../schemas/src/protocol/client-server.js';
import { csvText } from '../csv.js';
import { draw, type Drawing } from '../plot/element.js';
import { candidateKeys, candidateOf, layerFigures, layerValueText, nameWithin } from './figures.js';
import type { HeatCell, HeatView } from './view.js';

const forceText = (name: string, rules: LayerRulesResult | null): string => {
  const layer = rules?.layers.find((candidate) => candidate.name === name);
  if (rules === null) return 'the recipe is being read';
  return layer === undefined ? 'not in the model of the recipe' : (layer.scheme ?? 'as it is (16 bits)');
};

const ruleText = (name: string, rules: LayerRulesResult | null): string => {
  const layer = rules?.layers.find((candidate) => candidate.name === name);
  const rule = rules?.rules[layer?.rule ?? -1];
  return rule === undefined ? 'no rule names it' : `${rule.entry} (${rule.where}, line ${rule.range.start.line + 1})`;
};

export function cellText({ layer, bits, value }: HeatCell, view: HeatView): string {
  const { figure } = view;
  const rank = view.ranks.get(bits)?.get(layer.name);
  const what = `${figure.name}${figure.ofBits ? ` with ${bits} bits` : ''}`;
  if (value === null) return `${what}: not measured`;
  return `${what}: ${layerValueText(figure, layer, value)}${rank === undefined ? '' : `, number ${rank} of ${view.total} from the worst`}`;
}

export function cellLabel(cell: HeatCell, view: HeatView, rules: LayerRulesResult | null): string {
  return `${cell.layer.name}. ${cellText(cell, view)}. Now ${forceText(cell.layer.name, rules)}.`;
}

export function drawCellTooltip(cell: HeatCell, view: HeatView, rules: LayerRulesResult | null): Drawing {
  const { layer, bits } = cell;
  const { figure } = view;
  const candidate = candidateOf(layer, bits);
  return draw(
    'div',
    {},
    draw('strong', {}, layer.name),
    draw('div', {}, cellText(cell, view)),
    draw(
      'div',
      {},
      `${layer.rows} × ${layer.columns}${figure.ofBits && candidate !== undefined ? `; as ${candidate.scheme} ${bytesText(layer.bytes_before)} → ${bytesText(candidate.bytes)}` : `, ${bytesText(layer.bytes_before)}`}`,
    ),
    draw('div', {}, `Now: ${forceText(layer.name, rules)}`),
    draw('div', {}, `Rule: ${ruleText(layer.name, rules)}`),
  );
}

/** The layers shown, with the figure for every number of bits: the alternative to the picture. */
export function drawLayerTable(
  analysis: SensitivityAnalysis,
  view: HeatView,
  rules: LayerRulesResult | null,
  selected: ReadonlySet<string>,
): Drawing {
  const { figure } = view;
  const bits = figure.ofBits ? analysis.bits : [analysis.bits[0] ?? 0];
  const heads = ['Chosen', 'Layer', 'Shape', 'Now', 'Rule', ...bits.map((bit) => (figure.ofBits ? `${bit} bits` : figure.name))];
  const rows = view.layers.map((layer) =>
    draw(
      'tr',
      { class: selected.has(layer.name) ? 'selected' : '' },
      draw(
        'td',
        {},
        draw('input', {
          type: 'checkbox',
          'data-choose': layer.name,
          'aria-label': `Choose ${layer.name}`,
          ...(selected.has(layer.name) ? { checked: '' } : {}),
        }),
      ),
      draw('th', { scope: 'row' }, layer.name),
      draw('td', { class: 'numeric' }, `${layer.rows} × ${layer.columns}`),
      draw('td', {}, forceText(layer.name, rules)),
      draw(
        'td',
        {},
        draw('button', { type: 'button', 'data-reveal': layer.name, title: 'Show it in the recipe' }, ruleText(layer.name, rules)),
      ),
      ...bits.map((bit) => {
        const value = figure.valueOf(layer, bit);
        return draw('td', { class: 'numeric' }, value === null ? '–' : layerValueText(figure, layer, value));
      }),
    ),
  );
  return draw(
    'table',
    {},
    draw('caption', {}, `${figure.name} of ${view.layers.length} of ${view.total} layers`),
    draw(
      'thead',
      {},
      draw('tr', {}, ...heads.map((head, at) => draw('th', { scope: 'col', class: at > 4 || at === 2 ? 'numeric' : '' }, head))),
    ),
    draw('tbody', {}, ...rows),
  );
}

/** Every layer and number of bits with everything that was measured. */
export function analysisCsv(analysis: SensitivityAnalysis, rules: LayerRulesResult | null): string {
  const facts = ['layer', 'block', 'role', 'rows', 'columns', 'group', 'now', 'num_bits', 'scheme', 'bytes'];
  const heads = [...facts, ...candidateKeys, ...Object.keys(layerFigures), 'hessian_trace_standard_error'];
  const rows = analysis.layers.flatMap((layer: LayerSensitivity) =>
    layer.candidates.map((candidate) => [
      layer.name,
      layer.block,
      layer.role,
      layer.rows,
      layer.columns,
      layer.group,
      forceText(layer.name, rules),
      candidate.num_bits,
      candidate.scheme,
      candidate.bytes,
      ...candidateKeys.map((key) => candidate[key] ?? null),
      ...Object.values(layerFigures).map((valueOf) => valueOf(layer)),
      layer.hessian_trace?.standard_error ?? null,
    ]),
  );
  return csvText(heads, rows);
}

/** The picture in a sentence. */
export function summaryText(view: HeatView): string {
  const { figure, cells } = view;
  const bits = cells[0]?.bits;
  const ranked = cells.filter((cell) => cell.bits === bits && cell.value !== null);
  const rank = ({ layer }: HeatCell): number => view.ranks.get(bits ?? 0)?.get(layer.name) ?? Infinity;
  const [worst] = [...ranked].sort((a, b) => rank(a) - rank(b));
  const shown = view.layers.length === view.total ? `${view.total} layers` : `${view.layers.length} of ${view.total} layers`;
  if (worst === undefined || worst.value === null) return `${shown}; ${figure.name} was not measured.`;
  return `${shown}. Worst by ${nameWithin(figure)}${figure.ofBits ? ` with ${worst.bits} bits` : ''}: ${worst.layer.name}, ${layerValueText(figure, worst.layer, worst.value)}.`;
}

/** A scheme without its bits, and without the word that one of the two writers leaves out. */
const kindOf = (scheme: string): string => (scheme.split(',')[0] ?? '').replace(/\d+/, '').replace(/ sym$/, '');

/** Whether the recipe now gives layers another kind of scheme than was analyzed: figures of groups of 128 say little of whole channels. null: no. */
export function otherSchemes({ layers }: SensitivityAnalysis, { layers: inForce }: LayerRulesResult): string | null {
  const now = new Map(inForce.map(({ name, scheme }) => [name, scheme]));
  const others = layers.flatMap(({ name, candidates }) => {
    const [scheme, analyzed] = [now.get(name) ?? null, candidates[0]?.scheme];
    return scheme === null || analyzed === undefined || kindOf(scheme) === kindOf(analyzed) ? [] : [{ name, scheme, analyzed }];
  });
  const [first] = others;
  if (first === undefined) return null;
  return `The recipe gives ${others.length === 1 ? first.name : `${others.length} layers, such as ${first.name},`} another kind of scheme (${first.scheme}) than was analyzed (${first.analyzed}). Analyze the recipe again to see its figures.`;
}
