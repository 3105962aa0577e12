// A recipe read against its model: which modules each pattern matches, which scheme each layer gets, which data is used. What checks look at and plans are made of.
import path from 'node:path';
import type { LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { DescribeModelAnswer } from '../../../schemas/src/model/describe-model.js';
import { locateModel } from '../../../schemas/src/model/hub-cache.js';
import { compileTarget } from '../../../schemas/src/model/match-targets.js';
import type { ModelFiles } from '../../../schemas/src/model/model-files.js';
import { readTokenizerFacts } from '../../../schemas/src/model/tokenizer-facts.js';
import type { TokenizerFacts } from '../../../schemas/src/model/tokenizer-facts.js';
import { othersFilesIn } from '../../../schemas/src/model/own-output.js';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import { coerceTo, mappingOf, textOf, textsOf } from '../recipe/coerce.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import { assignLayers } from './assign-layers.js';
import type { ModifierGroups } from './assign-layers.js';
import { expandScheme } from './expand-scheme.js';
import { matchesOf, modulesAndNormsOf, modulesOf } from './pattern-matches.js';
import type { ModelModule } from './pattern-matches.js';
import { correctionModifiers, pruningModifiers, readModifiers, schemeModifiers, smoothingModifiers } from './read-modifiers.js';
import type { RecipeModifier } from './read-modifiers.js';
import { absolutePath, readHeadOf, type ResolveContext } from './resolve-context.js';
import { resolveDataset, type ResolvedDataset } from './resolve-dataset.js';
import { resolveTasks } from './resolve-tasks.js';
import type { ResolvedTasks } from './resolve-tasks.js';
import { resolvePruning } from './pruning/resolve-pruning.js';
import type { ResolvedPruning } from './pruning/resolve-pruning.js';
import { resolveAwqMappings } from './resolve-awq-mappings.js';
import type { ResolvedAwq } from './resolve-awq-mappings.js';
import { resolveCorrections } from './resolve-corrections.js';
import type { ResolvedCorrection } from './resolve-corrections.js';
import { resolveGguf } from './resolve-gguf.js';
import type { ResolvedGguf } from './resolve-gguf.js';
import { resolveImatrices, withImportance } from './resolve-imatrix.js';
import type { ResolvedImatrix } from './resolve-imatrix.js';
import { resolveMappings } from './resolve-mappings.js';
import type { ResolvedMapping } from './resolve-mappings.js';
import { partsHead, resolveRotation, rotationModifiers } from './resolve-rotations.js';
import type { ResolvedRotation } from './resolve-rotations.js';

/** One entry of targets or ignore and what it matches in the model. */
export interface PatternMatch {
  entry: string;
  path: RecipePath;
  kind: 'target' | 'ignore';
  modifier: RecipeModifier;
  /** null while there is no model. */
  matches: readonly ModelModule[] | null;
  /** Why a `re:` pattern cannot be used. */
  error: string | null;
}

export interface ResolvedModifier extends ModifierGroups {
  patterns: readonly PatternMatch[];
}

export interface ResolvedTransform {
  modifier: RecipeModifier;
  mappings: readonly ResolvedMapping[];
  /** Mappings that its ignore leaves out. */
  n_ignored: number;
}

export interface Resolution {
  document: RecipeDocument;
  context: ResolveContext;
  modifiers: readonly RecipeModifier[];
  /** null: the recipe names no model, or it cannot be read (then a problem says why). */
  model: ModelDescription | null;
  architectureReason: string | null;
  quantization: readonly ResolvedModifier[];
  transforms: readonly ResolvedTransform[];
  awq: readonly ResolvedAwq[];
  rotations: readonly ResolvedRotation[];
  corrections: readonly ResolvedCorrection[];
  pruning: readonly ResolvedPruning[];
  layers: readonly LayerPlan[];
  calibration: ResolvedDataset | null;
  /** The texts of evaluate: of perplexity and of kl_divergence, where the recipe names them. */
  evaluations: readonly ResolvedDataset[];
  /** The questions of evaluate. */
  tasks: ResolvedTasks;
  /** Of the model, where rows of a dataset will be tokenized by it. */
  tokenizer: TokenizerFacts | null;
  /** null: the output is no GGUF file. */
  gguf: ResolvedGguf | null;
  /** Of every GGUFModifier that names one. */
  imatrices: readonly ResolvedImatrix[];
  outputDir: string | null;
  /** The file that outputDir is, or lies below; null: none. */
  outputFile: string | null;
  /** What stands in outputDir where no run has written it. */
  othersFiles: readonly string[];
  /** On the volume of outputDir; null: not known, or there is no model whose size could be compared. */
  freeBytes: number | null;
  /** Found while resolving. */
  problems: Problem[];
}

export async function resolveRecipe(document: RecipeDocument, context: ResolveContext): Promise<Resolution> {
  const problems: Problem[] = [];
  const modifiers = readModifiers(document.value);
  const answer = await findModel(document, context, problems);
  const model = answer?.model ?? null;
  const modules = model && modulesOf(model);
  const quantization = modifiers
    .filter((modifier) => schemeModifiers.includes(modifier.name))
    .map((modifier) => resolveModifier(document, modifier, modules, problems));
  const transforms: ResolvedTransform[] = [];
  for (const modifier of modifiers.filter(({ name }) => smoothingModifiers.includes(name))) {
    if (model === null) continue;
    const resolved = resolveMappings(modifier, modulesAndNormsOf(model), model.architecture !== null);
    problems.push(...resolved.problems);
    transforms.push({ modifier, mappings: resolved.mappings, n_ignored: resolved.n_ignored });
  }
  const { value } = document;
  const output = textOf(mappingOf(value['output'])['dir'], '');
  const named = context.overrides?.output_dir ?? (output === '' ? null : absolutePath(context, output));
  const outputDir = named === null ? null : path.resolve(named);
  const calibration = await resolveDataset(
    ['calibration'],
    value['calibration'],
    'num_calibration_samples',
    512,
    context,
    context.overrides?.dataset,
  );
  const evaluate = mappingOf(value['evaluate']);
  const evaluations: ResolvedDataset[] = [];
  for (const key of ['perplexity', 'kl_divergence']) {
    const found = await resolveDataset(['evaluate', key], evaluate[key], 'num_samples', null, context, undefined);
    if (found !== null) evaluations.push(found);
  }
  const hasRows = [calibration, ...evaluations].some((dataset) => (dataset?.head ?? null) !== null);
  const rotations =
    model === null
      ? []
      : modifiers
          .filter(({ name }) => rotationModifiers.includes(name))
          .map((modifier, index) => resolveRotation(modifier, model, answer?.architectureReason ?? null, index === 0));
  problems.push(...rotations.flatMap((rotation) => rotation.problems));
  const assigned = model === null ? [] : assignLayers(model, quantization);
  const imatrices = await resolveImatrices(modifiers, (named) => absolutePath(context, named), context.files);
  const parted = rotations.some(({ plan }) => plan !== null && partsHead(plan)) ? assigned.map(withOwnWeight) : assigned;
  const layers = model === null ? parted : withImportance(parted, imatrices, model);
  // Of a scheme that is not understood it is not known what its layers get.
  const isSettled = quantization.every(({ groups }) => groups.every(({ scheme }) => scheme !== null));
  const corrections =
    model === null || !isSettled
      ? []
      : resolveCorrections(
          modifiers.filter(({ name }) => correctionModifiers.includes(name)),
          model,
          layers,
        );
  problems.push(...corrections.flatMap((correction) => correction.problems));
  const awq = modifiers.filter(({ name }) => name === 'AWQModifier');
  return {
    document,
    context,
    modifiers,
    model,
    architectureReason: answer?.architectureReason ?? null,
    quantization,
    transforms,
    awq: model === null ? [] : awq.map((modifier) => resolveAwqMappings(modifier, model, layers)),
    rotations,
    corrections,
    pruning:
      model === null
        ? []
        : modifiers.filter(({ name }) => pruningModifiers.includes(name)).map((modifier) => resolvePruning(modifier, model)),
    layers,
    calibration,
    evaluations,
    tasks: await resolveTasks(evaluate, {
      absolutePath: (named) => absolutePath(context, named),
      size: (file) => context.files.size(file),
      list: (dir) => context.files.list(dir),
      readHead: (file) => readHeadOf(context, file),
    }),
    tokenizer: model === null || !hasRows ? null : await readTokenizerFacts(model, context.files),
    gguf: await resolveGguf(document, model, quantization, layers, context.files),
    imatrices,
    outputDir,
    outputFile: outputDir === null ? null : await fileAtOrAbove(outputDir, context.files),
    othersFiles: outputDir === null ? [] : await othersFilesIn(outputDir, (await context.files.list(outputDir)) ?? [], context.files),
    freeBytes: model === null || outputDir === null ? null : ((await context.freeBytes?.(outputDir)) ?? null),
    problems,
  };
}

const withOwnWeight = (layer: LayerPlan): LayerPlan =>
  layer.tied_to === null ? layer : { ...layer, tensor: `${layer.name}.weight`, tied_to: null };

async function fileAtOrAbove(dir: string, files: ModelFiles): Promise<string | null> {
  if ((await files.size(dir)) !== null) return dir;
  const parent = path.dirname(dir);
  return parent === dir ? null : fileAtOrAbove(parent, files);
}

async function findModel(document: RecipeDocument, context: ResolveContext, problems: Problem[]): Promise<DescribeModelAnswer | null> {
  const named = context.overrides?.model ?? coerceTo('string', document.value['model']);
  if (typeof named !== 'string' || named === '') return null;
  const isOverride = context.overrides?.model !== undefined;
  if (!isOverride && absolutePath(context, named) === null) {
    problems.push({
      code: 'recipe-not-saved',
      severity: 'hint',
      path: ['model'],
      at: 'value',
      message: `Relative paths start from the folder of the recipe, which has none until it is saved, so ${named} is not looked up and targets, shapes and sizes are not checked. Save the recipe.`,
    });
    return null;
  }
  const base = isOverride ? process.cwd() : (context.baseDir ?? process.cwd());
  const location = await locateModel(named, base, context.files, context.environment, isOverride ? 'command' : 'recipe');
  if ('error' in location) {
    problems.push({ code: 'model-not-found', severity: 'error', path: ['model'], at: 'value', message: `${location.error}.` });
    return null;
  }
  const answer = await context.describe(location.dir);
  for (const { code, message } of answer.problems) problems.push({ code, severity: 'error', path: ['model'], at: 'value', message });
  return answer;
}

function resolveModifier(
  document: RecipeDocument,
  modifier: RecipeModifier,
  modules: readonly ModelModule[] | null,
  problems: Problem[],
): ResolvedModifier {
  const expanded = expandScheme(modifier);
  problems.push(...expanded.problems);
  const patternOf = (entry: string, at: RecipePath, kind: 'target' | 'ignore'): PatternMatch => {
    const compiled = compileTarget(entry);
    if ('error' in compiled) return { entry, path: at, kind, modifier, matches: null, error: compiled.error };
    const matches = modules && matchesOf(entry, modules);
    // A pattern may turn out too slow only while it is used.
    const now = compileTarget(entry);
    if ('error' in now) return { entry, path: at, kind, modifier, matches: null, error: now.error };
    return { entry, path: at, kind, modifier, matches, error: null };
  };
  const listed = (entries: readonly string[], at: RecipePath, value: unknown, kind: 'target' | 'ignore'): PatternMatch[] =>
    entries.map((entry, index) => patternOf(entry, Array.isArray(value) ? [...at, index] : at, kind));
  const { body, path: at } = modifier;
  const patterns = [
    ...expanded.groups.flatMap((group) => listed(group.targets, group.targetsPath, document.valueAt(group.targetsPath), 'target')),
    ...listed(textsOf(body['ignore']), [...at, 'ignore'], body['ignore'], 'ignore'),
  ];
  return { modifier, groups: expanded.groups, patterns };
}

/** null where a scheme is not understood, so that it is not known what its layers get. */
export const settledLayers = ({ quantization, layers }: Resolution): Pick<Resolution, 'layers'> | null =>
  quantization.some(({ groups }) => groups.some(({ scheme }) => scheme === null)) ? null : { layers };
