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
}
export interface ResolvePlanResult {
  /** null when an error-level problem stands in the way. */
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
