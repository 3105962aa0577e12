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
import type { Drawing, PictureTable } from '../plot/element.js';
import { drawKey } from '../plot/key.js';
import { countRows, drawMini, drawStrip, type Counts } from '../plot/outline.js';
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

/** Which channels stand out, in words: the alternative to the strip too. */
export function outlierText(outliers: readonly OutlierChannel[], of: string): string {
  if (outliers.length === 0) return `No channel of the ${of} stands out: none reaches three times the median of its like.`;
  const named = outliers.map(
    ({ axis, index, magnitude, times_median }) => `${axisName[axis]} ${index} (${trim(magnitude)}, ${trim(times_median)} times the median)`,
  );
  return `Channels of the ${of} that stand out: ${named.join(', ')}.`;
}

interface Strip {
  name: string;
  of: string;
  title: string;
  values: readonly number[];
  channels: number;
  outliers: readonly OutlierChannel[];
}

function strip({ name, of, title, values, channels, outliers }: Strip, width: number): Drawing {
  // Of a wide layer a bar is the largest of so many neighbours.
  const n_each = Math.ceil(channels / Math.max(1, values.length));
  const table = {
    name,
    of,
    heads: ['first channel', 'last channel', 'largest magnitude'],
    rows: () => values.map((value, i) => [i * n_each, Math.min(channels, (i + 1) * n_each) - 1, value]),
  };
  const marked = outliers.map(({ index }) => (index + 0.5) / Math.max(1, channels));
  return { ...drawStrip(title, values, marked, width), table };
}

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
  const slices = level === 'tensor' ? [] : await drawSlices(layer.name, picture, level, logCounts, read);
  const [columns, rows] = (['column', 'row'] as const).map((axis) => picture.outliers.filter((outlier) => outlier.axis === axis));
  const strips = (side: string, channels: number, values: readonly number[], outliers: Strip['outliers'] = []): Drawing[] => {
    const name = `Largest weight of each ${side} channel`;
    const title = `Largest magnitudes of ${channels} ${side} channels`;
    return [draw('h4', {}, name), strip({ name, of: layer.name, title, values, channels, outliers }, width)];
  };
  return [
    ...slices,
    draw('h4', {}, 'Error of the weights'),
    drawHistogram({
      name: 'Error of the weights',
      of: layer.name,
      title: `Errors of the weights of ${layer.name}: at most ${trim(error.max)}`,
      ...error,
      marks: [],
      logCounts,
      width,
      height: 120,
      format: trim,
    }),
    ...strips('input', layer.columns, await read(picture.column_magnitudes), columns),
    ...strips('output', layer.rows, await read(picture.row_magnitudes), rows),
    draw(
      'p',
      { class: 'definition' },
      `${outlierText(picture.outliers, 'weight')}${layer.clipped_share === null ? '' : ` ${percent(layer.clipped_share)} of the weights are clipped.`}${sample}`,
    ),
  ];
}

async function drawSlices(
  of: string,
  picture: WeightPicture,
  level: 'columns' | 'rows',
  logCounts: boolean,
  read: ReadArray,
): Promise<Drawing[]> {
  const { channels, before, after } = level === 'columns' ? picture.column_slices : picture.row_slices;
  const [first, second] = [await slicesOf(before, read), await slicesOf(after, read)];
  const what = level === 'columns' ? 'input channels' : 'output channels';
  const name = `Slices of ${channels} ${what}`;
  const labelOf = (i: number): string => `${i * channels}–${(i + 1) * channels - 1}`;
  const minis = draw(
    'div',
    { class: 'minis' },
    ...first.map((counts, i) =>
      draw(
        'figure',
        {},
        drawMini(`Weights of ${what} ${labelOf(i)}`, counts, second[i] ?? null, logCounts, { width: 104, height: 44 }),
        draw('figcaption', {}, labelOf(i)),
      ),
    ),
  );
  const table = miniTable(
    name,
    of,
    'channels',
    first.map((before, i) => ({ label: labelOf(i), before, after: second[i] ?? null })),
  );
  return [draw('h4', {}, name), { ...minis, table }];
}

interface Mini {
  label: string;
  before: Counts;
  after: Counts | null;
}

const miniTable = (name: string, of: string | null, head: string, minis: readonly Mini[]): PictureTable => ({
  name,
  of,
  heads: [head, 'series', 'from', 'to', 'count'],
  rows: () =>
    minis.flatMap(({ label, before, after }) =>
      [...countRows('before', before), ...(after === null ? [] : countRows('after', after))].map((row) => [label, ...row]),
    ),
});

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
      name: 'Inputs',
      of: name,
      series: ['before', 'written', 'marks'],
      title: `Inputs of ${name} from ${trim(before.min)} to ${trim(before.max)} in the model before, from ${trim(after.min)} to ${trim(after.max)} in the written one`,
      ...before,
      marks: [],
      outline: after,
      logCounts,
      width,
      height: 150,
      format: trim,
    }),
    drawKey({ swatch: 'key-bar', text: 'in the model before' }, { swatch: 'key-outline', text: 'as the written model uses them' }),
    draw('h4', {}, 'Largest input of each channel'),
    strip(
      {
        name: 'Largest input of each channel',
        of: name,
        title: `Largest magnitudes of ${columns} input channels`,
        values: await read(inputs.column_magnitudes),
        channels: columns,
        outliers: inputs.outliers,
      },
      width,
    ),
    draw('p', { class: 'definition' }, outlierText(inputs.outliers, 'inputs')),
  ];
}

/** A small histogram for each layer; each is a button that chooses it. */
export async function drawAllLayers(layers: readonly LayerMetrics[], logCounts: boolean, read: ReadArray): Promise<Drawing> {
  const found = await Promise.all(
    layers.map(async (layer): Promise<Mini[]> => {
      if (layer.histogram === null) return [];
      const before = await countsOf(layer.histogram, read);
      const after = layer.picture && layer.picture.rows === layer.rows ? await countsOf(layer.picture.after, read) : null;
      return [{ label: layer.name, before, after }];
    }),
  );
  const minis = found.flat();
  const drawing = draw(
    'div',
    { class: 'minis' },
    ...minis.map(({ label, before, after }) =>
      draw(
        'button',
        { type: 'button', class: 'mini-layer', 'data-layer': label },
        drawMini(`Weights of ${label}`, before, after, logCounts, { width: 104, height: 44 }),
        draw('span', {}, label),
      ),
    ),
  );
  return { ...drawing, table: miniTable('Weights of all layers', null, 'layer', minis) };
}
