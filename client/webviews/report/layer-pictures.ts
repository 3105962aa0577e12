// What the weights and inputs of a layer look like: before and after on one axis, the error, slices of channels, and the channels that stand out.
import type {
  InputPicture,
  LayerError,
  LayerMetrics,
  OutlierChannel,
  SidecarArray,
  WeightPicture,
} from '../../../schemas/src/generated/report.js';
import { percent } from '../../../schemas/src/number-text.js';
import { drawHistogram } from '../plot/bars.js';
import { draw } from '../plot/element.js';
import type { Drawing } from '../plot/element.js';
import { drawMini, drawStrip, type Counts } from '../plot/outline.js';
import { trim } from './metrics.js';

/** Numbers of an array of the report. */
export type ReadArray = (array: SidecarArray) => Promise<number[]>;

export type Level = 'tensor' | 'columns' | 'rows';
export const levels: readonly { key: Level; name: string }[] = [
  { key: 'tensor', name: 'whole tensor' },
  { key: 'columns', name: 'input channels' },
  { key: 'rows', name: 'output channels' },
];

const axisName: Readonly<Record<OutlierChannel['axis'], string>> = { column: 'input channel', row: 'output channel' };

const countsOf = async (array: SidecarArray, read: ReadArray): Promise<Counts> => ({
  counts: await read(array),
  min: array.min ?? 0,
  max: array.max ?? 1,
});

/** Rows of [slices, bins]. */
async function slicesOf(array: SidecarArray, read: ReadArray): Promise<Counts[]> {
  const [n = 0, bins = 0] = array.shape;
  const { counts, min, max } = await countsOf(array, read);
  return Array.from({ length: n }, (_, i) => ({ counts: counts.slice(i * bins, (i + 1) * bins), min, max }));
}

const key = (...texts: [string, string][]): Drawing =>
  draw('p', { class: 'key' }, ...texts.flatMap(([name, text]) => [draw('span', { class: name }), draw('span', {}, text)]));

/** Which channels stand out, in words: the alternative to the strip too. */
export function outlierText(outliers: readonly OutlierChannel[], of: string): string {
  if (outliers.length === 0) return `No channel of the ${of} stands out: none reaches three times the median of its like.`;
  const named = outliers.map(
    ({ axis, index, magnitude, times_median }) => `${axisName[axis]} ${index} (${trim(magnitude)}, ${trim(times_median)} times the median)`,
  );
  return `Channels of the ${of} that stand out: ${named.join(', ')}.`;
}

const strip = (title: string, values: readonly number[], channels: number, outliers: readonly OutlierChannel[], width: number): Drawing =>
  drawStrip(
    title,
    values,
    outliers.map(({ index }) => (index + 0.5) / Math.max(1, channels)),
    width,
  );

/** Below the histogram of the weights. */
export async function drawWeightPictures(
  layer: LayerMetrics,
  picture: WeightPicture,
  level: Level,
  logCounts: boolean,
  width: number,
  read: ReadArray,
): Promise<Drawing[]> {
  const error = await countsOf(picture.error, read);
  const sample =
    picture.rows < layer.rows ? ` Counts are of ${picture.rows} of ${layer.rows} rows that lie evenly; channels are those of all.` : '';
  const slices = level === 'tensor' ? [] : await drawSlices(picture, level, logCounts, read);
  const [columns, rows] = (['column', 'row'] as const).map((axis) => picture.outliers.filter((outlier) => outlier.axis === axis));
  return [
    ...slices,
    draw('h4', {}, 'Error of the weights'),
    drawHistogram({
      title: `Errors of the weights of ${layer.name}: at most ${trim(error.max)}`,
      ...error,
      marks: [],
      logCounts,
      width,
      height: 120,
      format: trim,
    }),
    draw('h4', {}, 'Largest weight of each input channel'),
    strip(
      `Largest magnitudes of ${layer.columns} input channels`,
      await read(picture.column_magnitudes),
      layer.columns,
      columns ?? [],
      width,
    ),
    draw('h4', {}, 'Largest weight of each output channel'),
    strip(`Largest magnitudes of ${layer.rows} output channels`, await read(picture.row_magnitudes), layer.rows, rows ?? [], width),
    draw(
      'p',
      { class: 'definition' },
      `${outlierText(picture.outliers, 'weight')}${layer.clipped_share === null ? '' : ` ${percent(layer.clipped_share)} of the weights are clipped.`}${sample}`,
    ),
  ];
}

async function drawSlices(picture: WeightPicture, level: 'columns' | 'rows', logCounts: boolean, read: ReadArray): Promise<Drawing[]> {
  const { channels, before, after } = level === 'columns' ? picture.column_slices : picture.row_slices;
  const [first, second] = [await slicesOf(before, read), await slicesOf(after, read)];
  const what = level === 'columns' ? 'input channels' : 'output channels';
  return [
    draw('h4', {}, `Slices of ${channels} ${what}`),
    draw(
      'div',
      { class: 'minis' },
      ...first.map((counts, i) => {
        const label = `${i * channels}–${(i + 1) * channels - 1}`;
        return draw(
          'figure',
          {},
          drawMini(`Weights of ${what} ${label}`, counts, second[i] ?? null, logCounts, { width: 104, height: 44 }),
          draw('figcaption', {}, label),
        );
      }),
    ),
  ];
}

/** Inputs of the layer on the compared rows. */
export async function drawInputs(
  { name }: LayerError,
  inputs: InputPicture,
  columns: number,
  logCounts: boolean,
  width: number,
  read: ReadArray,
): Promise<Drawing[]> {
  const [before, after] = [await countsOf(inputs.before, read), await countsOf(inputs.after, read)];
  return [
    draw('h4', {}, 'Inputs of the layer'),
    drawHistogram({
      title: `Inputs of ${name} from ${trim(before.min)} to ${trim(before.max)} in the model before, from ${trim(after.min)} to ${trim(after.max)} in the written one`,
      ...before,
      marks: [],
      outline: after,
      logCounts,
      width,
      height: 150,
      format: trim,
    }),
    key(['key-bar', 'in the model before'], ['key-outline', 'as the written model uses them']),
    draw('h4', {}, 'Largest input of each channel'),
    strip(`Largest magnitudes of ${columns} input channels`, await read(inputs.column_magnitudes), columns, inputs.outliers, width),
    draw('p', { class: 'definition' }, outlierText(inputs.outliers, 'inputs')),
  ];
}

/** A small histogram for each layer; each is a button that chooses it. */
export async function drawAllLayers(layers: readonly LayerMetrics[], logCounts: boolean, read: ReadArray): Promise<Drawing> {
  const shown = await Promise.all(
    layers.map(async (layer) => {
      if (layer.histogram === null) return null;
      const before = await countsOf(layer.histogram, read);
      const after = layer.picture && layer.picture.rows === layer.rows ? await countsOf(layer.picture.after, read) : null;
      return draw(
        'button',
        { type: 'button', class: 'mini-layer', 'data-layer': layer.name },
        drawMini(`Weights of ${layer.name}`, before, after, logCounts, { width: 104, height: 44 }),
        draw('span', {}, layer.name),
      );
    }),
  );
  return draw('div', { class: 'minis' }, ...shown.filter((drawing) => drawing !== null));
}
