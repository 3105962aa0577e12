// The model with its rotations folded in, as a folder of its own inside the run folder: what every later step reads in place of the source. Tensor by tensor.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { ModelDescription, ModelTensor, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { RotationMetrics } from '../../../schemas/src/generated/report.js';
import { isRotation, type RotationPlan } from '../../../schemas/src/modifiers.js';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { transforms } from '../algorithms.js';
import { copySideFiles, readSideFile } from '../checkpoint/checkpoint-writer.js';
import { makeFolder, writeFailure, writeTextDurably } from '../checkpoint/durable-file.js';
import { addToConfig } from '../checkpoint/quantization-config.js';
import { writeSafetensors, type TensorToWrite } from '../checkpoint/safetensors-writer.js';
import { modelTensors, openTensorReader, type TensorReader } from '../checkpoint/tensor-reader.js';
import { duquantRotations } from './duquant-rotations.js';
import type { MemoryGovernor } from '../memory/memory-governor.js';
import type { RunContext } from '../run-context.js';
import { summary } from '../tensor/operations/metrics.js';
import type { Tensor } from '../tensor/tensor.js';
import type { RotatedTensors, TurnedTensor, Turner } from '../transforms/hadamard.js';

export const rotationOf = (plan: QuantizationPlan): RotationPlan | undefined => plan.transforms.find(isRotation);

/** Writes `<runDir>/rotated` anew and answers its description: it takes less time than to find out whether one that is there is whole. */
export async function rotateModel(context: RunContext, plan: RotationPlan, governor: MemoryGovernor): Promise<ModelDescription> {
  const { model } = context.plan;
  const { architecture } = model;
  if (architecture === null) throw runFailure.architectureUnknown(model.architecture_name ?? model.dir, `The rotation of ${plan.modifier}`);
  const dir = path.join(context.runDir, 'rotated');
  await rm(dir, { recursive: true, force: true });
  const source = openTensorReader(context.device, modelTensors(model));
  const work = transforms.hadamard.rotatedTensors(plan, architecture, (name) => source.has(name));
  for (const name of [...work.turned.values()].flatMap(({ source: from, gain }) => (gain === null ? [from] : [from, gain])))
    if (!source.has(name)) throw runFailure.planInvalid(`${plan.modifier} turns ${name}, which the model does not have`);
  using rotations: Turner =
    plan.name === 'duquant' ? await duquantRotations(context, plan, governor) : new transforms.hadamard.Rotations(context.device, plan);
  try {
    await makeFolder(dir);
    const tensors = [...tensorsToWrite(context, model, source, work, rotations, plan, governor)];
    const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
    await writeSafetensors(path.join(dir, 'model.safetensors'), tensors, `${bytes} bytes for the rotated model`);
    await copySideFiles(dir, context.plan);
    const config = path.join(model.dir, 'config.json');
    const text = await readSideFile(config);
    const parts = architecture.tie_word_embeddings && work.turned.has(`${architecture.lm_head}.weight`);
    await writeTextDurably(path.join(dir, 'config.json'), parts ? addToConfig(config, text, { tie_word_embeddings: false }) : text);
  } catch (error) {
    throw writeFailure(dir, error, 'the rotated model');
  }
  const rotated = await describeModel(dir, nodeFiles);
  if (rotated.model === null) throw runFailure.fileUnreadable(dir, rotated.problems.map((problem) => problem.message).join(' '));
  return rotated.model;
}

function* tensorsToWrite(
  context: RunContext,
  { tensors }: ModelDescription,
  source: TensorReader,
  work: RotatedTensors,
  rotations: Turner,
  plan: RotationPlan,
  governor: MemoryGovernor,
): Iterable<TensorToWrite> {
  const known = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const names = new Set([...known.keys(), ...work.turned.keys()]);
  for (const name of names) {
    const turned = work.turned.get(name);
    const { dtype, shape, bytes } = known.get(turned?.source ?? name) as ModelTensor;
    async function* read(): AsyncIterable<Uint8Array> {
      context.throwIfCancelled();
      yield await governor.survive({ stage: `the rotation of ${name}` }, async () => {
        using tensor = await make(context, source, name, turned, work.ones.has(name), rotations, plan);
        return tensor.read();
      });
    }
    yield { name, dtype, shape, bytes, read };
  }
}

async function make(
  context: RunContext,
  source: TensorReader,
  name: string,
  turned: TurnedTensor | undefined,
  isOnes: boolean,
  rotations: Turner,
  plan: RotationPlan,
): Promise<Tensor> {
  if (turned === undefined) return isOnes ? ones(source, name) : source.load(name);
  using x = source.load(turned.source);
  using gain = turned.gain === null ? null : source.load(turned.gain);
  const before = await incoherence(x, turned.source, source.file(turned.source));
  if (gain !== null) await incoherence(gain, turned.gain ?? '', source.file(turned.gain ?? ''));
  const result = rotations.turn(x, turned, gain);
  try {
    if (x.shape.length === 2) {
      const after = await incoherence(result, name, source.file(turned.source));
      context.rotationFinished({
        modifier: plan.modifier,
        tensor: name,
        incoherence_before: before,
        incoherence_after: after,
      } satisfies RotationMetrics);
    }
    return result;
  } catch (error) {
    result.dispose();
    throw error;
  }
}

/** The norm's weight in its own type. */
function ones(source: TensorReader, name: string): Tensor {
  using old = source.load(name);
  const [one] = { F32: [0x3f800000], BF16: [0x3f80], F16: [0x3c00] }[old.dtype as 'F32' | 'BF16' | 'F16'] ?? [];
  if (one === undefined) throw runFailure.planInvalid(`${name} is ${old.dtype}, and only norms of BF16, F16 and F32 can be folded`);
  const n = old.shape.reduce((product, extent) => product * extent, 1);
  const values = old.dtype === 'F32' ? new Uint32Array(n).fill(one) : new Uint16Array(n).fill(one);
  return source.device.fromBytes(old.dtype, old.shape, new Uint8Array(values.buffer));
}

/** μ = max |W| · √(m n) / ‖W‖: 1 where all entries are alike, √(m n) where all lies in one (Chee et al., arXiv 2307.13304). A number that is not finite would spread over its whole row. */
async function incoherence(x: Tensor, name: string, file: string): Promise<number> {
  using numbers = summary(x);
  const [count = 0, n_nan = 0, n_infinite = 0, , , , squares = 0, largest = 0, first = -1] = await numbers.readDoubles();
  if (n_nan + n_infinite > 0) throw runFailure.tensorNotFinite(name, file, n_nan + n_infinite, first);
  return squares === 0 ? 0 : (largest * Math.sqrt(count)) / Math.sqrt(squares);
}
