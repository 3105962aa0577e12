// A run report as the compact text at the end of `bitwright quantize`.
import path from 'node:path';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { canarySummary } from '../../../schemas/src/canary-text.js';
import { divergenceText } from '../../../schemas/src/first-divergence.js';
import type { LayerMetrics, RunReport } from '../../../schemas/src/generated/report.js';
import { factLines } from '../../../schemas/src/layer-facts.js';
import { gateFacts } from '../../../schemas/src/quality-gates.js';
import { qualityMetrics, type Quality } from '../../../schemas/src/quality-metrics.js';
import { change, counted, table, type Column } from './format-text.js';
import { duration } from './terminal.js';

const WORST_LAYERS = 5;

export function reportLines(
  report: RunReport,
  { output_dir, report_dir }: { output_dir: string | null; report_dir: string | null },
): string[] {
  const quantized = report.layers.filter((layer) => layer.quantizer !== null);
  const isPruned = quantized.length === 0 && report.layers.length > 0;
  const layers = isPruned ? report.layers : quantized;
  const compared = beforeAfter(report, output_dir !== null, isPruned);
  return [
    '',
    `${isPruned && report.outcome === 'completed' ? 'Pruned' : beginnings[report.outcome]} ${counted(layers.length, 'layer')} in ${duration(report.seconds)} on ${report.device.name} (${counted(report.device.threads, 'thread')})`,
    '',
    ...(compared.length === 0 ? [] : [...compared, '']),
    ...worstLayers(layers),
    ...methodLines(report),
    ...(report.depth === undefined ? [] : [`Diverges    ${divergenceText(report.depth)}`]),
    ...(report.canary === undefined ? [] : [`Canary      ${canarySummary(report.canary)}`]),
    ...gateLines(report),
    ...problemSummary(report),
    `Memory      ${bytesText(report.memory.measured_peak_bytes)} at most (estimated ${bytesText(report.memory.estimated_peak_bytes)})`,
    ...memoryPlaces(report),
    `Checkpoint  ${output_dir ?? 'not written'}`,
    ...imatrixLine(report, report_dir),
    `Report      ${report_dir === null ? 'not written' : path.join(report_dir, 'report.json')}`,
  ];
}

const beginnings = { completed: 'Quantized', cancelled: 'Cancelled after', failed: 'Failed after' };

/** Of the model that was given: behind transforms a run writes none. */
const imatrixLine = ({ outcome, layers, transforms = [], rotations = [] }: RunReport, dir: string | null): string[] =>
  dir === null || outcome !== 'completed' || transforms.length + rotations.length > 0 || !layers.some(({ importance }) => importance)
    ? []
    : [`Imatrix     ${path.join(dir, 'imatrix.gguf')}`];

/** Without a checkpoint its size is what the plan expects, and nothing to show. */
function beforeAfter({ size, quality }: RunReport, isWritten: boolean, isPruned: boolean): string[] {
  const rows: string[][] = [];
  if (isWritten)
    rows.push([
      'weights',
      bytesText(size.weights_bytes_before),
      bytesText(size.weights_bytes_after),
      `${change(size.weights_bytes_before, size.weights_bytes_after)}${isPruned ? '' : `, quantized layers ${size.bits_per_weight.toFixed(2)} bits per weight`}`,
    ]);
  if (quality !== null) rows.push(...qualityRows(quality));
  if (rows.length === 0) return [];
  return table([left(''), right('before'), right('after'), left('change')], rows);
}

function qualityRows(quality: Quality): string[][] {
  return qualityMetrics.flatMap((metric) => {
    const { before, after } = metric.valueOf(quality);
    if (before === null && after === null) return [];
    const isRatio = metric.key === 'perplexity' && before !== null && after !== null;
    const extent = metric.extent(quality);
    const shown = [before, after].map((value) => (value === null ? '–' : metric.format(value)));
    return [[rowTitle(metric.name), ...shown, isRatio ? `${change(before, after)}, ${extent}` : extent]];
  });
}

/** In lower case, but for what begins with an abbreviation. */
const rowTitle = (name: string): string => (/^[A-ZΔ]{2}|^Δ/.test(name) ? name : name.charAt(0).toLowerCase() + name.slice(1));

function worstLayers(layers: readonly LayerMetrics[]): string[] {
  const calibrated = layers.filter((layer) => layer.relative_output_error !== null);
  const error = (layer: LayerMetrics): number =>
    calibrated.length > 0 ? (layer.relative_output_error ?? 0) : -(layer.weight_sqnr_db ?? Infinity);
  const worst = [...(calibrated.length > 0 ? calibrated : layers)].sort((a, b) => error(b) - error(a)).slice(0, WORST_LAYERS);
  if (worst.length === 0) return [];
  const title = calibrated.length > 0 ? 'relative output error' : 'signal to noise';
  const figure = (layer: LayerMetrics): string => {
    if (calibrated.length > 0) return (layer.relative_output_error ?? 0).toExponential(2);
    return layer.weight_sqnr_db === null ? '–' : `${layer.weight_sqnr_db.toFixed(1)} dB`;
  };
  return [
    ...table(
      [left('worst layers'), left('scheme'), right(title)],
      worst.map((layer) => [layer.name, layer.scheme ?? '', figure(layer)]),
    ),
    '',
  ];
}

/** What methods tell of the layers beside their errors. */
function methodLines({ layers }: RunReport): string[] {
  const lines = factLines(layers).map(({ name, text }) => `${name}: ${text}`);
  return lines.length === 0 ? [] : [...lines, ''];
}

function gateLines({ gates = [] }: RunReport): string[] {
  return gates.map(({ gate, limit, value, holds }, at) => {
    const facts = gateFacts.find(({ key }) => key === gate);
    const format = facts?.format ?? String;
    return `${at === 0 ? 'Gates       ' : '            '}${holds ? 'holds' : 'FAILS'}  ${gate} ${format(limit)}: ${format(value)}`;
  });
}

/** What a reader of `Memory` would not expect: another device than the CPU, a cap, hidden states elsewhere than on the device. */
function memoryPlaces({ memory }: RunReport): string[] {
  const devices = (memory.devices ?? [])
    .filter(({ kind, limit_bytes }) => kind !== 'cpu' || limit_bytes !== null)
    .map(({ name, peak_bytes, total_bytes, limit_bytes }) => {
      const of = limit_bytes ?? total_bytes;
      const whole = of === null ? '' : ` of ${bytesText(of)}${limit_bytes === null ? '' : ' that are allowed'}`;
      return `            ${bytesText(peak_bytes)}${whole} on ${name}`;
    });
  const { device_bytes, host_bytes, disk_bytes } = memory.activations ?? { device_bytes: 0, host_bytes: 0, disk_bytes: 0 };
  if (host_bytes === 0 && disk_bytes === 0) return devices;
  const places = [`${bytesText(device_bytes)} on the device`, `${bytesText(host_bytes)} pinned`, `${bytesText(disk_bytes)} on disk`];
  return [...devices, `            hidden states: ${places.join(', ')} at most`];
}

function problemSummary({ problems }: RunReport): string[] {
  if (problems.length === 0) return ['Problems    none'];
  const codes = new Map<string, number>();
  for (const { severity, code } of problems) codes.set(`${severity} ${code}`, (codes.get(`${severity} ${code}`) ?? 0) + 1);
  return [`Problems    ${[...codes].map(([code, count]) => (count === 1 ? code : `${code} (${count} times)`)).join(', ')}`];
}

const left = (title: string): Column => ({ title, align: 'left' });
const right = (title: string): Column => ({ title, align: 'right' });
