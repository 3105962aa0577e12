// Dataset rows → token batches: the model's BOS once, no EOS, cut at max_seq_length; documents packed behind each other, never mixed.
// Rows of input_ids are used as they are.
import { stat } from 'node:fs/promises';
import type { DatasetRow } from '../../../schemas/src/dataset/dataset-row.js';
import type { DatasetPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import type { TokenBatch } from '../models/model.js';
import { seededRandom } from '../random-numbers.js';
import type { Device } from '../tensor/tensor.js';
import { readDatasetRows } from './dataset-rows.js';
import { openTokenizer, type TextTokenizer } from './tokenizer.js';

/** Tokens per batch, about: many enough to keep every core busy, few enough that the activations of a small model stay in the processor's cache. */
export const usualBatch = 4096;

export interface TokenBatches extends Disposable {
  /** Disposed with their owner; whoever puts others in their place has disposed those that were. */
  batches: readonly TokenBatch[];
  nDocuments: number;
  nTokens: number;
  /** Tokens of the longest document. */
  longest: number;
  /** Tokens of the largest batch. */
  largest: number;
  problems: RunProblem[];
}

/**
 * Batch i lies on device i mod n. `batchTokens`: tokens of a batch, about; a longer document is one by itself. `recipePath`: where the recipe names the
 * dataset; its findings are told there.
 */
export async function loadTokenBatches(
  dataset: DatasetPlan,
  model: ModelDescription,
  devices: readonly Device[],
  { batchTokens = usualBatch, recipePath = ['calibration'] }: { batchTokens?: number; recipePath?: readonly string[] } = {},
): Promise<TokenBatches> {
  const { documents, problems } = await tokenizeRows(dataset, model, recipePath);
  if (documents.length === 0) throw runFailure.datasetInvalid(dataset.dataset, null, 'it has no row with at least one token');
  return batchDocuments(documents, devices, { batchTokens, problems });
}

/** At least one document, each of at least one token. */
export function batchDocuments(
  documents: readonly Int32Array[],
  devices: readonly Device[],
  { batchTokens = usualBatch, problems = [] }: { batchTokens?: number; problems?: RunProblem[] } = {},
): TokenBatches {
  const batches: TokenBatch[] = [];
  let pending: Int32Array[] = [];
  let [size, n_packed] = [0, 0];
  const pack = (): void => {
    batches.push(packDocuments(pending, devices[batches.length % devices.length]!, n_packed));
    n_packed += pending.length;
    [pending, size] = [[], 0];
  };
  for (const document of documents) {
    if (size > 0 && size + document.length > batchTokens) pack();
    pending.push(document);
    size += document.length;
  }
  pack();
  const made: TokenBatches = {
    batches,
    nDocuments: documents.length,
    nTokens: documents.reduce((sum, document) => sum + document.length, 0),
    longest: documents.reduce((longest, document) => Math.max(longest, document.length), 0),
    largest: batches.reduce((largest, batch) => Math.max(largest, batch.nTokens), 0),
    problems,
    [Symbol.dispose]: () => {
      for (const { ids, positionIds, documentOffsets } of made.batches)
        [ids, positionIds, documentOffsets].forEach((tensor) => tensor.dispose());
    },
  };
  return made;
}

/** The tokens of each, as they were packed. */
export const documentsIn = ({ tokens, offsets }: Pick<TokenBatch, 'tokens' | 'offsets'>): Int32Array[] =>
  offsets.slice(1).map((end, index) => tokens.slice(offsets[index], end));

/** Tokens of every row that is used, in the order of use. */
async function tokenizeRows(
  dataset: DatasetPlan,
  model: ModelDescription,
  recipePath: readonly string[],
): Promise<{ documents: Int32Array[]; problems: RunProblem[] }> {
  await verifySize(dataset);
  const rows = await chooseRows(dataset);
  const limit = dataset.max_seq_length ?? model.architecture?.max_position_embeddings ?? Infinity;
  const vocabulary = model.architecture?.vocab_size ?? Infinity;
  const needsTokenizer = rows.some((row) => 'text' in row);
  const tokenizer = needsTokenizer ? await openTokenizer(model.dir) : null;
  const documents: Int32Array[] = [];
  let [n_cut, tokensCut, n_messages, n_blank, n_empty] = [0, 0, 0, 0, 0];
  for (const row of rows) {
    const ids = idsOfRow(row, tokenizer, model, dataset.dataset);
    const wrong = ids.find((id) => id < 0 || id >= vocabulary);
    if (wrong !== undefined)
      throw runFailure.datasetInvalid(dataset.dataset, row.line, `token id ${wrong} is outside the vocabulary of ${vocabulary}`);
    if (ids.length > limit) {
      n_cut += 1;
      tokensCut += ids.length - limit;
    }
    if ('text' in row && row.fromMessages) n_messages += 1;
    if (ids.length === 0) {
      n_empty += 1;
      continue;
    }
    if ('text' in row && row.text.trim() === '') n_blank += 1;
    documents.push(Int32Array.from(ids.slice(0, limit)));
  }
  return {
    documents,
    problems: rowProblems(dataset, recipePath, { n_rows: rows.length, n_cut, tokensCut, n_messages, n_blank, n_empty, limit }),
  };
}

async function verifySize({ dataset, bytes }: DatasetPlan): Promise<void> {
  const { size } = await stat(dataset).catch((error: NodeJS.ErrnoException) => {
    throw runFailure.fileUnreadable(dataset, error.message);
  });
  if (size !== bytes) throw runFailure.modelFileChanged(dataset, `it has ${size} bytes and had ${bytes}`);
}

async function chooseRows(dataset: DatasetPlan): Promise<DatasetRow[]> {
  const wanted = dataset.num_calibration_samples ?? Infinity;
  const rows: DatasetRow[] = [];
  for await (const row of readDatasetRows(dataset.dataset, dataset.text_column)) {
    rows.push(row);
    if (!dataset.shuffle && rows.length >= wanted) break;
  }
  return (dataset.shuffle ? shuffled(rows, dataset.seed) : rows).slice(0, wanted);
}

function idsOfRow(row: DatasetRow, tokenizer: TextTokenizer | null, model: ModelDescription, dataset: string): number[] {
  if ('input_ids' in row) return row.input_ids;
  let ids: number[];
  try {
    ids = tokenizer?.encode(row.text) ?? [];
  } catch (error) {
    throw runFailure.tokenizerInvalid(
      tokenizer?.file ?? '',
      `${dataset}, line ${row.line}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return tokenizer === null ? ids : withBos(ids, tokenizer, model);
}

/** The model's BOS once, where its tokenizer puts one. */
export function withBos(ids: number[], tokenizer: TextTokenizer, model: ModelDescription): number[] {
  const bos = tokenizer.bos === undefined ? model.bos_token_id : tokenizer.bos;
  return bos === null || ids[0] === bos ? ids : [bos, ...ids];
}

/** `firstDocument`: number of the first of them among all rows. */
export function packDocuments(documents: readonly Int32Array[], device: Device, firstDocument = 0): TokenBatch {
  const offsets = [0];
  for (const document of documents) offsets.push((offsets.at(-1) ?? 0) + document.length);
  const nTokens = offsets.at(-1) ?? 0;
  const tokens = new Int32Array(nTokens);
  const positions = new Int32Array(nTokens);
  documents.forEach((document, index) => {
    const begin = offsets[index] ?? 0;
    tokens.set(document, begin);
    positions.set(
      document.map((_, position) => position),
      begin,
    );
  });
  return {
    ids: device.fromInts([nTokens], tokens),
    positionIds: device.fromInts([nTokens], positions),
    documentOffsets: device.fromInts([offsets.length], Int32Array.from(offsets)),
    offsets,
    firstDocument,
    nTokens,
    tokens,
  };
}

/** Fisher and Yates: a seed means the same rows everywhere. */
function shuffled<T>(items: readonly T[], seed: number): T[] {
  const result = [...items];
  const random = seededRandom(seed);
  for (let last = result.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [result[last], result[other]] = [result[other]!, result[last]!];
  }
  return result;
}

interface RowFindings {
  n_rows: number;
  n_cut: number;
  tokensCut: number;
  n_messages: number;
  n_blank: number;
  n_empty: number;
  limit: number;
}

function rowProblems(
  dataset: DatasetPlan,
  recipePath: readonly string[],
  { n_rows, n_cut, tokensCut, n_messages, n_blank, n_empty, limit }: RowFindings,
): RunProblem[] {
  const problems: RunProblem[] = [];
  const add = (code: string, severity: RunProblem['severity'], message: string): number =>
    problems.push({ code, severity, message, layer: null, recipe_path: [...recipePath] });
  const wanted = dataset.num_calibration_samples;
  if (wanted !== null && n_rows < wanted)
    add(
      'dataset-too-short',
      'warning',
      `${dataset.dataset} has ${n_rows} rows and num_calibration_samples asks for ${wanted}; all of them are used.`,
    );
  if (n_cut > 0)
    add(
      'rows-truncated',
      'information',
      `${n_cut} of ${n_rows} rows of ${dataset.dataset} are longer than ${limit} tokens (max_seq_length) and were cut there; ${tokensCut} tokens are not used.`,
    );
  if (n_messages > 0)
    add(
      'messages-without-template',
      'warning',
      `${n_messages} rows of ${dataset.dataset} hold messages; their contents were joined by line ends, without roles and without the chat template of the model, which Bitwright cannot render. Write the rendered conversation into ${dataset.text_column} (text_column) of each row, so that the model sees what it will see in use.`,
    );
  if (n_blank > 0)
    add(
      'rows-empty',
      'warning',
      `${n_blank} of ${n_rows} rows of ${dataset.dataset} have no text, and were used with what the tokenizer makes of none: the BOS token of the model, or blanks. They show the model nothing; remove them from the dataset.`,
    );
  if (n_empty > 0)
    add(
      'rows-empty',
      'warning',
      `${n_empty} of ${n_rows} rows of ${dataset.dataset} have no token (an empty text, and the tokenizer of the model puts no BOS before it) and were left out. Remove them from the dataset.`,
    );
  return problems;
}
