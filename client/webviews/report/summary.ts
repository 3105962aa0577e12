// The head of a report: what came out, in four figures, and the problems.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { gateFacts } from '../../../schemas/src/quality-gates.js';
import { qualityMetrics } from '../../../schemas/src/quality-metrics.js';
import { draw } from '../plot/element.js';
import type { Drawing } from '../plot/element.js';
import { counted, secondsText, trim } from './metrics.js';

const fileName = (path: string): string => path.split(/[\\/]/).at(-1) ?? path;
const change = (before: number, after: number): string => {
  if (!(before > 0)) return 'no change that has a percentage';
  const part = (after / before - 1) * 100;
  return `${part > 0 ? '+' : part < 0 ? '−' : ''}${Math.abs(part).toFixed(Math.abs(part) < 10 ? 1 : 0)} %`;
};

function figure(title: string, value: string, detail: string, help: string): Drawing {
  return draw(
    'div',
    { class: 'figure', title: help },
    draw('div', { class: 'figure-title' }, title),
    draw('div', { class: 'figure-value' }, value),
    draw('div', { class: 'figure-detail' }, detail),
  );
}

const outcomeText: Record<RunReport['outcome'], string> = {
  completed: '',
  cancelled: 'Cancelled before its end: the figures are those of the finished layers.',
  failed: 'Failed before its end: the figures are those of the finished layers.',
};

export function drawSummary(report: RunReport): Drawing {
  const { size, quality, device, memory } = report;
  const figures = [
    figure(
      'Size',
      `${bytesText(size.weights_bytes_before)} → ${bytesText(size.weights_bytes_after)}`,
      change(size.weights_bytes_before, size.weights_bytes_after) + (report.output_dir === null ? ', estimated: no file was written' : ''),
      'Bytes of all tensors, before and after',
    ),
    figure(
      'Bits per weight',
      trim(size.bits_per_weight),
      'in the quantized layers',
      'Stored bits over weights, scales and zero points included',
    ),
    perplexityFigure(quality, report.outcome),
    ...evaluationFigures(quality),
    figure(
      'Time',
      secondsText(report.seconds),
      `${device.name}, ${counted(device.threads, 'thread')}, ${bytesText(memory.measured_peak_bytes)} memory`,
      'Wall time of the run; largest memory of the worker process',
    ),
  ];
  const recipe = report.recipe.path === null ? 'Unsaved recipe' : fileName(report.recipe.path);
  const model = `${fileName(report.model.dir)} · ${report.model.architecture_name ?? 'unknown architecture'} · ${report.model.dtype}`;
  return draw(
    'header',
    {},
    draw('h1', {}, recipe, draw('span', { class: 'model' }, model)),
    ...(report.outcome === 'completed' ? [] : [draw('p', { class: 'outcome' }, outcomeText[report.outcome])]),
    draw('div', { class: 'figures' }, ...figures),
    ...(report.gates === undefined ? [] : [drawGates(report.gates)]),
    ...(report.problems.length === 0 ? [] : [drawProblems(report)]),
  );
}

function perplexityFigure(quality: RunReport['quality'], outcome: RunReport['outcome']): Drawing {
  const help = 'exp of the mean negative log-likelihood per predicted token, measured on the written file; lower is better';
  const { before, after } = quality ?? { before: null, after: null };
  if (after === null)
    return figure(
      'Perplexity',
      '–',
      outcome === 'completed' ? 'not measured: add evaluate to the recipe' : 'not measured: the run ended before',
      help,
    );
  if (before === null) return figure('Perplexity', after.perplexity.toFixed(4), `${after.tokens.toLocaleString('en')} tokens`, help);
  return figure(
    'Perplexity',
    `${before.perplexity.toFixed(4)} → ${after.perplexity.toFixed(4)}`,
    `${change(before.perplexity, after.perplexity)}, ${after.tokens.toLocaleString('en')} tokens`,
    help,
  );
}

/** What else was measured: each with its definition, and what it is compared with elsewhere. */
function evaluationFigures(quality: RunReport['quality']): Drawing[] {
  if (quality === null) return [];
  return qualityMetrics.flatMap((metric) => {
    const { before, after } = metric.valueOf(quality);
    if (metric.key === 'perplexity' || after === null) return [];
    const value = `${before === null ? '' : `${metric.format(before)} → `}${metric.format(after)}${metric.unit === 'nats' ? ' nats' : ''}`;
    return [figure(metric.name, value, metric.extent(quality), `${metric.definition} (${metric.unit}; as ${metric.source})`)];
  });
}

/** What the recipe demanded, those that do not hold first. */
function drawGates(gates: NonNullable<RunReport['gates']>): Drawing {
  const items = [...gates]
    .sort((a, b) => Number(a.holds) - Number(b.holds))
    .map(({ gate, limit, value, holds }) => {
      const format = gateFacts.find(({ key }) => key === gate)?.format ?? String;
      return draw(
        'li',
        { class: holds ? 'holds' : 'error' },
        draw('code', {}, gate),
        ` ${format(limit)}: ${format(value)}, ${holds ? 'holds' : 'does not hold'}`,
      );
    });
  return draw(
    'section',
    { class: 'problems', 'aria-label': 'Gates' },
    draw('h2', {}, counted(gates.length, 'gate')),
    draw('ul', {}, ...items),
  );
}

function drawProblems({ problems }: RunReport): Drawing {
  const items = problems.map((problem) => draw('li', { class: problem.severity }, draw('code', {}, problem.code), ` ${problem.message}`));
  return draw(
    'section',
    { class: 'problems', 'aria-label': 'Problems' },
    draw('h2', {}, `${counted(problems.length, 'note')} from the run`),
    draw('ul', {}, ...items),
  );
}
