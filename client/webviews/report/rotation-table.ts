// The matrices that were turned, one row for each: how far the largest entry stood out before, and after.
import type { RotationMetrics } from '../../../schemas/src/generated/report.js';
import { draw } from '../plot/element.js';
import type { Drawing } from '../plot/element.js';
import { counted, trim } from './metrics.js';

interface Column {
  title: string;
  help: string;
  textOf(rotation: RotationMetrics): string;
}

const columns: readonly Column[] = [
  { title: 'Weight', help: 'Tensor of the model', textOf: ({ tensor }) => tensor },
  { title: 'By', help: 'Modifier of the recipe', textOf: ({ modifier }) => modifier },
  {
    title: 'Incoherence',
    help: 'max |W| · √(rows · columns) / ‖W‖, 1 where all entries are alike (arXiv 2307.13304): before and after the rotation',
    textOf: ({ incoherence_before, incoherence_after }) => `${trim(incoherence_before)} → ${trim(incoherence_after)}`,
  },
];

export function drawRotations(rotations: readonly RotationMetrics[]): Drawing {
  return draw(
    'table',
    { class: 'rotations' },
    draw('caption', {}, counted(rotations.length, 'turned weight')),
    draw('thead', {}, draw('tr', {}, ...columns.map(({ title, help }) => draw('th', { scope: 'col', title: help }, title)))),
    draw('tbody', {}, ...rotations.map((rotation) => draw('tr', {}, ...columns.map(({ textOf }) => draw('td', {}, textOf(rotation)))))),
  );
}
