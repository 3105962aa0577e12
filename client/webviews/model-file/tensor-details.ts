// One chosen tensor: what the header says, and the statistics that were asked for.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { FileTensor } from '../../../schemas/src/protocol/model-file-page.js';
import type { TensorChannel, TensorStatistics } from '../../../schemas/src/protocol/client-worker.js';
import { drawExport } from '../export-menu.js';
import { drawHistogram } from '../plot/bars.js';
import { draw, type Drawing } from '../plot/element.js';
import { n_elements } from './tensor-rows.js';

export type Looked = 'asked' | { statistics: TensorStatistics } | { message: string };

/** The channel of a tensor that was last chosen, and what is known of it. */
export interface ChannelLook {
  channel: TensorChannel;
  looked: Looked | null;
}

const channelName: Readonly<Record<TensorChannel['axis'], string>> = { row: 'output channel', column: 'input channel' };

export const shapeText = (shape: readonly number[]): string => (shape.length === 0 ? 'scalar' : shape.join(' × '));
export const sizeText = ({ bytes }: FileTensor): string => (bytes === null ? 'not known' : bytesText(bytes));
export const placeText = ({ file, offset }: FileTensor): string =>
  `${file === null ? '' : `${file} `}${offset === null ? 'not at one place' : `at ${offset.toLocaleString('en-US')}`}`;

const whole = (value: number): string => value.toLocaleString('en-US');
const figure = (value: number): string => String(Number(value.toPrecision(5)));
const pairs = (entries: readonly (readonly [string, string])[]): Drawing =>
  draw('dl', { class: 'facts' }, ...entries.flatMap(([term, text]) => [draw('dt', {}, term), draw('dd', {}, text)]));

export function drawTensor(
  tensor: FileTensor,
  looked: Looked | null,
  whyNoStatistics: string | null,
  width: number,
  own: ChannelLook | null = null,
): Drawing[] {
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
        : drawLooked(looked, 'Statistics', width)),
    ...(looked !== null && typeof looked === 'object' && 'statistics' in looked && tensor.shape.length === 2
      ? drawChannel(tensor, own, width)
      : []),
    ...(looked === null || looked === 'asked' || 'message' in looked ? [] : [drawExport('Statistics')]),
  ];
}

const drawLooked = (looked: Looked, title: string, width: number): Drawing[] =>
  looked === 'asked'
    ? [draw('p', { class: 'quiet', role: 'status' }, 'The weights are read …')]
    : 'message' in looked
      ? [draw('p', { class: 'problems', role: 'alert' }, looked.message)]
      : drawStatistics(looked.statistics, title, width);

/** The choice of one row or column, and its numbers when they are there. */
function drawChannel({ shape }: FileTensor, own: ChannelLook | null, width: number): Drawing[] {
  const { axis, index } = own?.channel ?? { axis: 'row', index: 0 };
  const most = (shape[axis === 'row' ? 0 : 1] ?? 1) - 1;
  const option = (value: TensorChannel['axis']): Drawing =>
    draw('option', { value, ...(value === axis ? { selected: '' } : {}) }, channelName[value]);
  const looked = own?.looked ?? null;
  return [
    draw('h3', {}, 'One channel'),
    draw(
      'div',
      { class: 'channel' },
      draw('select', { id: 'channel-axis', 'aria-label': 'Kind of channel' }, option('row'), option('column')),
      draw('input', {
        id: 'channel-index',
        type: 'number',
        min: 0,
        max: most,
        value: index,
        'aria-label': `Number of the channel, 0 to ${most}`,
      }),
      draw('button', { type: 'button', class: 'action', 'data-action': 'channel' }, 'Show channel'),
    ),
    ...(looked === null ? [] : drawLooked(looked, `${channelName[axis][0]?.toUpperCase()}${channelName[axis].slice(1)} ${index}`, width)),
  ];
}

function drawStatistics(statistics: TensorStatistics, title: string, width: number): Drawing[] {
  const { min, max, mean, std, absmax, n_nan, n_inf, count, histogram } = statistics;
  return [
    draw('h3', {}, title),
    pairs([
      ['Least', figure(min)],
      ['Greatest', figure(max)],
      ['Mean', figure(mean)],
      ['Standard deviation', figure(std)],
      ['Largest magnitude', figure(absmax)],
      ...(n_nan + n_inf === 0 ? [] : [['Not finite', `${whole(n_nan)} NaN, ${whole(n_inf)} infinite of ${whole(count)}`] as const]),
    ]),
    drawHistogram({
      name: title === 'Statistics' ? 'Histogram' : title,
      of: statistics.name,
      title: `Histogram of ${statistics.name}: ${whole(count)} values from ${figure(min)} to ${figure(max)}, logarithmic counts`,
      counts: histogram.counts,
      min: histogram.min,
      max: histogram.max,
      marks: statistics.levels ?? [],
      logCounts: true,
      width,
      height: 200,
      format: figure,
    }),
  ];
}
