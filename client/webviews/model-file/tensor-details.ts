// One chosen tensor: what the header says, and the statistics that were asked for.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { FileTensor } from '../../../schemas/src/protocol/model-file-page.js';
import type { TensorStatistics } from '../../../schemas/src/protocol/client-worker.js';
import { drawExport } from '../export-menu.js';
import { drawHistogram } from '../plot/bars.js';
import { draw, type Drawing } from '../plot/element.js';
import { n_elements } from './tensor-rows.js';

export type Looked = 'asked' | { statistics: TensorStatistics } | { message: string };

export const shapeText = (shape: readonly number[]): string => (shape.length === 0 ? 'scalar' : shape.join(' × '));
export const sizeText = ({ bytes }: FileTensor): string => (bytes === null ? 'not known' : bytesText(bytes));
export const placeText = ({ file, offset }: FileTensor): string =>
  `${file === null ? '' : `${file} `}${offset === null ? 'not at one place' : `at ${offset.toLocaleString('en-US')}`}`;

const whole = (value: number): string => value.toLocaleString('en-US');
const figure = (value: number): string => String(Number(value.toPrecision(5)));
const pairs = (entries: readonly (readonly [string, string])[]): Drawing =>
  draw('dl', { class: 'facts' }, ...entries.flatMap(([term, text]) => [draw('dt', {}, term), draw('dd', {}, text)]));

export function drawTensor(tensor: FileTensor, looked: Looked | null, whyNoStatistics: string | null, width: number): Drawing[] {
  return [
    draw('h2', {}, tensor.name),
    pairs([
      ['Type', tensor.dtype],
      ['Shape', shapeText(tensor.shape)],
      ['Values', whole(n_elements(tensor))],
      ['Size', sizeText(tensor)],
      ['Place', placeText(tensor)],
    ]),
    ...(whyNoStatistics !== null
      ? [draw('p', { class: 'quiet' }, whyNoStatistics)]
      : looked === null
        ? [draw('button', { type: 'button', class: 'action', 'data-action': 'inspect' }, 'Statistics')]
        : looked === 'asked'
          ? [draw('p', { class: 'quiet', role: 'status' }, 'The weights are read …')]
          : 'message' in looked
            ? [draw('p', { class: 'problems', role: 'alert' }, looked.message)]
            : drawStatistics(looked.statistics, width)),
  ];
}

function drawStatistics(statistics: TensorStatistics, width: number): Drawing[] {
  const { min, max, mean, std, absmax, n_nan, n_inf, count, histogram } = statistics;
  return [
    draw('h3', {}, 'Statistics'),
    pairs([
      ['Least', figure(min)],
      ['Greatest', figure(max)],
      ['Mean', figure(mean)],
      ['Standard deviation', figure(std)],
      ['Largest magnitude', figure(absmax)],
      ...(n_nan + n_inf === 0 ? [] : [['Not finite', `${whole(n_nan)} NaN, ${whole(n_inf)} infinite of ${whole(count)}`] as const]),
    ]),
    drawHistogram({
      name: 'Histogram',
      of: statistics.name,
      title: `Histogram of ${statistics.name}: ${whole(count)} values from ${figure(min)} to ${figure(max)}, logarithmic counts`,
      counts: histogram.counts,
      min: histogram.min,
      max: histogram.max,
      marks: [],
      logCounts: true,
      width,
      height: 200,
      format: figure,
    }),
    drawExport('Statistics'),
  ];
}
