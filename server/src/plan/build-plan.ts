// A resolution without errors → the plan: nothing left to decide.
import { createHash } from 'node:crypto';
import os from 'node:os';
import { depthOperations } from '../../../schemas/src/depth-operations.js';
import { parseDeviceChoice } from '../../../schemas/src/device-choice.js';
import type {
  AwqPlan,
  GatesPlan,
  GenerationPlan,
  LayerPlan,
  MultipleChoicePlan,
  PrunerPlan,
  QuantizationPlan,
  SmoothQuantPlan,
  TransformPlan,
} from '../../../schemas/src/generated/plan.js';
import { gateFacts, type GateKey } from '../../../schemas/src/quality-gates.js';
import { madeOnce } from '../../../schemas/src/made-once.js';
import { booleanOf, bytesOf, coerceTo, integerOf, mappingOf, numberOf, textOf } from '../recipe/coerce.js';
import { canaryOf, canaryPasses } from './resolve-canary.js';
import { depthPlan } from './plan-depth.js';
import { analysisNeeds } from './estimate-analysis.js';
import { estimatePlan, type EstimateInput, type RunEstimate } from './estimate-plan.js';
import { type RowsEstimate } from './memory-terms.js';
import { needsCalibration } from './needs-calibration.js';
import type { RecipeModifier } from './read-modifiers.js';
import type { Resolution, ResolvedTransform } from './resolution.js';
import type { ResolvedDataset } from './resolve-dataset.js';
import type { ResolvedAwq } from './resolve-awq-mappings.js';

/** null while the model, the output folder or where a data set is are not known. */
export function buildPlan(resolution: Resolution): QuantizationPlan | null {
  const { document, context, model, layers, outputDir } = resolution;
  if (model === null || outputDir === null) return null;
  if ([resolution.calibration, ...resolution.evaluations, ...resolution.tasks.files].some((dataset) => dataset?.exists === null))
    return null;
  if (resolution.imatrices.some(({ file }) => file === null)) return null;
  const { value, text } = document;
  const calibration = needsCalibration(resolution) === null ? null : (resolution.calibration?.plan ?? null);
  const device = context.overrides?.device ?? textOf(value['device'], 'auto');
  const threads = coerceTo('integer', value['threads']);
  const canary = canaryOf(resolution)?.plan ?? null;
  const estimate = estimateOf(resolution);
  const evaluate = evaluatePlan(resolution);
  const depth = model.architecture === null ? null : depthPlan({ calibration, evaluate }, layers, estimate.operations);
  return {
    plan_version: 1,
    recipe: { path: context.recipePath, text, sha256: createHash('sha256').update(text).digest('hex') },
    model,
    layers: [...layers],
    transforms: transformPlans(resolution),
    pruning: prunerPlans(resolution),
    calibration,
    evaluate,
    gates: gatesPlan(document),
    ...(canary === null ? {} : { canary }),
    ...(depth === null ? {} : { depth }),
    output: {
      dir: outputDir,
      max_shard_bytes: bytesOf(mappingOf(value['output'])['max_shard_size']) ?? 20_000_000_000,
      gguf: resolution.gguf?.output ?? null,
    },
    device: parseDeviceChoice(device) === null ? 'auto' : device,
    seed: calibration?.seed ?? 42,
    threads: typeof threads === 'number' ? threads : null,
    max_memory_bytes: bytesOf(value['max_memory']),
    max_device_memory_bytes: bytesOf(value['max_device_memory']),
    estimate: {
      ...estimate,
      // Its rows are a share of all the rest.
      operations: estimate.operations + (depth === null ? 0 : depthOperations({ depth, layers })),
      analysis: analysisNeeds(analysisInput(resolution), estimate.weights_bytes_after),
    },
  };
}

function evaluatePlan({ evaluations, tasks }: Resolution): QuantizationPlan['evaluate'] {
  const { multipleChoice: multiple_choice, generation } = tasks;
  if (evaluations.length === 0 && multiple_choice === null && generation === null) return null;
  const textOfKey = (key: string): ResolvedDataset['plan'] | null => evaluations.find(({ path }) => path[1] === key)?.plan ?? null;
  return { perplexity: textOfKey('perplexity'), kl_divergence: textOfKey('kl_divergence'), multiple_choice, generation };
}

export function gatesPlan({ value }: Resolution['document']): GatesPlan | null {
  const gates = mappingOf(value['gates']);
  const limit = (key: GateKey): number | null => {
    const number = key === 'max_size' ? bytesOf(gates[key]) : coerceTo('number', gates[key]);
    return typeof number === 'number' ? number : null;
  };
  const limits = gateFacts.map(({ key }) => [key, limit(key)] as const);
  return limits.some(([, value]) => value !== null) ? (Object.fromEntries(limits) as unknown as GatesPlan) : null;
}

/** The least that a row of a dataset can be: {"text":"…"} of a short sentence. */
const bytesOfRow = 64;
/** Texts have about four bytes to a token with a large vocabulary, two with one of a few hundred; input_ids have more. */
const bytesOfToken = 2;
/** A question with its answer, about, in MMLU and GSM8K; as in the worker's evaluation-estimate.ts. */
const bytesOfQuestion = 500;
/** Longest document where max_seq_length does not say: few texts are longer, and a context of 131072 would make every estimate absurd. */
const usualDocument = 8192;

/** Of a resolution with a model; made once, for the check of memory and for the plan. */
export const estimateOf = madeOnce((resolution: Resolution): RunEstimate => estimatePlan(estimateInput(resolution)));

/** Bytes that it would take at the least with a single token: what no choice of rows goes below. */
export function leastOfAnyRows(resolution: Resolution, onCuda: boolean): number {
  const input = estimateInput(resolution);
  const one = { samples: 1, tokens: 1, totalTokens: 1 };
  const few = <Rows>(rows: Rows | null | undefined): (Rows & typeof one) | null => (rows ? { ...rows, ...one } : null);
  const { cuda, least_memory_bytes } = estimatePlan({
    ...input,
    calibration: few(input.calibration),
    evaluation: few(input.evaluation),
    canary: few(input.canary),
  });
  return onCuda ? cuda.least_memory_bytes : least_memory_bytes;
}

function analysisInput(resolution: Resolution) {
  const { texts, transforms = [], ...input } = estimateInput(resolution);
  return { ...input, transforms, evaluation: mostOf(texts) };
}

/** Rows are counted from what the recipe says and the size of the file; its real number of rows and tokens is seen by the worker. */
function estimateInput(resolution: Resolution): EstimateInput & { texts: RowsEstimate[] } {
  const { model, layers } = resolution;
  if (model === null) throw new Error('An estimate needs a model.');
  const context = model.architecture?.max_position_embeddings ?? 2048;
  const rows = (dataset: Pick<ResolvedDataset, 'plan'> | null): EstimateInput['calibration'] => {
    if (dataset === null) return null;
    const { num_calibration_samples, max_seq_length, bytes } = dataset.plan;
    const samples = Math.max(1, Math.min(num_calibration_samples ?? Infinity, Math.ceil(bytes / bytesOfRow)));
    // A document is cut at max_seq_length, and no longer than its file.
    const tokens = Math.max(1, Math.min(max_seq_length ?? Math.min(context, usualDocument), Math.ceil(bytes / bytesOfToken)));
    return { samples, tokens, totalTokens: Math.max(1, Math.min(samples * tokens, Math.ceil(bytes / bytesOfToken))) };
  };
  const { multipleChoice, generation } = resolution.tasks;
  const asked = [multipleChoice, generation].map((task) => (task === null ? null : questionsOf(task, context)));
  const texts = resolution.evaluations.map(rows).filter((text) => text !== null);
  const [choices = null, prompts = null] = asked;
  const canary = canaryOf(resolution)?.plan ?? null;
  const canaryRows = rows(canary && { plan: canary.dataset });
  return {
    model,
    layers,
    calibration: needsCalibration(resolution) === null ? null : rows(resolution.calibration),
    evaluation: mostOf([...texts, choices]),
    texts,
    readings: [...texts, ...asked].filter((reading) => reading !== null),
    generation: prompts === null ? null : { questions: prompts.samples, tokens: prompts.tokens },
    canary:
      canary === null || canaryRows === null
        ? null
        : { ...canaryRows, passes: canaryPasses(canary, model.architecture?.num_hidden_layers ?? 1) },
    transforms: transformPlans(resolution),
    pruning: prunerPlans(resolution),
    memoryLimit: memoryLimit(resolution),
  };
}

/** Questions with their examples, answered or with the tokens that are generated. */
function questionsOf(task: MultipleChoicePlan | GenerationPlan, context: number): RowsEstimate {
  const samples = Math.min(task.num_samples ?? Infinity, Math.max(1, Math.ceil(task.dataset.bytes / bytesOfQuestion)));
  const read = Math.ceil(((1 + task.num_fewshot) * bytesOfQuestion) / bytesOfToken);
  const tokens = Math.max(1, Math.min(context, read + ('max_gen_toks' in task ? task.max_gen_toks : 0)));
  return { samples, tokens, totalTokens: samples * tokens };
}

/** The text with most tokens, which is what has to fit; the divergence keeps two states of each row in the memory of one. */
const mostOf = (texts: readonly EstimateInput['evaluation'][]): EstimateInput['evaluation'] =>
  texts.reduce((most, text) => (text !== null && text.totalTokens > (most?.totalTokens ?? 0) ? text : most), null);

/** What the recipe allows, else what the machine has; a container may have less than its machine. */
export function memoryLimit({ document }: Resolution): number {
  const constrained = process.constrainedMemory() ?? 0;
  const machine = constrained > 0 ? Math.min(os.totalmem(), constrained) : os.totalmem();
  return bytesOf(document.value['max_memory']) ?? machine;
}

const prunerPlans = ({ pruning }: Resolution): PrunerPlan[] => pruning.map(({ plan }) => plan).filter(({ layers }) => layers.length > 0);

/** In the order of the recipe. */
function transformPlans({ modifiers, transforms, awq, rotations, corrections, layers }: Resolution): TransformPlan[] {
  return modifiers.flatMap((modifier): TransformPlan[] => [
    ...transforms.filter((transform) => transform.modifier === modifier).map(smoothquantPlan),
    ...awq.filter((transform) => transform.modifier === modifier).map((one) => awqPlan(one, layers)),
    ...[...rotations, ...corrections].flatMap(({ modifier: by, plan }) => (by === modifier && plan !== null ? [plan] : [])),
  ]);
}

/** AutoAWQ's, which has no fields for them; q and k are left out there too, as their products go through a softmax. */
const clipping = { n_grid: 20, max_shrink: 0.5 };

const clippedLayers = (layers: readonly LayerPlan[]): string[] =>
  layers.filter(({ scheme, block, role }) => scheme?.weights && block !== null && !/^[qk]_proj$/.test(role)).map(({ name }) => name);

function awqPlan({ modifier, mappings, passed_over }: ResolvedAwq, layers: readonly LayerPlan[]): AwqPlan {
  const { body } = modifier;
  return {
    name: 'awq',
    modifier: modifier.name,
    recipe_path: [...modifier.path],
    duo_scaling: body['duo_scaling'] === 'both' ? 'both' : booleanOf(body['duo_scaling'], true),
    n_grid: integerOf(body['n_grid'], 20),
    mappings,
    passed_over,
    clip: booleanOf(body['apply_clip'], false) ? { layers: clippedLayers(layers), ...clipping } : null,
  };
}

/** LogarithmicEqualizationModifier is SmoothQuantModifier with another default. */
function algorithmOf({ name, body }: RecipeModifier): SmoothQuantPlan['algorithm'] {
  const usual = name === 'LogarithmicEqualizationModifier' ? 'log_equalization' : 'smoothquant';
  return textOf(body['algorithm'], usual) === 'log_equalization' ? 'log_equalization' : 'smoothquant';
}

function smoothquantPlan({ modifier, mappings }: ResolvedTransform): SmoothQuantPlan {
  const { body } = modifier;
  const steps = coerceTo('integer', body['num_calibration_steps']);
  return {
    name: 'smoothquant',
    modifier: modifier.name,
    recipe_path: [...modifier.path],
    algorithm: algorithmOf(modifier),
    smoothing_strength: numberOf(body['smoothing_strength'], 0.5),
    num_calibration_steps: typeof steps === 'number' ? steps : null,
    mappings: mappings.map(({ smooth_layer, balance_layers }) => ({ smooth_layer, balance_layers: [...balance_layers] })),
  };
}
