// The weights of one layer as a histogram with its quantization grid drawn on it.
import type { LayerMetrics, SidecarArray } from '../../../schemas/src/generated/report.js';
import { drawHistogram } from '../plot/bars.js';
import type { Drawing } from '../plot/element.js';
import type { Counts } from '../plot/outline.js';
import { trim } from './metrics.js';

export interface LayerArrays {
  counts: readonly number[];
  grid: readonly number[];
  /** Weights as written; left out where the report has none, or counts of a sample. */
  after?: Counts | null;
}

/** Numbers of a sidecar array from the bytes of its file; a file that is too short is an error. */
export function readArray(array: SidecarArray, file: ArrayBuffer): number[] {
  const length = array.shape.reduce((n, extent) => n * extent, 1);
  const size = array.dtype === 'F64' || array.dtype === 'I64' ? 8 : 4;
  if (array.offset + length * size > file.byteLength)
    throw new RangeError(
      `${array.file} has ${file.byteLength} bytes; ${length} numbers of type ${array.dtype} at byte ${array.offset} do not fit.`,
    );
  const view = new DataView(file, array.offset, length * size);
  const read: Record<SidecarArray['dtype'], (i: number) => number> = {
    F32: (i) => view.getFloat32(4 * i, true),
    F64: (i) => view.getFloat64(8 * i, true),
    I32: (i) => view.getInt32(4 * i, true),
    U32: (i) => view.getUint32(4 * i, true),
    I64: (i) => Number(view.getBigInt64(8 * i, true)),
  };
  return Array.from({ length }, (_, i) => read[array.dtype](i));
}

export function drawWeights(layer: LayerMetrics, { counts, grid, after = null }: LayerArrays, logCounts: boolean, width: number): Drawing {
  const [first = 0] = grid;
  return drawHistogram({
    name: 'Weights',
    of: layer.name,
    series: ['before', 'after', 'grid'],
    title: `Weights of ${layer.name}: ${counts.reduce((sum, count) => sum + count, 0)} weights from ${trim(layer.histogram?.min ?? 0)} to ${trim(layer.histogram?.max ?? 0)}; grid of ${grid.length} values from ${trim(Math.min(first, ...grid))} to ${trim(Math.max(first, ...grid))}`,
    counts,
    min: layer.histogram?.min ?? 0,
    max: layer.histogram?.max ?? 1,
    marks: grid,
    outline: after,
    logCounts,
    width,
    height: 220,
    format: trim,
  });
}
