// The scales that a transform chose, one row for each mapping: how far inputs and weights are balanced, and what a search gained by it.
import type { TransformMetrics } from '../../../schemas/src/generated/report.js';
import { draw } from '../plot/element.js';
import type { Drawing } from '../plot/element.js';
import { counted, trim } from './metrics.js';

interface Column {
  title: string;
  help: string;
  textOf(mapping: TransformMetrics): string;
}

const role = (name: string): string => name.slice(name.lastIndexOf('.') + 1);

const columns: readonly Column[] = [
  { title: 'Smooth layer', help: 'Module whose outputs are divided by the scales', textOf: ({ smooth_layer }) => smooth_layer },
  {
    title: 'Balance layers',
    help: 'Modules whose columns are multiplied by them',
    textOf: ({ balance_layers }) => balance_layers.map(role).join(', '),
  },
  { title: 'By', help: 'Modifier of the recipe', textOf: ({ modifier }) => modifier },
  {
    title: 'Ratio',
    help: 'Exponent of the activation statistic: found by AWQ’s search, or smoothing_strength',
    textOf: ({ ratio, duo_scaling }) => `${trim(ratio)}${duo_scaling === true ? ', with weights' : ''}`,
  },
  { title: 'Scales', help: 'Smallest and largest', textOf: ({ scale_min, scale_max }) => `${trim(scale_min)} … ${trim(scale_max)}` },
  {
    title: 'Loss',
    help: 'Mean squared error of the parent’s output on the calibration rows with weights rounded to nearest: before and with the scales (L(s), arXiv 2306.00978, equation 4)',
    textOf: ({ loss_before, loss_after }) =>
      loss_after === null ? '–' : `${loss_before === null ? '–' : trim(loss_before)} → ${trim(loss_after)}`,
  },
  {
    title: 'Gain',
    help: 'Part of the loss that the scales take away',
    textOf: ({ loss_before, loss_after }) =>
      loss_before === null || loss_after === null || loss_before === 0 ? '–' : `${((1 - loss_after / loss_before) * 100).toFixed(1)} %`,
  },
];

export function drawTransforms(transforms: readonly TransformMetrics[]): Drawing {
  return draw(
    'table',
    { class: 'transforms' },
    draw('caption', {}, counted(transforms.length, 'scaled mapping')),
    draw('thead', {}, draw('tr', {}, ...columns.map(({ title, help }) => draw('th', { scope: 'col', title: help }, title)))),
    draw('tbody', {}, ...transforms.map((mapping) => draw('tr', {}, ...columns.map(({ textOf }) => draw('td', {}, textOf(mapping)))))),
  );
}
