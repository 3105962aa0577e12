// A folder with one GGUF file in place of safetensors → the same facts as of any model folder: names and shapes as in the checkpoint it was made from. From its header alone.
// Every weight with rows and columns has a scheme, which says in what blocks it lies and whether its rows are in llama.cpp's order.
import { createHash } from 'node:crypto';
import path from 'node:path';
import { ggufScheme, isGgufType } from '../gguf-scheme.js';
import type { ModelDescription, ModelTensor, QuantizationScheme } from '../generated/plan.js';
import { architectureOf } from './gguf-architecture.js';
import { readGgufHeader, type GgufHeader } from './gguf-header.js';
import { headsInPairs, ownName } from './gguf-names.js';
import type { ModelFiles } from './model-files.js';
import { rowBytes } from './gguf-types.js';

const floats: Readonly<Record<string, ModelTensor['dtype']>> = { F32: 'F32', F16: 'F16', BF16: 'BF16' };

export type DescribedGguf = Pick<
  ModelDescription,
  'model_type' | 'architecture_name' | 'architecture' | 'files' | 'tensors' | 'quantization' | 'bos_token_id' | 'eos_token_id'
>;

const architectureNames = { llama: 'LlamaForCausalLM', qwen2: 'Qwen2ForCausalLM', qwen3: 'Qwen3ForCausalLM' } as const;

/** A clause where the file is not one that is computed here. Throws what the header's reader throws. */
export async function describeGguf(dir: string, name: string, files: ModelFiles): Promise<DescribedGguf | string> {
  const file = path.join(dir, name);
  const header = await readGgufHeader(files, file, name);
  const [problem] = header.problems;
  if (problem !== undefined) return problem;
  if (!header.littleEndian) return 'it is big-endian';
  const said = architectureOf(header.metadata, header.tensors);
  if (typeof said === 'string') return said;
  const tensors: ModelTensor[] = [];
  const layers: Record<string, QuantizationScheme> = {};
  for (const { name: ggufName, type, shape, offset, bytes } of header.tensors) {
    if (ggufName === 'rope_freqs.weight') continue;
    const own = ownName(ggufName, said.facts);
    if (own === null) return `it has a tensor ${ggufName}, which no ${said.name} model that is computed here has`;
    const dtype = floats[type];
    const heads = headsInPairs(own.replace(/\.(weight|bias)$/, ''), said.name, said.facts);
    if (heads !== null && (shape[0] ?? 0) % (2 * heads) !== 0) return `${ggufName} has ${shape[0]} rows, which ${heads} heads do not share`;
    if (shape.length === 2 && own.endsWith('.weight')) {
      if (!isGgufType(type) && dtype === undefined) return `${ggufName} is ${type}, whose blocks are not read yet`;
      layers[own.slice(0, -'.weight'.length)] = ggufScheme(isGgufType(type) ? type : (dtype as 'F32'), null, heads);
    } else if (dtype === undefined) return `${ggufName} is ${type} and no matrix`;
    const [rows = 0, columns = 0] = shape;
    tensors.push({
      name: own,
      file: name,
      dtype: dtype ?? 'U8',
      shape: dtype === undefined ? [rows, rowBytes(type, columns)] : shape,
      offset,
      bytes: bytes ?? 0,
    });
  }
  return {
    model_type: said.name,
    architecture_name: architectureNames[said.name as keyof typeof architectureNames],
    architecture: said.facts,
    files: [{ name, size: header.size, header_sha256: await hashOfHeader(files, file, header) }],
    tensors,
    quantization: { format: 'gguf', ignore: [], layers },
    bos_token_id: said.bos_token_id,
    eos_token_id: said.eos_token_id,
  };
}

const chunk = 1 << 20;

/** SHA-256 of all before the tensors. */
export async function hashOfHeader(files: ModelFiles, file: string, { dataStart, size }: GgufHeader): Promise<string> {
  const hash = createHash('sha256');
  const end = Math.min(dataStart, size);
  for (let at = 0; at < end; at += chunk) hash.update(await files.readRange(file, at, Math.min(chunk, end - at)));
  return hash.digest('hex');
}
