// Analyze Layer Sensitivity: measures what quantizing each layer alone costs, then shows the heatmap.
import type * as vscode from 'vscode';
import type { RunController } from '../run-controller.js';
import { recipeOf } from './recipe-of.js';

export async function analyze(controller: RunController, uri?: vscode.Uri | string): Promise<void> {
  const document = await recipeOf(uri);
  if (document !== null) await controller.analyze(document);
}
