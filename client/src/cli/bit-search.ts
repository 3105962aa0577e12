// A search for the fewest bits that keep the quality: the worker measures, and its findings become lines.
import { needOf } from '../../../schemas/src/analysis-measures.js';
import type { BitCriterion, BitSearch, SearchBitsParams } from '../../../schemas/src/protocol/client-worker.js';
import { RunFailureError } from '../../../schemas/src/run-failure.js';
import { table } from './format-text.js';
import { onInterrupt } from './interrupt.js';
import { memoryLines } from './memory-text.js';
import { showTold } from './problem-text.js';
import { startWorkerProcess } from './processes.js';
import type { Terminal } from './terminal.js';

/** Null: cancelled. */
export async function searchBits(params: SearchBitsParams, terminal: Terminal): Promise<BitSearch | null> {
  for (const line of memoryLines(params.plan, needOf(params.plan, ['search']))) terminal.err(line);
  const worker = await startWorkerProcess(() => undefined);
  const abort = new AbortController();
  const progress = terminal.progress();
  const interrupt = onInterrupt(() => abort.abort(), worker.kill);
  try {
    const result = await worker.searchBits(params, {
      signal: abort.signal,
      onProgress: (told) => showTold(progress, told),
    });
    progress.end();
    if ('cancelled' in result) {
      terminal.err('Cancelled. What was measured is known to the next search.');
      return null;
    }
    if ('failure' in result) throw new RunFailureError(result.failure);
    return result.search;
  } finally {
    progress.end();
    interrupt.dispose();
    await worker.dispose();
  }
}

/** Null after the sentence that says why there is none. */
export function bytesChosen({ measured, chosen, dataset }: BitSearch, criterion: BitCriterion, terminal: Terminal): number | null {
  if (chosen !== null) return measured[chosen]?.bytes ?? null;
  const [most] = measured;
  const [name, value] =
    criterion.metric === 'mean_kld'
      ? ['a KL divergence', `${most?.mean_kld.toPrecision(4)} nats`]
      : ['a perplexity change', most?.perplexity_change.toPrecision(4)];
  terminal.err(
    `Nothing was suggested: with the most bits of the analysis (${most?.bits_per_weight.toFixed(3)} per weight) the model has ${name} of ${value} on ${dataset}, above the limit of ${criterion.most}. Raise the limit, or analyze with larger --bits.`,
  );
  return null;
}

export function searchLines({ measured, dataset, exhausted }: BitSearch): string[] {
  const signed = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toPrecision(3)}`;
  return [
    ...table(
      [
        { title: `measured on ${dataset}`, align: 'left' },
        { title: 'KL divergence, nats', align: 'right' },
        { title: 'perplexity', align: 'right' },
        { title: 'change', align: 'right' },
        { title: 'limit', align: 'left' },
      ],
      measured.map((one) => [
        `${one.bits_per_weight.toFixed(3)} bits per weight`,
        one.mean_kld.toPrecision(3),
        one.perplexity.toPrecision(5),
        signed(one.perplexity_change),
        one.holds ? 'holds' : 'exceeded',
      ]),
    ),
    ...(exhausted ? ['A smaller choice may hold too; more --evaluations look closer.'] : []),
  ];
}
