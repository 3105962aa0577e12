// The adapter of a checkpoint as PEFT writes a LoRA adapter: adapter_config.json and adapter_model.safetensors in the folder `adapter`. transformers with peft and vLLM
// load it on top of the quantized model; lora_alpha is r, so that its product counts as it is. peft 0.21 loads it.
import path from 'node:path';
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { readSafetensorsHeader } from '../../../schemas/src/model/safetensors-header.js';
import { makeFolder, writeTextDurably } from './durable-file.js';
import { writeSafetensors, type TensorToWrite } from './safetensors-writer.js';

export const adapterFolder = 'adapter';
const weightsFile = 'adapter_model.safetensors';
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
  await writeTextDurably(path.join(folder, 'adapter_config.json'), `${JSON.stringify(config, null, 2)}\n`);
  return bytes;
}

/** The folder's model with its adapter's matrices beside the weights, as a run evaluates it. */
export async function withAdapter(model: ModelDescription): Promise<ModelDescription> {
  const file = path.join(adapterFolder, weightsFile);
  const { tensors } = await readSafetensorsHeader(nodeFiles, path.join(model.dir, file), file);
  const named = tensors.map((tensor) => ({ ...tensor, name: tensor.name.replace(prefix, ''), file }));
  return { ...model, tensors: [...model.tensors, ...named] };
}
