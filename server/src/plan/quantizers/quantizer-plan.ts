// The contract of a method's part of the plan: what its own fields say, every default made explicit.
import type { QuantizerPlan } from '../../../../schemas/src/generated/plan.js';

export type QuantizerFields<Plan extends QuantizerPlan> = (
  body: Readonly<Record<string, unknown>>,
) => Omit<Plan, 'name' | 'modifier' | 'recipe_path'>;
