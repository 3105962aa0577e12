// The static parts of the report page: panels with their heads and choices, and the places that pictures and tables are drawn into.
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { drawExport } from '../export-menu.js';
import { mostRows } from '../layer-places.js';
import { draw, type Drawing } from '../plot/element.js';
import { levels } from './layer-pictures.js';
import { metricsOf } from './metrics.js';
import { drawSummary } from './summary.js';

/** Panels of wide tables: the keyboard scrolls them too. */
const scrolled: ReadonlySet<string> = new Set(['canary', 'rotations', 'transforms', 'table']);

const filterBox = draw('input', {
  id: 'filter',
  type: 'search',
  'aria-label': 'Filter layers',
  placeholder: 'Words or /expression/',
});

export function drawPage(shown: RunReport): Drawing[] {
  const section = (id: string, title: string, ...more: Drawing[]): Drawing =>
    draw(
      'section',
      { class: 'panel', 'aria-labelledby': `${id}-title` },
      draw('div', { class: 'panel-head' }, draw('h2', { id: `${id}-title` }, title), ...more),
      draw('div', scrolled.has(id) ? { id, tabindex: 0, role: 'group', 'aria-labelledby': `${id}-title` } : { id }),
    );
  const metricChoice = draw(
    'select',
    { id: 'metric', 'aria-label': 'Figure shown' },
    ...metricsOf(shown.layers).map(({ key, name }) => draw('option', { value: key }, name)),
  );
  const levelChoice = draw(
    'select',
    { id: 'level', 'aria-label': 'Weights shown by' },
    ...levels.map(({ key, name }) => draw('option', { value: key }, name)),
  );
  const logChoice = draw('label', {}, draw('input', { type: 'checkbox', id: 'log-counts' }), 'logarithmic counts');
  return [
    drawSummary(shown),
    shown.layers.length === 0
      ? draw('p', { class: 'empty' }, 'No layer was finished in this run.')
      : draw(
          'div',
          { class: 'pictures' },
          draw(
            'div',
            {},
            section('heatmap', 'Which layer hurts', metricChoice, drawExport('Which layer hurts')),
            section('layer', 'Chosen layer'),
          ),
          section('weights', 'Weights', levelChoice, logChoice, drawExport('Weights')),
        ),
    ...(shown.depth ? [section('depth', 'Where did it break', drawExport('Where did it break'))] : []),
    ...(shown.canary ? [section('canary', 'Canary', drawExport('Canary'))] : []),
    ...(shown.rotations?.length ? [section('rotations', 'Rotations')] : []),
    ...(shown.transforms?.length ? [section('transforms', 'Transforms')] : []),
    ...(shown.layers.length === 0
      ? []
      : [
          draw(
            'details',
            { class: 'panel', id: 'all-weights' },
            draw('summary', {}, 'Weights of all layers'),
            drawExport('Weights of all layers'),
            draw('div', { id: 'minis' }),
          ),
          section('table', 'Layers', ...(shown.layers.length > mostRows ? [filterBox] : [])),
        ]),
  ];
}
