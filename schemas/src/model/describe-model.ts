// A model folder → facts, from config.json and tensor headers alone; never a weight byte.
import path from 'node:path';
import type { ModelDescription, ModelFile, ModelTensor } from '../generated/plan.js';
import { isConv1d } from './conv1d.js';
import { describeGguf, type DescribedGguf } from './describe-gguf.js';
import { readConfig } from './model-config.js';
import type { ModelFiles } from './model-files.js';
import type { ModuleClass } from './match-targets.js';
import { readQuantizationConfig } from './quantization-config.js';
import { HeaderError, readSafetensorsHeader } from './safetensors-header.js';
import { whyNoFile, whyNoFolder } from './unreadable.js';

/** Something about the folder that stops its use, in one sentence; `place` is the file. */
export interface ModelProblem {
  code: 'model-not-found' | 'model-unreadable' | 'model-file-missing';
  message: string;
  place: string;
}

export interface DescribeModelAnswer {
  model: ModelDescription | null;
  problems: ModelProblem[];
  /** Why model.architecture is null. */
  architectureReason: string | null;
}

const sideFilePattern =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|preprocessor_config|processor_config|chat_template)\.json$|^(merges|vocab)\.txt$|^chat_template\.jinja$|^tokenizer\.model$/;

const failed = (code: ModelProblem['code'], place: string, message: string): DescribeModelAnswer => ({
  model: null,
  problems: [{ code, place, message }],
  architectureReason: null,
});

/** Suffixes under which compressed-tensors stores a module's weight, and vptq its first codebook; the others of vptq are parts of it. */
const weightSuffixes = ['.centroids.weight', '.weight', '.weight_packed'];
const partOfWeight = /\.(res|outlier)_centroids\.weight$/;

/** Modules with a 2-D weight. Embeddings and norms by name; every other 2-D weight is a Linear, as llm-compressor's model-free rule has it, but for those of Conv1D. */
function moduleClasses(tensors: readonly ModelTensor[], model_type: string | null, tied: boolean): Record<string, ModuleClass> {
  const modules: Record<string, ModuleClass> = {};
  const classes = new Map<string, ModuleClass>();
  for (const tensor of tensors) {
    const suffix = weightSuffixes.find((ending) => tensor.name.endsWith(ending));
    if (suffix === undefined || tensor.shape.length !== 2 || partOfWeight.test(tensor.name)) continue;
    const name = tensor.name.slice(0, -suffix.length);
    if (isConv1d(model_type, name)) continue;
    const role = name.slice(name.lastIndexOf('.') + 1);
    const moduleClass = classes.get(role) ?? classOfRole(role);
    classes.set(role, moduleClass);
    modules[name] = moduleClass;
  }
  // A tied head has no tensor of its own but is a Linear module of the loaded model.
  if (tied && modules['lm_head'] === undefined && Object.values(modules).includes('Embedding')) modules['lm_head'] = 'Linear';
  return modules;
}

const classOfRole = (role: string): ModuleClass =>
  /norm$/.test(role) ? 'Other' : /embed|^wte$|^wpe$|_emb$/.test(role) ? 'Embedding' : 'Linear';

const lacking = (what: string, n_shards: number, missing: readonly string[]): string =>
  `${what} names ${n_shards} shards, and ${missing.length} of them ${missing.length === 1 ? 'is' : 'are'} not there: ${missing.join(', ')}. Download the model completely.`;

/** All that model-00001-of-00003.safetensors is one of. */
const shardsBeside = (names: readonly string[]): string[] =>
  names.flatMap((name) => {
    const [, lead = '', digits = '', total = ''] = /^(.*-)(\d{1,5})-of-(\d{1,5})\.safetensors$/.exec(name) ?? [];
    return lead === '' || name !== names.find((other) => other.startsWith(lead))
      ? []
      : Array.from({ length: Number(total) }, (_, at) => `${lead}${String(at + 1).padStart(digits.length, '0')}-of-${total}.safetensors`);
  });

/** The safetensors files of a folder: by the index when there is one, else every *.safetensors. */
async function shardNames(dir: string, entries: readonly string[], files: ModelFiles): Promise<string[] | ModelProblem> {
  const index = entries.find((name) => name.endsWith('.safetensors.index.json'));
  if (index === undefined) {
    const found = entries.filter((name) => name.endsWith('.safetensors'));
    const missing = shardsBeside(found).filter((name) => !found.includes(name));
    return missing.length === 0
      ? found
      : { code: 'model-file-missing', place: dir, message: lacking(found[0] ?? '', found.length + missing.length, missing) };
  }
  const answer = await readJson(path.join(dir, index), files);
  if ('fault' in answer) return { code: 'model-unreadable', place: index, message: answer.fault };
  const map = (answer.value as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== 'object' || map === null)
    return { code: 'model-unreadable', place: index, message: `${index} has no weight_map. Download it again.` };
  const names = [...new Set(Object.values(map as Record<string, unknown>).map(String))].sort();
  const outside = names.find((name) => path.basename(name) !== name);
  if (outside !== undefined)
    return { code: 'model-unreadable', place: index, message: `${index} names the file ${outside}, which is not in the folder itself.` };
  const missing = names.filter((name) => !entries.includes(name));
  if (missing.length > 0)
    return {
      code: 'model-file-missing',
      place: index,
      message: lacking(index, names.length, missing),
    };
  return names;
}

export async function describeModel(dir: string, files: ModelFiles): Promise<DescribeModelAnswer> {
  const entries = await files.list(dir);
  if (entries === null) {
    const why = await whyNoFolder(dir, files);
    if (why !== null) return failed('model-unreadable', dir, why);
    return failed(
      'model-not-found',
      dir,
      `There is no model folder ${dir}. Give the path of a folder with config.json and safetensors files, or a hub id that is in the local cache.`,
    );
  }
  let config: Record<string, unknown> = {};
  if (entries.includes('config.json')) {
    const answer = await readJson(path.join(dir, 'config.json'), files);
    if ('fault' in answer) return failed('model-unreadable', 'config.json', answer.fault);
    config = answer.value as Record<string, unknown>;
    if (typeof config !== 'object' || config === null || Array.isArray(config))
      return failed('model-unreadable', 'config.json', `${path.join(dir, 'config.json')} is not a JSON object. Download it again.`);
  }
  const shards = await shardNames(dir, entries, files);
  if (!Array.isArray(shards)) return { model: null, problems: [shards], architectureReason: null };
  const whole = shards.length === 0 ? entries.filter((name) => /\.gguf$/i.test(name)) : [];
  if (whole.length === 1) return describeWhole(dir, whole[0] ?? '', entries, files);
  if (shards.length === 0) {
    const other = entries.filter((name) => /\.(bin|pt|pth|gguf|onnx)$/.test(name));
    const hint = other.length > 0 ? ` Of ${other.join(', ')} nothing is read: convert the model to safetensors.` : '';
    return failed('model-unreadable', dir, `${dir} holds no *.safetensors file.${hint}`);
  }
  const facts = readConfig(config);
  const modelFiles: ModelFile[] = [];
  const tensors: ModelTensor[] = [];
  for (let first = 0; first < shards.length; first += shardsAtOnce) {
    const answers = await Promise.all(shards.slice(first, first + shardsAtOnce).map((name) => readShard(dir, name, files)));
    for (const answer of answers) {
      if ('problem' in answer) return { model: null, problems: [answer.problem], architectureReason: null };
      modelFiles.push(answer.file);
      for (const tensor of answer.tensors) tensors.push(tensor);
    }
  }
  tensors.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const twice = tensors.find((tensor, i) => tensors[i + 1]?.name === tensor.name);
  if (twice !== undefined)
    return failed(
      'model-unreadable',
      twice.file,
      `The tensor ${twice.name} is in more than one file of ${dir}. Remove the files that do not belong to the model.`,
    );

  const tied = facts.tie_word_embeddings && !tensors.some((tensor) => tensor.name.startsWith('lm_head.'));
  const modules = moduleClasses(tensors, facts.model_type, tied);
  const named = Object.entries(modules).map(([name, moduleClass]) => ({ name, class: moduleClass }));
  let quantization: ModelDescription['quantization'] = null;
  if (config['quantization_config'] !== undefined) {
    const answer = readQuantizationConfig(
      config['quantization_config'],
      named,
      tensors.map(({ name }) => name),
    );
    if ('error' in answer)
      return failed('model-unreadable', 'config.json', `quantization_config of ${path.join(dir, 'config.json')}: ${answer.error}.`);
    quantization = answer.quantization;
  }
  return {
    model: {
      dir: path.resolve(dir),
      model_type: facts.model_type,
      architecture_name: facts.architecture_name,
      architecture: facts.architecture,
      dtype: commonDtype(tensors),
      files: modelFiles,
      tensors,
      modules,
      side_files: entries.filter((name) => sideFilePattern.test(name)),
      bos_token_id: facts.bos_token_id,
      eos_token_id: facts.eos_token_id,
      quantization,
    },
    problems: [],
    architectureReason: entries.includes('config.json') ? facts.reason : `${dir} has no config.json, which says what the architecture is`,
  };
}

/** A folder with a GGUF file, which says all that config.json would. */
async function describeWhole(dir: string, name: string, entries: readonly string[], files: ModelFiles): Promise<DescribeModelAnswer> {
  const file = path.join(dir, name);
  let described: DescribedGguf | string;
  try {
    described = await describeGguf(dir, name, files);
  } catch (error) {
    const why =
      error instanceof HeaderError
        ? `${file} is not a sound GGUF file: ${error.detail}. Download or export it again.`
        : whyNoFile(file, error);
    return failed('model-unreadable', name, why);
  }
  if (typeof described === 'string') return failed('model-unreadable', name, `${file} cannot be run here: ${described}.`);
  const tied = described.architecture?.tie_word_embeddings === true;
  return {
    model: {
      dir: path.resolve(dir),
      ...described,
      dtype: commonDtype(described.tensors),
      modules: moduleClasses(described.tensors, described.model_type, tied),
      side_files: entries.filter((entry) => sideFilePattern.test(entry)),
    },
    problems: [],
    architectureReason: null,
  };
}

async function readJson(file: string, files: ModelFiles): Promise<{ value: unknown } | { fault: string }> {
  let text: string;
  try {
    text = await files.readText(file);
  } catch (error) {
    return { fault: whyNoFile(file, error) };
  }
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    return { fault: `${file} is not JSON: ${error instanceof Error ? error.message : String(error)}. Repair it or download it again.` };
  }
}

/** Waiting for a disk is shared; what is read at once is a few headers. */
const shardsAtOnce = 8;

async function readShard(
  dir: string,
  name: string,
  files: ModelFiles,
): Promise<{ file: ModelFile; tensors: readonly ModelTensor[] } | { problem: ModelProblem }> {
  const unreadable = (message: string): { problem: ModelProblem } => ({ problem: { code: 'model-unreadable', place: name, message } });
  const file = path.join(dir, name);
  try {
    const header = await readSafetensorsHeader(files, file, name);
    return { file: { name, size: header.size, header_sha256: header.sha256 }, tensors: header.tensors };
  } catch (error) {
    if (error instanceof HeaderError)
      return unreadable(`${file} is not a sound safetensors file: ${error.detail}. Download or export it again.`);
    return unreadable(whyNoFile(file, error));
  }
}

/** The float dtype that holds most bytes. */
function commonDtype(tensors: readonly ModelTensor[]): ModelTensor['dtype'] {
  const bytes = new Map<ModelTensor['dtype'], number>();
  for (const tensor of tensors)
    if (/^(F64|F32|F16|BF16)$/.test(tensor.dtype)) bytes.set(tensor.dtype, (bytes.get(tensor.dtype) ?? 0) + tensor.bytes);
  return [...bytes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'F32';
}
