// The weights that an analysis has quantized, kept as the tensors of a checkpoint, one file for each candidate: any mix of them is a model that can be
// read at once. A file takes what its layer takes in a checkpoint.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type {
  LayerPlan,
  ModelDescription,
  ModelFile,
  ModelTensor,
  QuantizationPlan,
  QuantizationScheme,
} from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { makeFolder, writeFailure } from '../checkpoint/durable-file.js';
import type { NamedTensor } from '../checkpoint/formats/format.js';
import { fromDevice, headerHashOf, placeTensors, writeSafetensors } from '../checkpoint/safetensors-writer.js';
import { isUntied } from '../jobs/layer-jobs.js';

export interface KeptWeight {
  name: string;
  num_bits: number;
  /** Of the weight in the unquantized model. */
  source: string;
  tied_to: string | null;
  scheme: QuantizationScheme;
  /** Its path begins at the folder of the analysis, as those of its tensors do. */
  file: ModelFile;
  tensors: ModelTensor[];
}

/** `index` names the file: names of layers are data, and may hold what a path must not. */
export async function keepWeight(dir: string, index: number, layer: LayerPlan, stored: readonly NamedTensor[]): Promise<KeptWeight> {
  const num_bits = layer.scheme?.weights?.num_bits;
  if (!layer.scheme || num_bits === undefined) throw new Error(`${layer.name} has no scheme whose weight could be kept.`);
  const name = `weights/${String(index).padStart(4, '0')}-${num_bits}bit.safetensors`;
  const tensors = stored.map(fromDevice);
  const needed = `${tensors.reduce((sum, { bytes }) => sum + bytes, 0)} bytes for ${layer.name} with ${num_bits} bits`;
  const file = path.join(dir, name);
  await makeFolder(path.dirname(file)).catch((error: unknown) => {
    throw writeFailure(path.dirname(file), error, 'a folder');
  });
  const { bytes } = await writeSafetensors(file, tensors, needed);
  return {
    name: layer.name,
    num_bits,
    source: layer.tensor,
    tied_to: layer.tied_to,
    scheme: layer.scheme,
    file: { name, size: bytes, header_sha256: headerHashOf(tensors) },
    tensors: placeTensors(name, tensors),
  };
}

/** False where somebody has cleared the files away to make room. */
export const isThere = async (dir: string, { file }: KeptWeight): Promise<boolean> => {
  try {
    return (await stat(path.join(dir, file.name))).size === file.size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw runFailure.fileUnreadable(path.join(dir, file.name), (error as Error).message);
  }
};

/** The model of the plan with these weights in place of its own, as a folder would describe it; files are named from the folder of the analysis. */
export function assembledModel(plan: QuantizationPlan, dir: string, kept: readonly KeptWeight[]): ModelDescription {
  const { model } = plan;
  const fromHere = (file: string): string => path.relative(dir, path.join(model.dir, file));
  // The weight of a tied head is the embedding's, which stays.
  const replaced = new Set(kept.filter(({ tied_to }) => tied_to === null).map(({ source }) => source));
  const source = model.tensors.map((tensor) => ({ ...tensor, file: fromHere(tensor.file) }));
  const { architecture } = model;
  // A head with the scheme of its embedding stays tied to it.
  const ofHead = architecture && isUntied(plan) ? partedHead(architecture, source, kept) : null;
  return {
    ...model,
    dir,
    files: [...model.files.map((file) => ({ ...file, name: fromHere(file.name) })), ...kept.map(({ file }) => file)],
    tensors: [...source.filter(({ name }) => !replaced.has(name)), ...kept.flatMap(({ tensors }) => tensors), ...(ofHead?.tensors ?? [])],
    architecture: architecture && { ...architecture, tie_word_embeddings: architecture.tie_word_embeddings && ofHead === null },
    quantization: { format: 'mixed-precision', ignore: [], layers: Object.fromEntries(kept.map(({ name, scheme }) => [name, scheme])) },
  };
}

/** Of a head that shares the embedding's weight and no longer can: its own tensors, none where they are among the kept. Null: it stays tied, or never was. */
function partedHead(
  { tie_word_embeddings, embed_tokens, lm_head }: NonNullable<ModelDescription['architecture']>,
  source: readonly ModelTensor[],
  kept: readonly KeptWeight[],
): { tensors: ModelTensor[] } | null {
  if (!tie_word_embeddings || !kept.some(({ name }) => name === embed_tokens || name === lm_head)) return null;
  if (kept.some(({ name }) => name === lm_head)) return { tensors: [] };
  return {
    tensors: source.filter(({ name }) => name === `${embed_tokens}.weight`).map((tensor) => ({ ...tensor, name: `${lm_head}.weight` })),
  };
}
