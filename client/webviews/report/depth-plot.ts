// Where did it break: the error of the hidden states behind every block as a line, and what each linear's output owes to weights, activations and the layers before.
import { divergenceLimit, errorParts, firstDivergence } from '../../../schemas/src/first-divergence.js';
import type { ErrorDepth, LayerError } from '../../../schemas/src/generated/report.js';
import { percent } from '../../../schemas/src/number-text.js';
import { round } from '../plot/cells.js';
import { draw } from '../plot/element.js';
import type { Drawing } from '../plot/element.js';
import { drawKey } from '../plot/key.js';
import { linearScale } from '../plot/scale.js';
import { blockLabels, drawBlockLine, frame, margin } from './block-line.js';
import { counted } from './metrics.js';

/** Narrower bars cannot be hit: the picture becomes wider than its panel and scrolls. */
const leastBar = 4;

const shareText = (share: number | null): string => (share === null ? 'not finite' : percent(share));

/** Every part of a layer in words: what a screen reader hears of its bar, and its tooltip. */
export const layerErrorText = (layer: LayerError): string =>
  `${layer.name}: output error ${shareText(layer.total)}; ${errorParts.map(({ key, name }) => `${name.toLowerCase()} ${shareText(layer[key])}`).join(', ')}`;

/** The line through the blocks. */
export function drawDepthLine({ blocks }: ErrorDepth, width: number): Drawing {
  const last = blocks.at(-1);
  const label = (block: number | null): string => (block === null ? 'embedding' : String(block));
  const svg = drawBlockLine({
    points: blocks.map(({ block, error }) => ({ label: label(block), value: error })),
    format: percent,
    label: `Error of the hidden states behind the embedding and ${counted(blocks.length - 1, 'block')}: ${shareText(blocks[0]?.error ?? 0)} at the beginning, ${shareText(last?.error ?? 0)} behind block ${last?.block ?? 0}`,
    width,
  });
  const table = {
    name: 'Hidden states behind each block',
    of: null,
    heads: ['block', 'error'],
    rows: () => blocks.map(({ block, error }) => [label(block), error]),
  };
  return { ...svg, table };
}

/** A bar for each linear in the order of its work, its parts on each other; a line where the limit is. One tab stop, arrow keys walk through. */
export function drawDepthBars(depth: ErrorDepth, selected: string | null, width: number): Drawing {
  const { layers } = depth;
  const height = 210;
  const bar = Math.max(leastBar, (width - margin.left - margin.right) / Math.max(1, layers.length));
  const whole = Math.max(width, margin.left + margin.right + bar * layers.length);
  const sums = layers.map((layer) =>
    Math.max(
      layer.total ?? 0,
      errorParts.reduce((sum, { key }) => sum + (layer[key] ?? 0), 0),
    ),
  );
  const most = Math.max(1e-12, ...sums);
  const scale = linearScale(0, most * 1.05);
  const inner = height - margin.top - margin.bottom;
  const y = (value: number): number => margin.top + (1 - scale.share(value)) * inner;
  const bottom = margin.top + inner;
  const diverging = firstDivergence(depth)?.layer.name ?? null;
  const chosen = layers.some(({ name }) => name === selected) ? selected : (diverging ?? layers[0]?.name ?? null);
  const bars = layers.map((layer, i) => {
    const x = margin.left + i * bar;
    let below = 0;
    const parts = errorParts.flatMap(({ key }) => {
      const share = layer[key] ?? 0;
      const [from, to] = [y(below), y(below + share)];
      below += share;
      return share > 0
        ? [
            draw('rect', {
              class: `part-${key}`,
              x: round(x + 0.5),
              y: round(to),
              width: round(Math.max(1, bar - 1)),
              height: round(from - to),
            }),
          ]
        : [];
    });
    const isBroken = layer.total === null || errorParts.some(({ key }) => layer[key] === null);
    const total = layer.total === null ? margin.top : y(layer.total);
    return draw(
      'g',
      {
        class: `depth-bar${layer.name === diverging ? ' diverging' : ''}`,
        role: 'option',
        tabindex: layer.name === chosen ? 0 : -1,
        'aria-selected': layer.name === selected ? 'true' : 'false',
        'aria-label': `${layerErrorText(layer)}${layer.name === diverging ? '. The first layer that diverges' : ''}`,
        'data-key': layer.name,
      },
      // Takes the pointer and the focus over the whole height.
      draw('rect', { class: 'depth-hit', x: round(x), y: margin.top, width: round(bar), height: inner }),
      ...(isBroken
        ? [draw('rect', { class: 'part-broken', x: round(x + 0.5), y: margin.top, width: round(Math.max(1, bar - 1)), height: inner })]
        : parts),
      draw('line', { class: 'depth-total', x1: round(x), x2: round(x + bar), y1: round(total), y2: round(total) }),
      ...(layer.name === diverging
        ? [draw('path', { class: 'depth-mark', d: `M${round(x + bar / 2 - 5)} 0 L${round(x + bar / 2 + 5)} 0 L${round(x + bar / 2)} 8 Z` })]
        : []),
    );
  });
  const limit = y(divergenceLimit);
  const starts = layers.flatMap(({ block }, i) =>
    i === 0 || layers[i - 1]?.block !== block ? [{ x: margin.left + (i + 0.5) * bar, text: block === null ? 'head' : String(block) }] : [],
  );
  const svg = draw(
    'svg',
    {
      class: 'depth-bars',
      width: round(whole),
      height,
      viewBox: `0 0 ${round(whole)} ${height}`,
      role: 'listbox',
      'aria-orientation': 'horizontal',
      'aria-label': `Output errors of ${counted(layers.length, 'layer')} in the order of their work. Arrow keys move, Enter shows a layer.`,
    },
    ...frame(scale.ticks(4), y, whole, percent),
    ...(most >= divergenceLimit
      ? [
          draw('line', {
            class: 'depth-limit',
            x1: margin.left,
            x2: round(whole - margin.right),
            y1: round(limit),
            y2: round(limit),
            'aria-hidden': 'true',
          }),
        ]
      : []),
    ...bars,
    draw('line', { class: 'axis', x1: margin.left, x2: round(whole - margin.right), y1: bottom, y2: bottom }),
    ...blockLabels(starts, height),
  );
  const keys = ['total', ...errorParts.map(({ key }) => key)] as const;
  const table = {
    name: 'Output errors of each layer',
    of: null,
    heads: ['layer', 'block', ...keys],
    rows: () => layers.map((layer) => [layer.name, layer.block, ...keys.map((key) => layer[key])]),
  };
  return { ...svg, table };
}

export const drawDepthKey = (): Drawing =>
  drawKey(
    ...errorParts.map(({ key, name, definition }) => ({ swatch: `key-part part-${key}`, text: name.toLowerCase(), help: definition })),
    {
      swatch: 'key-total',
      text: 'together, as a share of the squared output',
      help: 'Output error: |y′ − y|² / |y|². Parts add up to it but for what they have in common.',
    },
  );

/** The alternative to the pictures. */
export function drawDepthTable({ layers }: ErrorDepth, selected: string | null): Drawing {
  const columns = [{ key: 'total', name: 'Output error', definition: '|y′ − y|² / |y|²' } as const, ...errorParts];
  return draw(
    'table',
    { class: 'depth-table' },
    draw('caption', {}, `Output errors of ${counted(layers.length, 'layer')} in the order of their work`),
    draw(
      'thead',
      {},
      draw(
        'tr',
        {},
        draw('th', { scope: 'col' }, 'Layer'),
        ...columns.map(({ name, definition }) => draw('th', { scope: 'col', class: 'numeric', title: definition }, name)),
      ),
    ),
    draw(
      'tbody',
      {},
      ...layers.map((layer) =>
        draw(
          'tr',
          { class: layer.name === selected ? 'selected' : '' },
          draw('th', { scope: 'row' }, draw('button', { type: 'button', 'data-layer': layer.name }, layer.name)),
          ...columns.map(({ key }) => draw('td', { class: 'numeric' }, shareText(layer[key]))),
        ),
      ),
    ),
  );
}
