// Assembles the checkpoint folder: shards in a fixed order, index, config, side files, recipe; it appears whole, by one rename.
import { copyFile, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { RunLock } from '../../../schemas/src/generated/lock.js';
import type { GgufOutput, LayerPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { othersFilesIn, recipeMark } from '../../../schemas/src/model/own-output.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { isAdapterTensor, writeAdapter } from './adapter-folder.js';
import { writeGgufFile } from './gguf-file.js';
import { makeFolder, syncDirectory, syncFile, writeFailure, writeTextDurably } from './durable-file.js';
import { addToConfig, makeQuantizationConfig } from './quantization-config.js';
import { writeSafetensors, type TensorToWrite } from './safetensors-writer.js';
import type { PlacedTensor } from './tensor-reader.js';

export interface CheckpointContent {
  plan: QuantizationPlan;
  /** Layers whose weights are stored quantized. */
  stored: readonly LayerPlan[];
  /** Every tensor of the checkpoint. */
  tensors: readonly PlacedTensor[];
  /** True when the head was tied to the embedding and has a weight of its own now. */
  isUntied: boolean;
  bitwrightVersion: string;
}

/** Hashes of the shards and of their tensors, made while they are written. */
export interface CheckpointHashes {
  files: RunLock['files'];
  tensors: RunLock['tensors'];
}

/** Before any work: a folder that is not ours is never replaced. */
export async function checkOutputFolder(dir: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return;
    if (code === 'ENOTDIR') throw runFailure.outputNotAFolder(dir, await fileAtOrAbove(dir));
    throw runFailure.fileUnreadable(dir, error instanceof Error ? error.message : String(error));
  }
  if ((await othersFilesIn(dir, names, nodeFiles)).length > 0) throw runFailure.outputNotOurs(dir);
}

/** Of a path that is no folder: the file that stands in the way, itself or one above it. */
async function fileAtOrAbove(dir: string): Promise<string> {
  const parent = path.dirname(dir);
  // Below a file every name answers ENOTDIR, so only the file itself can be looked at.
  return parent === dir || (await stat(dir).catch(() => null)) !== null ? dir : fileAtOrAbove(parent);
}

/** Writes into `<runDir>/checkpoint` and renames it to the output folder. Answers the bytes of all tensors. */
export async function writeCheckpoint(
  content: CheckpointContent,
  runDir: string,
  onProgress: (bytes: number) => void,
  hashes: CheckpointHashes,
): Promise<number> {
  const { plan } = content;
  const dir = path.join(runDir, 'checkpoint');
  await rm(dir, { recursive: true, force: true });
  try {
    await makeFolder(dir);
    const isPart = ({ tensor }: PlacedTensor): boolean => isAdapterTensor(tensor.name);
    const own = { ...content, tensors: content.tensors.filter((placed) => !isPart(placed)) };
    const adapter = content.tensors.filter(isPart).map((placed) => fromFile(placed, () => undefined));
    const { gguf } = plan.output;
    const bytes =
      gguf === null
        ? (await writeShards(dir, own, onProgress, hashes)) + (await writeAdapter(dir, adapter))
        : await writeWholeGguf(dir, { ...own, output: gguf }, onProgress, hashes);
    // A GGUF file says itself what config.json would.
    if (gguf === null) await writeConfig(dir, content);
    await copySideFiles(dir, plan);
    await writeTextDurably(path.join(dir, 'recipe.yaml'), `${recipeMark} ${content.bitwrightVersion}\n${plan.recipe.text}`);
    await syncDirectory(dir);
    await replaceFolder(dir, plan.output.dir, path.join(runDir, 'replaced'));
    return bytes;
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw writeFailure(plan.output.dir, error, 'a new folder');
  }
}

async function writeShards(
  dir: string,
  { plan, tensors }: CheckpointContent,
  onProgress: (bytes: number) => void,
  hashes: CheckpointHashes,
): Promise<number> {
  const shards = fillShards(tensors, plan.output.max_shard_bytes);
  const total_size = tensors.reduce((sum, { tensor }) => sum + tensor.bytes, 0);
  const weight_map: Record<string, string> = {};
  let done = 0;
  for (const [index, shard] of shards.entries()) {
    const name = shards.length === 1 ? 'model.safetensors' : `model-${fiveDigits(index + 1)}-of-${fiveDigits(shards.length)}.safetensors`;
    for (const { tensor } of shard) weight_map[tensor.name] = name;
    const toWrite = shard.map((placed) => fromFile(placed, (bytes) => onProgress((done += bytes))));
    const onTensor = (tensor: string, sha256: string): void => void hashes.tensors.push({ name: tensor, file: name, sha256 });
    const whole = await writeSafetensors(path.join(dir, name), toWrite, `${total_size} bytes for the checkpoint`, onTensor);
    hashes.files.push({ name, ...whole });
  }
  if (shards.length > 1) {
    const total_parameters = tensors.reduce((sum, { tensor }) => sum + tensor.shape.reduce((n, extent) => n * extent, 1), 0);
    const sorted = Object.fromEntries(Object.entries(weight_map).sort(([a], [b]) => (a < b ? -1 : 1)));
    const index = { metadata: { total_parameters, total_size }, weight_map: sorted };
    await writeTextDurably(path.join(dir, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`);
  }
  return total_size;
}

function writeWholeGguf(
  dir: string,
  content: CheckpointContent & { output: GgufOutput },
  onProgress: (bytes: number) => void,
  hashes: CheckpointHashes,
): Promise<number> {
  let done = 0;
  const read = (placed: PlacedTensor, part: { offset: number; bytes: number }): AsyncIterable<Uint8Array> => {
    const tensor = { ...placed.tensor, offset: placed.tensor.offset + part.offset, bytes: part.bytes };
    return fromFile({ tensor, file: placed.file }, (bytes) => onProgress((done += bytes))).read();
  };
  return writeGgufFile(dir, content, read, hashes);
}

const fiveDigits = (n: number): string => String(n).padStart(5, '0');

/** Tensors in the order of their names, numbers by value, so that blocks stay together; a shard is closed when the next one would not fit. */
function fillShards(tensors: readonly PlacedTensor[], max_shard_bytes: number): PlacedTensor[][] {
  const { compare } = new Intl.Collator('en', { numeric: true });
  const sorted = [...tensors].sort((a, b) => compare(a.tensor.name, b.tensor.name) || (a.tensor.name < b.tensor.name ? -1 : 1));
  const shards: PlacedTensor[][] = [[]];
  let bytes = 0;
  for (const placed of sorted) {
    if (bytes > 0 && bytes + placed.tensor.bytes > max_shard_bytes) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)?.push(placed);
    bytes += placed.tensor.bytes;
  }
  return shards;
}

const chunkBytes = 8 * 1024 * 1024;

function fromFile({ tensor, file }: PlacedTensor, onChunk: (bytes: number) => void): TensorToWrite {
  async function* read(): AsyncIterable<Uint8Array> {
    const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
      throw runFailure.fileUnreadable(file, error.message);
    });
    try {
      for (let done = 0; done < tensor.bytes;) {
        const chunk = new Uint8Array(Math.min(chunkBytes, tensor.bytes - done));
        const { bytesRead } = await handle.read(chunk, 0, chunk.byteLength, tensor.offset + done);
        if (bytesRead === 0)
          throw runFailure.fileUnreadable(file, `${tensor.name} needs ${tensor.bytes} bytes at ${tensor.offset} and ${done} are there`);
        yield chunk.subarray(0, bytesRead);
        done += bytesRead;
        onChunk(bytesRead);
      }
    } finally {
      await handle.close();
    }
  }
  return { ...tensor, read };
}

async function writeConfig(dir: string, { plan, stored, isUntied }: CheckpointContent): Promise<void> {
  const file = path.join(plan.model.dir, 'config.json');
  const text = plan.model.side_files.includes('config.json') ? await readSideFile(file) : '{}';
  const switches = plan.transforms.flatMap((transform) => (transform.name === 'bias-correction' ? transform.switches : []));
  const entries = {
    quantization_config: makeQuantizationConfig(plan.layers, stored, biasedModules(plan)),
    ...(isUntied ? { tie_word_embeddings: false } : {}),
    ...Object.fromEntries(switches.map((name) => [name, true])),
  };
  await writeTextDurably(path.join(dir, 'config.json'), stored.length > 0 ? addToConfig(file, text, entries) : text);
}

/** Modules that have a bias, or that bias correction gives one. */
const biasedModules = ({ model, transforms }: QuantizationPlan): Set<string> =>
  new Set([
    ...model.tensors.flatMap(({ name }) => (name.endsWith('.bias') ? [name.slice(0, -'.bias'.length)] : [])),
    ...transforms.flatMap((transform) => (transform.name === 'bias-correction' ? transform.added : [])),
  ]);

export async function copySideFiles(dir: string, { model }: QuantizationPlan): Promise<void> {
  for (const name of model.side_files) {
    if (name === 'config.json' || name === 'recipe.yaml') continue;
    const source = path.join(model.dir, name);
    await makeFolder(path.dirname(path.join(dir, name)));
    try {
      await copyFile(source, path.join(dir, name));
      await syncFile(path.join(dir, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT')
        throw runFailure.fileUnreadable(source, 'it was there when the plan was made and is gone');
      throw writeFailure(path.join(dir, name), error, 'a copy');
    }
  }
}

export const readSideFile = (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw runFailure.fileUnreadable(file, error.message);
  });

/** A folder cannot be renamed over a filled one: the old checkpoint steps aside first and goes when the new one stands. */
async function replaceFolder(from: string, to: string, aside: string): Promise<void> {
  await rm(aside, { recursive: true, force: true });
  await checkOutputFolder(to);
  await rename(to, aside).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rename(from, to);
  await syncDirectory(path.dirname(to));
  await rm(aside, { recursive: true, force: true });
}
