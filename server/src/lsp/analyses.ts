// What is known of each open recipe, computed once per version; and the same for a recipe of a custom request.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { TextDocument } from 'vscode-languageserver-textdocument';
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { locateModel } from '../../../schemas/src/model/hub-cache.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import type { Problem } from '../../../schemas/src/problem.js';
import type {
  AssignBitsParams,
  AssignBitsResult,
  DescribeModelResult,
  EditLayersParams,
  EditLayersResult,
  LayerRulesParams,
  LayerRulesResult,
  ProblemWithRange,
  RecipeModelParams,
  RecipeModelResult,
  ResolvePlanParams,
  ResolvePlanResult,
} from '../../../schemas/src/protocol/client-server.js';
import { roomForRun } from '../../../schemas/src/room-for-run.js';
import { checkRecipe, type CheckedRecipe } from '../checks/check-recipe.js';
import { assignBits } from '../features/assign-bits.js';
import { editLayers } from '../features/edit-layers.js';
import { judgeEditedLayers } from '../features/judge-edited-layers.js';
import { layersInForce } from '../features/layers-in-force.js';
import { buildPlan } from '../plan/build-plan.js';
import type { ResolveContext } from '../plan/resolve-context.js';
import { createDatasetCache } from './dataset-cache.js';
import { filePathOf } from './file-path.js';
import { createModelCache } from './model-cache.js';

export interface Analysis extends CheckedRecipe {
  model: ModelDescription | null;
}

export interface Analyses {
  /** Of an open document, at its present version. `tell` gets the errors of the text alone, if there are some, before a model is read for the first time. */
  of(text: TextDocument, tell?: (errors: readonly ProblemWithRange[]) => void): Promise<Analysis>;
  /** Of an open document, of the last version that was analysed: what is asked while typing does not wait for the next. */
  latest(text: TextDocument): Promise<Analysis>;
  /** Of a recipe named by a request; `openText` is what an editor holds of it. */
  resolve(params: ResolvePlanParams, openText: string | undefined): Promise<ResolvePlanResult>;
  /** Checked: the new text gives each layer its bits. */
  assignBits(params: AssignBitsParams, openText: string | undefined): Promise<AssignBitsResult>;
  /** Checked: the new text gives each named layer its scheme and every other layer what it had. */
  editLayers(params: EditLayersParams, openText: string | undefined): Promise<EditLayersResult>;
  layerRules(params: LayerRulesParams, openText: string | undefined): Promise<LayerRulesResult>;
  /** The model itself only where it is not the one that is known. */
  recipeModel(params: RecipeModelParams, openText: string | undefined): Promise<RecipeModelResult>;
  describe(model: string): Promise<DescribeModelResult>;
  forget(uri: string): void;
  forgetAll(): void;
}

export function createAnalyses(): Analyses {
  const models = createModelCache(nodeFiles);
  const readHead = createDatasetCache(nodeFiles);
  const kept = new Map<string, { version: number; analysis: Promise<Analysis> }>();
  const finished = new Map<string, Analysis>();
  const analyse = async (
    text: string,
    uri: string,
    overrides: ResolvePlanParams['overrides'],
    tell?: (errors: readonly ProblemWithRange[]) => void,
  ): Promise<Analysis> => {
    const recipePath = filePathOf(uri);
    const context: ResolveContext = {
      recipePath,
      baseDir: recipePath === null ? null : path.dirname(recipePath),
      files: nodeFiles,
      environment: process.env,
      describe: models.describe,
      freeBytes: (dir) => roomForRun(`${dir}.run`),
      readHead,
      ...(overrides === undefined ? {} : { overrides }),
    };
    const checked = await checkRecipe(text, context, tell);
    return { ...checked, model: checked.resolution.model };
  };
  const analysisOf: Analyses['of'] = (text, tell) => {
    const known = kept.get(text.uri);
    if (known?.version === text.version) return known.analysis;
    const isFirst = !finished.has(text.uri);
    const tellSome = (errors: readonly ProblemWithRange[]): void => void (isFirst && errors.length > 0 && tell?.(errors));
    const analysis = analyse(text.getText(), text.uri, undefined, tellSome).then((found) => {
      if (kept.get(text.uri)?.analysis === analysis) finished.set(text.uri, found);
      return found;
    });
    kept.set(text.uri, { version: text.version, analysis });
    return analysis;
  };
  return {
    of: analysisOf,
    latest: async (text) => finished.get(text.uri) ?? (await analysisOf(text)),
    resolve: async (params, openText) => {
      const text = params.text ?? openText ?? (await readRecipe(params.uri));
      if (typeof text !== 'string') return { plan: null, problems: [text] };
      models.lookAgain(); // a run follows
      const { plan, problems, resolution, onlyMachineErrors } = await analyse(text, params.uri, params.overrides);
      if (params.wanted === 'problems') return { plan: null, problems };
      return { plan: params.wanted === 'plan-to-show' && onlyMachineErrors ? buildPlan(resolution) : plan, problems };
    },
    assignBits: async (params, openText) => {
      const text = params.text ?? openText ?? (await readRecipe(params.uri));
      if (typeof text !== 'string') return { reason: text.message };
      const { resolution } = await analyse(text, params.uri, params.overrides);
      const assigned = assignBits(resolution, params.bits);
      if ('reason' in assigned) return assigned;
      const { plan, problems } = await analyse(assigned.text, params.uri, params.overrides);
      const error = problems.find(({ severity }) => severity === 'error');
      if (plan === null)
        return { reason: `The recipe with these bits is none that runs: ${error?.message ?? 'it names no model or no output.'}` };
      const wanted = new Map(resolution.layers.map(({ name, scheme }) => [name, { ...scheme?.weights, num_bits: params.bits[name] }]));
      const wrong = plan.layers.find(
        ({ name, scheme }) => params.bits[name] !== undefined && !isDeepStrictEqual({ ...scheme?.weights }, wanted.get(name)),
      );
      return wrong === undefined
        ? assigned
        : {
            reason: `The recipe with these bits would not give ${wrong.name} its scheme with ${params.bits[wrong.name]} bits; another rule of it comes first.`,
          };
    },
    editLayers: async (params, openText) => {
      const text = params.text ?? openText ?? (await readRecipe(params.uri));
      if (typeof text !== 'string') return { reason: text.message };
      const before = await analyse(text, params.uri, params.overrides);
      let answer: EditLayersResult = { reason: 'There is nothing to change.' };
      for (const compact of [true, false]) {
        const edited = editLayers(before.resolution, params.edits, compact);
        if ('reason' in edited) return edited;
        const after = await analyse(edited.text, params.uri, params.overrides);
        answer = judgeEditedLayers(before, { ...after, text: edited.text }, edited.wanted);
        if ('text' in answer) return answer;
      }
      return answer;
    },
    layerRules: async (params, openText) => {
      const text = params.text ?? openText ?? (await readRecipe(params.uri));
      if (typeof text !== 'string') return { rules: [], layers: [], presets: [], errors: 1 };
      const { resolution, problems } = await analyse(text, params.uri, params.overrides);
      return { ...layersInForce(resolution), errors: problems.filter(({ severity }) => severity === 'error').length };
    },
    recipeModel: async (params, openText) => {
      const text = params.text ?? openText ?? (await readRecipe(params.uri));
      if (typeof text !== 'string') return { rules: [], layers: [], presets: [], errors: 1, id: null, model: null, reason: text.message };
      const { resolution, problems, model } = await analyse(text, params.uri, params.overrides);
      const id = model === null ? null : `${model.dir} ${model.files.map(({ header_sha256 }) => header_sha256).join(' ')}`;
      const why = problems.find(({ code }) => code.startsWith('model-')) ?? problems.find(({ severity }) => severity === 'error');
      return {
        ...layersInForce(resolution),
        errors: problems.filter(({ severity }) => severity === 'error').length,
        id,
        model: id === params.known ? null : model,
        reason: model === null ? (why?.message ?? 'The recipe names no model. Add model: with a folder or a hub id.') : null,
      };
    },
    describe: async (model) => {
      models.lookAgain();
      const location = await locateModel(model, process.cwd(), nodeFiles, process.env, 'command');
      if ('error' in location) return { model: null, problems: [placeless({ code: 'model-not-found', message: `${location.error}.` })] };
      const answer = await models.describe(location.dir);
      return { model: answer.model, problems: answer.problems.map(placeless) };
    },
    forget: (uri) => {
      kept.delete(uri);
      finished.delete(uri);
    },
    forgetAll: () => {
      kept.clear();
      finished.clear();
      models.lookAgain();
    },
  };
}

async function readRecipe(uri: string): Promise<string | ProblemWithRange> {
  try {
    return await readFile(filePathOf(uri) ?? uri, 'utf8');
  } catch (error) {
    const message = `${uri} cannot be read: ${error instanceof Error ? error.message : String(error)}. Check the path and the permissions.`;
    return placeless({ code: 'recipe-unreadable', message });
  }
}

/** A problem that has no place in a text. */
function placeless({ code, message }: Pick<Problem, 'code' | 'message'>): ProblemWithRange {
  const start = { line: 0, character: 0 };
  return { code, message, severity: 'error', path: [], at: 'value', range: { start, end: start } };
}
