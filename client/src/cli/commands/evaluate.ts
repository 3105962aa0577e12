// `bitwright evaluate MODEL --text FILE`: perplexity of a model folder on a text.
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { DatasetPlan } from '../../../../schemas/src/generated/plan.js';
import { RunFailureError } from '../../../../schemas/src/run-failure.js';
import { deviceOption, exitCode, jsonOption, UsageError, type Command, type Invocation } from '../command.js';
import { thousands } from '../format-text.js';
import { onInterrupt } from '../interrupt.js';
import { describeModel } from '../model-folder.js';
import { startWorkerProcess } from '../processes.js';

export const evaluateCommand: Command = {
  name: 'evaluate',
  synopsis: 'MODEL --text FILE',
  summary: 'Measure the perplexity of a model folder, quantized or not.',
  description: `Perplexity is exp(total negative log-likelihood / total predicted tokens), per document: the model's BOS once, no EOS,
truncated to --max-seq-length tokens. MODEL is a folder or a hub id in the local Hugging Face cache.
An adapter in the folder adapter of MODEL, as LowRankResidualModifier and OutlierSplitModifier write it, counts.
With --json: {"perplexity", "nll" (nats), "tokens"}.`,
  operands: { least: 1, most: 1 },
  options: {
    text: { value: 'FILE', description: 'documents: .jsonl (text, messages or input_ids), .txt or .csv' },
    'text-column': { value: 'NAME', description: 'column or key that holds the text (default: text)' },
    'max-seq-length': { value: 'N', description: "tokens per document at most (default: the model's context)", count: {} },
    device: { ...deviceOption, description: 'auto, cpu, cuda (all of them), cuda:0 or cuda:0,1 (default: auto)' },
    'without-adapter': { value: null, description: 'leave out the LoRA adapter in the folder adapter of MODEL' },
    json: jsonOption,
  },
  run: async (invocation, terminal) => {
    const dataset = await datasetOf(invocation);
    const device = invocation.text('device') ?? 'auto';
    const model = await describeModel(invocation.operands[0] ?? '', terminal);
    if (model === null) return exitCode.problems;
    const length = invocation.count('max-seq-length') ?? 0;
    const context = model.architecture?.max_position_embeddings ?? Infinity;
    if (length > context)
      terminal.err(
        `note  --max-seq-length ${length} is longer than the model's context of ${context} tokens: longer documents measure positions that the model never learned.`,
      );
    const adapter = path.join(model.dir, 'adapter');
    const isAdapted = existsSync(path.join(adapter, 'adapter_config.json'));
    const bare = invocation.flag('without-adapter');
    if (bare && !isAdapted) throw new UsageError(`${model.dir} has no adapter to leave out.`);
    if (isAdapted)
      terminal.err(
        bare
          ? `note  measured without the LoRA adapter ${adapter}.`
          : `note  measured with the LoRA adapter ${adapter}; --without-adapter leaves it out.`,
      );
    const worker = await startWorkerProcess(() => undefined);
    const abort = new AbortController();
    const progress = terminal.progress();
    const interrupt = onInterrupt(() => abort.abort(), worker.kill);
    try {
      const result = await worker.evaluate(
        { model, dataset, device, adapter: !bare },
        { signal: abort.signal, onProgress: ({ fraction, message }) => progress.update(fraction, null, message) },
      );
      progress.end();
      if ('cancelled' in result) {
        terminal.err('Cancelled.');
        return exitCode.interrupted;
      }
      if ('failure' in result) throw new RunFailureError(result.failure);
      for (const { severity, code, message } of result.problems) terminal.err(`${severity} ${code}  ${message}`);
      const { perplexity, nll, tokens, documents } = result.perplexity;
      if (invocation.flag('json')) terminal.json({ perplexity, nll, tokens });
      else
        terminal.out(
          `perplexity ${perplexity.toFixed(4)}  (${(nll / tokens).toFixed(6)} nats per token over ${thousands(tokens)} tokens in ${thousands(documents)} documents)`,
        );
      return exitCode.success;
    } finally {
      progress.end();
      interrupt.dispose();
      await worker.dispose();
    }
  },
};

async function datasetOf(invocation: Invocation): Promise<DatasetPlan> {
  const file = invocation.text('text');
  if (file === undefined) throw new UsageError('evaluate needs --text FILE, the documents to measure on.');
  const facts = await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`--text ${file} cannot be read: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}.`);
  });
  if (!facts.isFile()) throw new UsageError(`--text ${file} is not a file; give a .jsonl, .txt or .csv file.`);
  return {
    dataset: path.resolve(file),
    text_column: invocation.text('text-column') ?? 'text',
    num_calibration_samples: null,
    max_seq_length: invocation.count('max-seq-length') ?? null,
    shuffle: false,
    seed: 0,
    sha256: null,
    bytes: facts.size,
  };
}
