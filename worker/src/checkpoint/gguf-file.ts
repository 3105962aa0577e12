// The checkpoint as one GGUF file: names and row orders of llama.cpp, metadata of architecture and tokenizer. What is not quantized stays in its dtype, vectors in 32 bits,
// which is what llama.cpp's operations take.
import path from 'node:path';
import type { RunLock } from '../../../schemas/src/generated/lock.js';
import type { GgufOutput, LayerPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { architectureEntries, ggufArchitecture, ropeFactors, type GgufValueToWrite } from '../../../schemas/src/model/gguf-architecture.js';
import { ggufName, headsInPairs, pairedRows } from '../../../schemas/src/model/gguf-names.js';
import { isPassedOver } from '../../../schemas/src/model/gguf-obstacles.js';
import { readTokenizerFiles } from '../../../schemas/src/model/gguf-tokenizer-files.js';
import { tokenizerEntries } from '../../../schemas/src/model/gguf-tokenizer.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { writeGguf, type GgufTensorToWrite } from './gguf-writer.js';
import type { PlacedTensor } from './tensor-reader.js';

export interface GgufContent {
  plan: QuantizationPlan;
  output: GgufOutput;
  stored: readonly LayerPlan[];
  tensors: readonly PlacedTensor[];
  isUntied: boolean;
  bitwrightVersion: string;
}

type Chunks = (placed: PlacedTensor, part: { offset: number; bytes: number }) => AsyncIterable<Uint8Array>;

/** Answers the bytes of all tensors; hashes of what is written go into `hashes`. `read` gives bytes of a tensor from the file that holds it. */
export async function writeGgufFile(
  dir: string,
  content: GgufContent,
  read: Chunks,
  hashes: Pick<RunLock, 'files' | 'tensors'>,
): Promise<number> {
  const { plan, output, tensors } = content;
  const { architecture: facts, model_type } = plan.model;
  const architecture = ggufArchitecture(model_type);
  if (facts === null || architecture === null) throw runFailure.architectureUnknown(plan.model.architecture_name ?? plan.model.dir, 'GGUF');
  const factors = ropeFactors(facts);
  const { compare } = new Intl.Collator('en', { numeric: true });
  const toWrite = tensors
    .filter(
      ({ tensor }) =>
        !isPassedOver(tensor.name) && !(facts.tie_word_embeddings && !content.isUntied && tensor.name === `${facts.lm_head}.weight`),
    )
    .map((placed) => tensorToWrite(content, placed, architecture, read))
    .concat(factors === null ? [] : [factorsToWrite(factors)])
    .sort((a, b) => compare(a.name, b.name));
  const bytes = toWrite.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const tokenizer = tokenizerEntries(await readTokenizerFiles(plan.model, nodeFiles), output.tokenizer_pre, {
    ...plan.model,
    vocab_size: facts.vocab_size,
  });
  if (typeof tokenizer === 'string') throw runFailure.tokenizerInvalid(path.join(plan.model.dir, 'tokenizer.json'), tokenizer);
  const text = (key: string, value: string): GgufValueToWrite => ({ key, type: 'string', value });
  const entries: GgufValueToWrite[] = [
    text('general.architecture', architecture),
    text('general.type', 'model'),
    text('general.name', output.name),
    text('general.quantized_by', `Bitwright ${content.bitwrightVersion}`),
    { key: 'general.file_type', type: 'uint32', value: output.file_type },
    { key: 'general.quantization_version', type: 'uint32', value: 2 },
    ...architectureEntries(architecture, facts),
    ...tokenizer,
  ];
  const onTensor = (name: string, sha256: string): void => void hashes.tensors.push({ name, file: output.file, sha256 });
  const whole = await writeGguf(path.join(dir, output.file), entries, toWrite, `${bytes} bytes for the checkpoint`, onTensor);
  hashes.files.push({ name: output.file, ...whole });
  return bytes;
}

function tensorToWrite({ plan, stored }: GgufContent, placed: PlacedTensor, architecture: string, read: Chunks): GgufTensorToWrite {
  const { tensor } = placed;
  const facts = plan.model.architecture;
  const name = facts && ggufName(tensor.name, facts);
  if (facts === null || name === null) throw runFailure.planInvalid(`${tensor.name} has no name in a GGUF file of ${architecture}`);
  const module = tensor.name.replace(/\.(weight|bias)$/, '');
  const layer = tensor.name.endsWith('.weight') ? stored.find((known) => known.name === module) : undefined;
  const type = layer?.scheme?.weights?.gguf_type;
  const heads = headsInPairs(module, architecture, facts);
  const { bytes } = tensor;
  const whole = (): AsyncIterable<Uint8Array> => (heads === null ? read(placed, { offset: 0, bytes }) : headByHead(placed, heads, read));
  if (layer !== undefined && type !== undefined) return { name, type, shape: [layer.rows, layer.columns], bytes, read: whole };
  if (tensor.dtype !== 'F32' && tensor.dtype !== 'F16' && tensor.dtype !== 'BF16')
    throw runFailure.planInvalid(`${tensor.name} is ${tensor.dtype}, which a GGUF file of ${architecture} cannot hold`);
  if (tensor.shape.length !== 1 || tensor.dtype === 'F32') return { name, type: tensor.dtype, shape: tensor.shape, bytes, read: whole };
  const { dtype } = tensor;
  return { name, type: 'F32', shape: tensor.shape, bytes: 2 * bytes, read: () => widened(whole(), dtype) };
}

/** Rows of one head at a time, in llama.cpp's order. */
async function* headByHead(placed: PlacedTensor, heads: number, read: Chunks): AsyncIterable<Uint8Array> {
  const { bytes, shape } = placed.tensor;
  const [rows = 0] = shape;
  const perHead = rows / heads;
  const row = bytes / rows;
  const order = pairedRows(perHead, 1);
  for (let head = 0; head < heads; head += 1) {
    const inOrder = new Uint8Array(perHead * row);
    const own = await joined(read(placed, { offset: head * perHead * row, bytes: perHead * row }), perHead * row);
    order.forEach((from, to) => inOrder.set(own.subarray(from * row, (from + 1) * row), to * row));
    yield inOrder;
  }
}

async function joined(chunks: AsyncIterable<Uint8Array>, bytes: number): Promise<Uint8Array> {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for await (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

/** 16 bits as 32, without loss. Vectors are short, so their two-byte numbers come in one piece or are joined. */
async function* widened(chunks: AsyncIterable<Uint8Array>, dtype: 'F16' | 'BF16'): AsyncIterable<Uint8Array> {
  let rest = new Uint8Array(0);
  for await (const chunk of chunks) {
    const bytes = new Uint8Array(rest.byteLength + chunk.byteLength);
    bytes.set(rest);
    bytes.set(chunk, rest.byteLength);
    const n = Math.floor(bytes.byteLength / 2);
    const from = new DataView(bytes.buffer);
    const to = new DataView(new ArrayBuffer(4 * n));
    for (let i = 0; i < n; i += 1) {
      const bits = from.getUint16(2 * i, true);
      if (dtype === 'BF16') to.setUint32(4 * i, bits * 65536, true);
      else to.setFloat32(4 * i, halfValue(bits), true);
    }
    rest = bytes.subarray(2 * n);
    yield new Uint8Array(to.buffer);
  }
}

function halfValue(bits: number): number {
  const [sign, exponent, mantissa] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

function factorsToWrite(factors: Float32Array): GgufTensorToWrite {
  const bytes = new Uint8Array(factors.slice().buffer);
  async function* read(): AsyncIterable<Uint8Array> {
    yield bytes;
  }
  return { name: 'rope_freqs.weight', type: 'F32', shape: [factors.length], bytes: bytes.byteLength, read };
}
