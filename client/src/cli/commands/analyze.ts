// `bitwright analyze RECIPE`: what quantizing each layer alone costs, for every number of bits.
import path from 'node:path';
import { analysisNeed, mixedBitsNote } from '../../../../schemas/src/analysis-measures.js';
import type { SensitivityAnalysis } from '../../../../schemas/src/generated/sensitivity.js';
import { RunFailureError } from '../../../../schemas/src/run-failure.js';
import { traceText } from '../../../../schemas/src/suggest-bits.js';
import { deviceOption, exitCode, outOption, recipeOptions, UsageError, type Command, type Invocation } from '../command.js';
import { counted, table, type Column } from '../format-text.js';
import { onInterrupt } from '../interrupt.js';
import { memoryLines } from '../memory-text.js';
import { problemLines, showTold, whyNoPlan } from '../problem-text.js';
import { startServer, startWorkerProcess } from '../processes.js';
import { resolveRecipe } from '../recipe-file.js';
import { readAnalysis } from '../report-file.js';

export const analyzeCommand: Command = {
  name: 'analyze',
  synopsis: 'RECIPE',
  summary: 'Measure how sensitive each layer is, for every number of bits.',
  description: `Each layer that the recipe quantizes is quantized alone, with its own method and scheme and each number of bits: weight error, output error on the
calibration rows and, with --end-to-end, KL divergence and perplexity of the whole model on the text of evaluate (costly: one pass of half the model for
each candidate). With --fisher the loss of each candidate is predicted from squared gradients: one pass forwards and backwards for all of them;
--hessian-trace takes two passes for each probe, and tells the standard error that they leave. Written to
OUTPUT.analysis/sensitivity.json; running again continues, and measures only what is new. With calibration rows imatrix.gguf stands beside it, for
llama-quantize and GGUFModifier.`,
  operands: { least: 1, most: 1 },
  options: {
    bits: { value: 'LIST', description: 'numbers of bits from 2 to 8, with commas between (default: 2,3,4,8)' },
    'end-to-end': { value: null, description: 'also measure the predictions of the whole model with each candidate' },
    fisher: { value: null, description: 'also predict the loss of each candidate by the empirical Fisher information (gradients)' },
    'hessian-trace': {
      value: 'PROBES',
      description: 'also estimate the trace of the Hessian of the loss, from so many probes (two passes forwards and backwards for each)',
      count: { most: 10000 },
    },
    'keep-weights': { value: null, description: 'keep each quantized weight beside the analysis, for suggest --max-kld' },
    out: outOption,
    device: deviceOption,
    ...recipeOptions,
  },
  run: async (invocation, terminal) => {
    const bits = bitsOf(invocation);
    const server = await startServer();
    const resolved = await resolveRecipe(server, invocation.operands[0] ?? '', invocation).finally(() => server.stop());
    for (const problem of resolved.problems) for (const line of problemLines(resolved, problem)) terminal.err(line);
    const { plan } = resolved;
    if (plan === null) {
      terminal.err(`Nothing was analyzed: ${whyNoPlan(resolved.problems)}`);
      return exitCode.problems;
    }
    const asked = {
      end_to_end: invocation.flag('end-to-end'),
      fisher: invocation.flag('fisher'),
      hessian_probes: invocation.count('hessian-trace') ?? 0,
    };
    for (const line of memoryLines(plan, analysisNeed(plan, asked))) terminal.err(line);
    const note = mixedBitsNote(plan);
    if (note !== null) terminal.err(`note  ${note}`);
    const worker = await startWorkerProcess(() => undefined);
    const abort = new AbortController();
    const progress = terminal.progress();
    const interrupt = onInterrupt(() => abort.abort(), worker.kill);
    try {
      const result = await worker.analyze(
        {
          plan,
          bits,
          ...asked,
          keep_weights: invocation.flag('keep-weights'),
        },
        { signal: abort.signal, onProgress: (told) => showTold(progress, told) },
      );
      progress.end();
      if ('cancelled' in result) {
        terminal.err('Cancelled. Running again continues after the last finished candidate.');
        return exitCode.interrupted;
      }
      if ('failure' in result) throw new RunFailureError(result.failure);
      const analysis = await readAnalysis(result.dir);
      if (invocation.flag('json')) terminal.json(analysis);
      else for (const line of analysisLines(analysis, result)) terminal.out(line);
      return exitCode.success;
    } finally {
      progress.end();
      interrupt.dispose();
      await worker.dispose();
    }
  },
};

function bitsOf(invocation: Invocation): number[] {
  const text = invocation.text('bits') ?? '2,3,4,8';
  const bits = text.split(',').map((part) => (/^ *[2-8] *$/.test(part) ? Number(part) : NaN));
  if (bits.some(Number.isNaN)) throw new UsageError(`--bits ${text} is no list of whole numbers from 2 to 8; write --bits 2,3,4,8.`);
  return [...new Set(bits)].sort((a, b) => a - b);
}

const shown = (value: number | null | undefined): string =>
  value === null || value === undefined ? '–' : value === 0 ? '0' : Math.abs(value) < 1e-3 ? value.toExponential(1) : value.toPrecision(3);

function analysisLines(analysis: SensitivityAnalysis, { dir, resumed }: { dir: string; resumed: number }): string[] {
  const { bits, layers, calibration, end_to_end, not_measured } = analysis;
  const [title, key] =
    end_to_end !== null
      ? (['KL divergence, nats', 'mean_kld'] as const)
      : layers.some(({ fisher_trace }) => typeof fisher_trace === 'number')
        ? (['predicted loss, nats per token', 'fisher_loss'] as const)
        : layers.some(({ hessian_trace }) => hessian_trace)
          ? (['predicted loss, nats per token', 'hessian_loss'] as const)
          : calibration !== null
            ? (['relative output error', 'relative_output_error'] as const)
            : (['weight MSE', 'weight_mse'] as const);
  const hasTrace = layers.some(({ hessian_trace }) => hessian_trace);
  const columns: Column[] = [
    { title: `${title}`, align: 'left' },
    ...bits.map((bit): Column => ({ title: `${bit} bit`, align: 'right' })),
    ...(hasTrace ? [{ title: 'tr(H)', align: 'right' } as const] : []),
    { title: 'kurtosis', align: 'right' },
    { title: 'max/median', align: 'right' },
  ];
  const rows = layers.map((layer) => [
    layer.name,
    ...bits.map((bit) => shown(layer.candidates.find(({ num_bits }) => num_bits === bit)?.[key])),
    ...(hasTrace ? [traceText(layer)] : []),
    shown(layer.activations?.kurtosis),
    shown(layer.activations?.max_over_median),
  ]);
  return [
    ...table(columns, rows),
    '',
    ...not_measured.map((text) => `Not measured  ${text}`),
    ...(layers.some(({ activations }) => activations) ? [`Imatrix       ${path.join(dir, 'imatrix.gguf')}`] : []),
    `Analysis      ${path.join(dir, 'sensitivity.json')}: ${counted(layers.length, 'layer')}, ${bits.join(', ')} bits${resumed > 0 ? `; ${counted(resumed, 'candidate')} known from before` : ''}`,
  ];
}
