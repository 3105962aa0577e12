// The parts of the page of a run in progress: how far it is, its stages, its memory, its layers as they finish, its problems. Pure drawings.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { LayerMetrics } from '../../../schemas/src/generated/report.js';
import { stageSecondsLeft, type LiveRun } from '../../../schemas/src/live-run.js';
import { cellName, mostRows, placeCells } from '../layer-places.js';
import { drawCells } from '../plot/cells.js';
import type { Theme } from '../plot/color-ramp.js';
import { draw, drawTableOf, type Drawing } from '../plot/element.js';
import { badnessOf, scaleOf } from '../report/error-heatmap.js';
import { counted, metrics, secondsText, type Metric } from '../report/metrics.js';

const finished = ({ layers }: LiveRun): LayerMetrics[] => layers.flatMap(({ metrics: found }) => (found === null ? [] : [found]));

/** The first that a finished layer has. */
export const liveMetric = (run: LiveRun): Metric | undefined =>
  metrics.find((metric) => finished(run).some((layer) => metric.valueOf(layer) !== null)) ?? metrics[0];

const outcomes: Record<LiveRun['outcome'], string> = {
  running: '',
  completed: 'Done.',
  cancelled: 'Cancelled. What is finished is kept: running the recipe again continues there.',
  failed: 'Failed.',
  elsewhere: 'Another process works on it: another window, or the command line. Its layers are shown as they are written.',
  interrupted: 'Interrupted: its process is gone. What is finished is kept.',
  gone: 'Nothing of this run is on the disk any more.',
};

function stateText(run: LiveRun): string {
  if (run.outcome === 'elsewhere') return `${Math.floor(run.fraction * 100)} % ${outcomes.elsewhere}`;
  if (run.outcome !== 'running') return `${outcomes[run.outcome]}${run.failure === null ? '' : ` ${run.failure}`}`;
  const left = run.eta_seconds === null ? '' : `, about ${secondsText(run.eta_seconds)} left`;
  return `${Math.floor(run.fraction * 100)} % ${run.message}${left}`;
}

export function drawProgress(run: LiveRun): Drawing {
  const percent = Math.floor(run.fraction * 100);
  const resumed = run.resumed_blocks === 0 ? '' : `, continued after ${counted(run.resumed_blocks, 'block')}`;
  return draw(
    'div',
    {},
    draw(
      'div',
      { class: 'bar', role: 'progressbar', 'aria-label': 'Whole run', 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': percent },
      draw(
        'svg',
        { width: '100%', height: 8, 'aria-hidden': 'true' },
        draw('rect', { class: 'done', width: `${percent}%`, height: 8, rx: 4 }),
      ),
    ),
    draw('p', { class: `state ${run.outcome}` }, stateText(run)),
    draw(
      'p',
      { class: 'unit' },
      `${finished(run).length} of ${counted(run.layers.length, 'layer')} finished${resumed}${run.device === null ? '' : ` · ${run.device}`}`,
    ),
  );
}

export function drawMemory({ memory, estimated_bytes, outcome }: LiveRun): Drawing {
  if (memory === null)
    return draw(
      'p',
      { class: 'unit' },
      outcome === 'running' ? 'Not measured before the first stage ends.' : 'Not known: the window that watched the run was closed.',
    );
  const { now_bytes, peak_bytes, limit_bytes } = memory;
  const budget = limit_bytes ?? estimated_bytes;
  const share = (bytes: number): string => `${Math.min(100, (100 * bytes) / Math.max(1, budget)).toFixed(1)}%`;
  const of = limit_bytes === null ? `${bytesText(estimated_bytes)} estimated` : `${bytesText(limit_bytes)} there are`;
  return draw(
    'div',
    {},
    draw(
      'svg',
      { class: 'memory', width: '100%', height: 8, role: 'img', 'aria-label': `Tensors take ${bytesText(peak_bytes)} at most, of ${of}` },
      draw('rect', { class: 'peak', width: share(peak_bytes), height: 8, rx: 4 }),
      draw('rect', { class: 'done', width: share(now_bytes), height: 8, rx: 4 }),
    ),
    draw('p', {}, `Tensors: ${bytesText(now_bytes)} now, ${bytesText(peak_bytes)} at most, of ${of}`),
    ...(limit_bytes === null ? [] : [draw('p', { class: 'unit' }, `${bytesText(estimated_bytes)} estimated before the run`)]),
    ...(peak_bytes > budget ? [draw('p', { class: 'worse' }, 'More than was expected.')] : []),
  );
}

export function drawStages(run: LiveRun): Drawing {
  if (run.stages.length === 0 && run.outcome !== 'running')
    return draw('p', { class: 'unit' }, 'Not known: the window that watched the run was closed.');
  const rows = run.stages.map((stage) => {
    const left = stageSecondsLeft(run, stage);
    return draw(
      'tr',
      stage.isRunning ? { class: 'running' } : {},
      draw('th', { scope: 'row' }, stage.name),
      draw('td', {}, stage.isRunning ? 'running' : run.outcome === 'running' && left !== null && left > 0 ? 'waiting' : 'done'),
      draw('td', { class: 'numeric' }, String(stage.n_done)),
      draw('td', { class: 'numeric' }, secondsText(stage.seconds)),
      draw('td', { class: 'numeric' }, left === null ? '–' : secondsText(left)),
    );
  });
  const heads = ['Stage', 'State', 'Times', 'So far', 'Left, about'];
  return drawTableOf('Stages of the run; what is left by the mean of the blocks so far', heads, 2, rows);
}

export function drawLiveCells(run: LiveRun, metric: Metric, theme: Theme, width: number): Drawing {
  const {
    rows,
    columns,
    cells: placed,
  } = placeCells(run.layers, ({ metrics: found }) => (found === null ? -Infinity : badnessOf(found, metric)));
  const cells = placed.map((cell) => {
    const { row, column, layer, n } = cell;
    const { name, metrics: found } = layer;
    const value = found === null ? null : metric.valueOf(found);
    const text = found === null ? '' : value === null ? '–' : metric.short(value);
    const label =
      found === null
        ? `${n === 1 ? name : `${name} and ${n - 1} more`}: not finished`
        : `${cellName(cell)}: ${text}. ${metric.name} ${value === null ? '–' : metric.format(value)}, ${found.scheme ?? 'unquantized'}`;
    return { row, column, value, text, label, key: name };
  });
  const n_done = finished(run).length;
  return drawCells({
    title: `${metric.name} of ${n_done} finished layers out of ${run.layers.length}. Arrow keys move.`,
    rows,
    columns,
    cells,
    scale: scaleOf(finished(run), metric),
    theme,
    width,
  });
}

export function drawLiveProblems({ problems }: LiveRun): Drawing {
  if (problems.length === 0) return draw('p', { class: 'unit' }, 'None so far.');
  return draw(
    'ul',
    {},
    ...problems.map(({ severity, code, message }) => draw('li', { class: severity }, draw('code', {}, code), ` ${message}`)),
  );
}

export function drawLiveTable(run: LiveRun, metric: Metric): Drawing {
  const rows = run.layers.slice(0, mostRows).map(({ name, metrics: found }) => {
    const value = found === null ? null : metric.valueOf(found);
    return draw(
      'tr',
      {},
      draw('th', { scope: 'row' }, name),
      draw('td', {}, found === null ? 'not finished' : (found.scheme ?? 'unquantized')),
      draw('td', { class: 'numeric' }, value === null ? '–' : metric.format(value)),
    );
  });
  const part = run.layers.length > mostRows ? `, the first ${mostRows} of ${run.layers.length}` : '';
  return drawTableOf(`Layers of the run${part}`, ['Layer', 'Scheme', metric.name], 2, rows);
}
