// More than two runs: quality, size and time of each, one run to a row, the best of each column marked. A pure drawing.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { qualityMetrics } from '../../../schemas/src/quality-metrics.js';
import { draw, drawTableOf, type Drawing } from '../plot/element.js';
import { secondsText, trim } from '../report/metrics.js';
import { isLowerBetter, nameOf, whenOf } from './comparison.js';

interface Column {
  name: string;
  isLowerBetter: boolean;
  valueOf(report: RunReport): number | null;
  format(value: number): string;
}

const plain: readonly Column[] = [
  { name: 'Size', isLowerBetter: true, valueOf: ({ size }) => size.weights_bytes_after, format: bytesText },
  { name: 'Bits per weight', isLowerBetter: true, valueOf: ({ size }) => size.bits_per_weight, format: trim },
  { name: 'Time', isLowerBetter: true, valueOf: ({ seconds }) => seconds, format: secondsText },
  { name: 'Peak memory', isLowerBetter: true, valueOf: ({ memory }) => memory.measured_peak_bytes, format: bytesText },
];

/** Figures that no run has are left out. */
function columnsOf(reports: readonly RunReport[]): Column[] {
  const quality = qualityMetrics.map((metric): Column => ({
    name: metric.name,
    isLowerBetter: isLowerBetter(metric),
    valueOf: ({ quality: measured }) => (measured === null ? null : metric.valueOf(measured).after),
    format: metric.format,
  }));
  return [...quality, ...plain].filter(({ valueOf }) => reports.some((report) => valueOf(report) !== null));
}

export function drawAllRuns(reports: readonly RunReport[]): Drawing {
  const columns = columnsOf(reports);
  const best = columns.map(({ valueOf, isLowerBetter: isLower }) => {
    const values = reports.flatMap((report) => valueOf(report) ?? []);
    const found = isLower ? Math.min(...values) : Math.max(...values);
    // Where all are alike none is the best.
    return values.some((value) => value !== found) ? found : null;
  });
  const rows = reports.map((report) =>
    draw(
      'tr',
      {},
      draw('th', { scope: 'row' }, `${nameOf(report)}, ${whenOf(report)}`),
      ...columns.map(({ valueOf, format }, at) => {
        const value = valueOf(report);
        const isBest = value !== null && value === best[at];
        return draw(
          'td',
          { class: isBest ? 'numeric better' : 'numeric' },
          value === null ? '–' : `${format(value)}${isBest ? ' best' : ''}`,
        );
      }),
    ),
  );
  return drawTableOf(`Quality, size and time of ${reports.length} runs, by time`, ['Run', ...columns.map(({ name }) => name)], 1, rows);
}
