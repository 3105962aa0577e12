// Show Plan: what a run of the recipe would do, as a document beside it.
import type * as vscode from 'vscode';
import type { RunController } from '../run-controller.js';
import type { PlanPreview } from '../views/plan-preview.js';
import { recipeOf } from './recipe-of.js';

export async function showPlan(controller: RunController, preview: PlanPreview, uri?: vscode.Uri | string): Promise<void> {
  const document = await recipeOf(uri);
  if (document === null) return;
  const plan = await controller.planOf(document, 'plan-to-show');
  if (plan !== null) await preview.show(document.uri, plan);
}
