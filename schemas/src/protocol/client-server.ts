// Custom requests that a host (extension or command line) sends to the language server, beside LSP itself.
import type { ModelDescription, QuantizationPlan } from '../generated/plan.js';
import type { Problem, RelatedPlace, TextRange } from '../problem.js';

export interface ProblemWithRange extends Omit<Problem, 'range' | 'related'> {
  range: TextRange;
  related?: readonly (RelatedPlace & { range: TextRange })[];
}

/** Host to server: resolve a recipe to a plan. `text` wins over the file when given (unsaved editor). */
export const resolvePlanRequest = 'bitwright/resolvePlan';
export interface ResolvePlanParams {
  /** file: URI of the recipe; relative paths in it are relative to its folder. */
  uri: string;
  text?: string;
  /** What a plain llm-compressor recipe does not say; these win over the recipe. */
  overrides?: { model?: string; dataset?: string; output_dir?: string; device?: string };
  /**
   * A plan to run unless it says so. To show, it may be one that this machine has too little memory or disk for: runs are planned on other machines than those
   * that do them. For problems alone none is sent, which is tens of megabytes for a large model.
   */
  wanted?: 'plan-to-run' | 'plan-to-show' | 'problems';
}
export interface ResolvePlanResult {
  /** null when an error-level problem stands in the way, or only problems are wanted. */
  plan: QuantizationPlan | null;
  problems: ProblemWithRange[];
}

/** Host to server: the recipe with these bits for these layers, all else as its author wrote it. */
export const assignBitsRequest = 'bitwright/assignBits';
export interface AssignBitsParams extends ResolvePlanParams {
  /** By the full name of the layer. */
  bits: Record<string, number>;
}
/** `reason`: why there is none, in a sentence. */
export type AssignBitsResult = { text: string } | { reason: string };

/** Host to server: the recipe after an action on chosen layers: other bits, another scheme, or kept as they are; the reasons become comments. */
export const editLayersRequest = 'bitwright/editLayers';
export interface EditLayersParams extends ResolvePlanParams {
  edits: LayerEdit[];
}
export interface LayerEdit {
  /** Full names, each with the reason in a few words. */
  layers: { name: string; reason: string }[];
  /** Bits of the weights in the present scheme; a preset scheme by name; or an entry of ignore. */
  to: { num_bits: number } | { scheme: string } | { ignore: true };
}
/** `warnings`: what the new recipe is told that the old was not. `reason`: why there is no new recipe, in a sentence. */
export type EditLayersResult = { text: string; warnings: string[] } | { reason: string };

/** Host to server: which scheme each layer gets and which rule of the recipe says so. */
export const layerRulesRequest = 'bitwright/layerRules';
export type LayerRulesParams = ResolvePlanParams;
export interface LayerRulesResult {
  rules: RecipeRule[];
  /** Every layer of the model that has a matrix. */
  layers: LayerInForce[];
  /** Schemes that can be assigned by name. */
  presets: { name: string; description: string }[];
  /** Errors of the recipe: what is said of layers may then be half of it. */
  errors: number;
}
/** An entry of targets or ignore that decides over layers. */
export interface RecipeRule {
  entry: string;
  kind: 'target' | 'ignore';
  /** Modifier, and group where it has several. */
  where: string;
  range: TextRange;
  /** The group or list that the entry stands in. */
  around: TextRange;
}
export interface LayerInForce {
  name: string;
  /** Such as `int4 g128 sym`; null: the layer stays as it is. */
  scheme: string | null;
  /** Of its weights; null: as they are in the model. */
  num_bits: number | null;
  /** Index of a rule; null: none names the layer. */
  rule: number | null;
}

/** Host to server: the model that a recipe names, with what the recipe makes of its layers. */
export const recipeModelRequest = 'bitwright/recipeModel';
export interface RecipeModelParams extends ResolvePlanParams {
  /** The `id` of a former answer: where the model is still that one, it is not sent again. */
  known?: string;
}
export interface RecipeModelResult extends LayerRulesResult {
  /** Of the model as it stands on disk; null: the recipe names none, or it cannot be read. */
  id: string | null;
  /** null: there is none, or it is the known one. */
  model: ModelDescription | null;
  /** Why there is none, in a sentence. */
  reason: string | null;
}

/** Host to server: describe a model folder or a hub id in the local cache. */
export const describeModelRequest = 'bitwright/describeModel';
export interface DescribeModelParams {
  model: string;
}
export interface DescribeModelResult {
  model: ModelDescription | null;
  problems: ProblemWithRange[];
}

/** What a host passes in LSP's initializationOptions. */
export interface ServerInitializationOptions {
  /** Sent back in the ready log line. */
  hostVersion: string;
  /** The host has the commands bitwright.quantize and bitwright.showPlan, which take the recipe's URI; code lenses then offer them. */
  hasRunCommands?: boolean;
}
