// Quantize: runs the recipe.
import type * as vscode from 'vscode';
import type { RunController } from '../run-controller.js';
import { recipeOf } from './recipe-of.js';

export async function quantize(controller: RunController, uri?: vscode.Uri | string): Promise<void> {
  const document = await recipeOf(uri);
  if (document !== null) await controller.start(document);
}
