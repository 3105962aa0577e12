// The adapter of a checkpoint as PEFT writes a LoRA adapter: adapter_config.json and adapter_model.safetensors in the folder `adapter`. transformers with peft and vLLM
// load it on top of the quantized model; lora_alpha is r, so that its product counts as it is. peft 0.21 loads it.
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { ModelDescription, ModelTensor } from '../../../schemas/src/generated/plan.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { HeaderError, readSafetensorsHeader } from '../../../schemas/src/model/safetensors-header.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { makeFolder, writeTextDurably } from './durable-file.js';
import { writeSafetensors, type TensorToWrite } from './safetensors-writer.js';

const adapterFolder = 'adapter';
const weightsFile = 'adapter_model.safetensors';
const settingsFile = 'adapter_config.json';
const prefix = 'base_model.model.';

const matrix = /\.lora_[AB]\.weight$/;

/** Names of a run's own files: those of the model's modules. */
export const isAdapterTensor = (name: string): boolean => matrix.test(name);

/** Answers the bytes of its tensors; writes nothing where there are none. */
export async function writeAdapter(dir: string, tensors: readonly TensorToWrite[]): Promise<number> {
  const [first] = tensors;
  if (first === undefined) return 0;
  const folder = path.join(dir, adapterFolder);
  await makeFolder(folder);
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const named = tensors.map((tensor) => ({ ...tensor, name: `${prefix}${tensor.name}` }));
  await writeSafetensors(path.join(folder, weightsFile), named, `${bytes} bytes for the adapter`);
  const down = tensors.find(({ name }) => name.endsWith('.lora_A.weight'));
  const r = down?.shape[0] ?? 0;
  const config = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: null,
    inference_mode: true,
    r,
    lora_alpha: r,
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: false,
    use_rslora: false,
    modules_to_save: null,
    target_modules: tensors.filter(({ name }) => name.endsWith('.lora_A.weight')).map(({ name }) => name.replace(matrix, '')),
  };
  await writeTextDurably(path.join(folder, settingsFile), `${JSON.stringify(config, null, 2)}\n`);
  return bytes;
}

/** The folder's model with its adapter's matrices beside the weights, as a run evaluates it and `bitwright evaluate` does; the model itself where it has none. */
export async function withAdapter(model: ModelDescription): Promise<ModelDescription> {
  const settings = path.join(model.dir, adapterFolder, settingsFile);
  if (!existsSync(settings)) return model;
  const weights = path.join(model.dir, adapterFolder, weightsFile);
  const { tensors } = await headerOf(weights);
  const obstacle = obstacleOf(await settingsOf(settings), tensors, model);
  if (obstacle !== null)
    throw runFailure.fileUnreadable(settings, `${obstacle}; LoRA adapters of linear layers are computed as Bitwright writes them`);
  const file = path.join(adapterFolder, weightsFile);
  const named = tensors.map((tensor) => ({ ...tensor, name: tensor.name.slice(prefix.length), file }));
  return { ...model, tensors: [...model.tensors, ...named] };
}

/** Why B A beside the weights is not what the adapter means. */
function obstacleOf(settings: Record<string, unknown>, tensors: readonly ModelTensor[], { modules }: ModelDescription): string | null {
  const { peft_type, r, lora_alpha, bias } = settings;
  if (peft_type !== 'LORA') return `peft_type is ${JSON.stringify(peft_type)} and not LORA`;
  if (typeof r !== 'number' || lora_alpha !== r)
    return `lora_alpha is ${JSON.stringify(lora_alpha)} and r ${JSON.stringify(r)}, which must be alike`;
  if (bias !== 'none') return `bias is ${JSON.stringify(bias)} and not none`;
  const changed = ['use_rslora', 'use_dora', 'fan_in_fan_out'].find((key) => settings[key] === true);
  if (changed !== undefined) return `${changed} is true`;
  const names = new Set(tensors.map(({ name }) => name));
  for (const { name } of tensors) {
    const module = name.slice(prefix.length).replace(matrix, '');
    if (!name.startsWith(prefix) || !matrix.test(name) || modules[module] !== 'Linear')
      return `its tensor ${name} does not belong to a linear layer of the model`;
    if (!names.has(name.replace(/lora_[AB]/, (which) => (which === 'lora_A' ? 'lora_B' : 'lora_A'))))
      return `its tensor ${name} has no other half`;
  }
  return null;
}

async function headerOf(file: string): Promise<Awaited<ReturnType<typeof readSafetensorsHeader>>> {
  try {
    return await readSafetensorsHeader(nodeFiles, file, path.join(adapterFolder, weightsFile));
  } catch (error) {
    throw runFailure.fileUnreadable(file, error instanceof HeaderError ? error.detail : textOfError(error));
  }
}

async function settingsOf(file: string): Promise<Record<string, unknown>> {
  try {
    const settings = JSON.parse(await nodeFiles.readText(file)) as unknown;
    if (typeof settings === 'object' && settings !== null && !Array.isArray(settings)) return settings as Record<string, unknown>;
  } catch (error) {
    throw runFailure.fileUnreadable(file, textOfError(error));
  }
  throw runFailure.fileUnreadable(file, 'it is not a JSON object');
}

const textOfError = (error: unknown): string => (error instanceof Error ? error.message : String(error));
