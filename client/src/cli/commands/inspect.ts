// `bitwright inspect MODEL`: what a model folder holds, from its headers; with --layer the numbers of one tensor.
import path from 'node:path';
import { bytesText } from '../../../../schemas/src/bytes-text.js';
import type { ModelDescription, ModelTensor } from '../../../../schemas/src/generated/plan.js';
import { formatOf } from '../../../../schemas/src/model/model-file.js';
import { nodeFiles } from '../../../../schemas/src/model/model-files.js';
import type { TensorStatistics } from '../../../../schemas/src/protocol/client-worker.js';
import { RunFailureError } from '../../../../schemas/src/run-failure.js';
import { exitCode, jsonOption, UsageError, type Command } from '../command.js';
import { inspectFile } from '../inspect-file.js';
import { counted, schemeText, table, thousands } from '../format-text.js';
import { describeModel } from '../model-folder.js';
import { groupByName } from '../name-groups.js';
import { startWorkerProcess } from '../processes.js';
import type { Terminal } from '../terminal.js';

export const inspectCommand: Command = {
  name: 'inspect',
  synopsis: 'MODEL',
  summary: 'Show what a model folder holds; with --layer, the numbers of one layer.',
  description: `MODEL is a folder, a hub id in the local Hugging Face cache, or one file: .safetensors, .gguf or .onnx. Without --layer only headers and config.json are read. --layer takes a module or tensor name, e.g. model.layers.0.mlp.up_proj.
With --json: the description of the model or the facts of the file, or the statistics and histogram of the layer.`,
  operands: { least: 1, most: 1 },
  options: { layer: { value: 'NAME', description: 'statistics and histogram of this layer' }, json: jsonOption },
  run: async (invocation, terminal) => {
    const operand = invocation.operands[0] ?? '';
    const name = invocation.text('layer');
    const json = invocation.flag('json');
    if (formatOf(operand) !== null && (await nodeFiles.kindOf(operand)) === 'file') {
      if (name !== undefined) throw new UsageError(`--layer is for a model folder, and ${operand} is a file.`);
      await inspectFile(operand, json, terminal);
      return exitCode.success;
    }
    const model = await describeModel(operand, terminal);
    if (model === null) return exitCode.problems;
    if (name !== undefined) {
      const statistics = await inspectTensor(model, name, terminal);
      if (statistics === null) return exitCode.problems;
      if (json) terminal.json(statistics);
      else for (const line of statisticsLines(statistics)) terminal.out(line);
    } else if (json) terminal.json(model);
    else for (const line of modelLines(model, await layerShapes(model))) terminal.out(line);
    return exitCode.success;
  },
};

async function inspectTensor(model: ModelDescription, name: string, terminal: Terminal): Promise<TensorStatistics | null> {
  if (!(name in model.modules) && !model.tensors.some((tensor) => tensor.name === name || tensor.name.startsWith(`${name}.`))) {
    terminal.err(`${model.dir} has no layer or tensor named ${name}. ${similarNames(model, name)}`);
    return null;
  }
  if (name === 'lm_head' && !model.tensors.some((tensor) => tensor.name.startsWith('lm_head.'))) {
    terminal.err(`lm_head of ${model.dir} has no tensor of its own: it shares that of the embedding. Name the embedding.`);
    return null;
  }
  const worker = await startWorkerProcess(() => undefined);
  try {
    const result = await worker.inspectTensor({ model, name });
    if ('failure' in result) throw new RunFailureError(result.failure);
    return result.statistics;
  } finally {
    await worker.dispose();
  }
}

function similarNames(model: ModelDescription, name: string): string {
  const last = name.split('.').at(-1) ?? name;
  const similar = Object.keys(model.modules).filter((module) => module.endsWith(last) || module.includes(name));
  const listed = similar.length === 0 ? Object.keys(model.modules) : similar;
  return `${similar.length === 0 ? 'Layers' : 'Similar names'}: ${listed.slice(0, 4).join(', ')}${listed.length > 4 ? `, and ${listed.length - 4} more` : ''}.`;
}

/** Rows and columns of layers whose weights are packed: weight_shape says them; without it a byte holds two values of 4 bits. */
async function layerShapes({ dir, tensors }: ModelDescription): Promise<ReadonlyMap<string, string>> {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const shapes = new Map<string, string>();
  for (const { name, dtype, shape } of tensors) {
    if (!name.endsWith('.weight_packed')) continue;
    const said = byName.get(name.replace(/packed$/, 'shape'));
    const own = said ? await storedIntegers(dir, said) : dtype === 'U8' ? [shape[0], 2 * (shape[1] ?? 0)] : [];
    shapes.set(name, own.join(' × '));
  }
  return shapes;
}

async function storedIntegers(dir: string, { file, dtype, offset, bytes }: ModelTensor): Promise<number[]> {
  const stored = Buffer.from(await nodeFiles.readRange(path.join(dir, file), offset, bytes));
  const width = dtype === 'I64' ? 8 : 4;
  return Array.from({ length: bytes / width }, (_, index) =>
    width === 8 ? Number(stored.readBigInt64LE(8 * index)) : stored.readInt32LE(4 * index),
  );
}

function modelLines(model: ModelDescription, shapes: ReadonlyMap<string, string>): string[] {
  const facts = model.architecture;
  const quantization = model.quantization;
  const moduleOf = (tensor: string): string => tensor.slice(0, Math.max(0, tensor.lastIndexOf('.')));
  const schemeOf = (tensor: string): string => {
    if (!/\.(weight|weight_packed)$/.test(tensor)) return '';
    const scheme = quantization?.layers[moduleOf(tensor)];
    return scheme === undefined ? '' : schemeText(scheme);
  };
  const bytes = model.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const elements = model.tensors.reduce((sum, tensor) => sum + tensor.shape.reduce((product, size) => product * size, 1), 0);
  const groups = groupByName(
    model.tensors,
    (tensor) => tensor.name,
    (tensor) => JSON.stringify([tensor.dtype, tensor.shape, shapes.get(tensor.name), schemeOf(tensor.name)]),
  );
  return [
    `${model.dir}`,
    `Architecture  ${model.architecture_name ?? (model.side_files.includes('config.json') ? 'not named in config.json' : 'unknown: there is no config.json')}${facts === null ? ' (not one that Bitwright can run: data-free methods only)' : ''}`,
    ...(facts === null
      ? []
      : [
          `              ${counted(facts.num_hidden_layers, 'block')}, hidden ${facts.hidden_size}, MLP ${facts.intermediate_size}, ${facts.num_attention_heads} heads (${facts.num_key_value_heads} key/value) of ${facts.head_dim}, vocabulary ${thousands(facts.vocab_size)}, context ${thousands(facts.max_position_embeddings)}${facts.tie_word_embeddings ? ', head tied to the embedding' : ''}`,
        ]),
    ...(quantization === null
      ? []
      : [`Quantized     ${quantization.format}, ${counted(Object.keys(quantization.layers).length, 'layer')}`]),
    // Of packed codes the shape tells words or bytes, and no number of weights.
    quantization === null
      ? `Weights       ${counted(model.tensors.length, 'tensor')}, ${thousands(elements)} values, ${bytesText(bytes)} in ${counted(model.files.length, 'file')}, mostly ${model.dtype}`
      : `Weights       ${counted(model.tensors.length, 'tensor')}, ${bytesText(bytes)} in ${counted(model.files.length, 'file')}`,
    '',
    ...table(
      [
        { title: 'tensor', align: 'left' },
        { title: 'dtype', align: 'left' },
        { title: quantization === null ? 'shape' : 'shape as stored', align: 'right' },
        ...(shapes.size === 0 ? [] : [{ title: 'shape of the layer', align: 'right' } as const]),
        { title: 'size', align: 'right' },
        { title: quantization === null ? '' : 'scheme', align: 'left' },
      ],
      groups.map(({ name, items }) => [
        name,
        items[0]?.dtype ?? '',
        items[0]?.shape.join(' × ') ?? '',
        ...(shapes.size === 0 ? [] : [shapes.get(items[0]?.name ?? '') ?? '']),
        bytesText(items.reduce((sum, tensor) => sum + tensor.bytes, 0)),
        schemeOf(items[0]?.name ?? ''),
      ]),
    ),
  ];
}

const HISTOGRAM_ROWS = 16;
const HISTOGRAM_CELLS = 40;

function statisticsLines(statistics: TensorStatistics): string[] {
  const { min, max, mean, std, absmax, n_nan, n_inf, histogram } = statistics;
  const figure = (value: number): string => value.toPrecision(5);
  return [
    `${statistics.name}  ${statistics.dtype} ${statistics.shape.join(' × ')}, ${thousands(statistics.count)} values`,
    `min ${figure(min)}, max ${figure(max)}, mean ${figure(mean)}, standard deviation ${figure(std)}, largest magnitude ${figure(absmax)}`,
    ...(n_nan + n_inf === 0
      ? []
      : [`${thousands(n_nan)} values are NaN and ${thousands(n_inf)} infinite: this tensor cannot be quantized as it is.`]),
    '',
    ...histogramLines(histogram.min, histogram.max, histogram.counts),
  ];
}

function histogramLines(min: number, max: number, counts: readonly number[]): string[] {
  const rows = Math.min(HISTOGRAM_ROWS, counts.length);
  const merged = Array.from({ length: rows }, (_, row) =>
    counts
      .slice(Math.floor((row * counts.length) / rows), Math.floor(((row + 1) * counts.length) / rows))
      .reduce((sum, count) => sum + count, 0),
  );
  const most = Math.max(1, ...merged);
  return merged.map((count, row) => {
    const from = min + ((max - min) * Math.floor((row * counts.length) / rows)) / counts.length;
    const bar = '█'.repeat(Math.round((count / most) * HISTOGRAM_CELLS));
    return `  ${from.toPrecision(4).padStart(11)}  ${bar.padEnd(HISTOGRAM_CELLS)}  ${thousands(count)}`.trimEnd();
  });
}
