// Open Sensitivity Heatmap: the analysis of a recipe from disk; where there is none yet, it is offered to make one.
import { existsSync } from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import type { RunController } from '../run-controller.js';
import type { SensitivityPanels } from '../views/sensitivity-panel.js';
import { recipeOf } from './recipe-of.js';

export async function openSensitivity(controller: RunController, panels: SensitivityPanels, uri?: vscode.Uri | string): Promise<void> {
  const document = await recipeOf(uri);
  if (document === null) return;
  const plan = await controller.planOf(document);
  if (plan === null) return;
  const folder = `${plan.output.dir}.analysis`;
  if (existsSync(path.join(folder, 'sensitivity.json'))) return panels.open({ folder, recipe: document.uri.toString() });
  const analyze = vscode.l10n.t('Analyze');
  const choice = await vscode.window.showInformationMessage(
    vscode.l10n.t(
      '{0} has not been analyzed yet. An analysis quantizes each layer alone with several numbers of bits and measures the error.',
      vscode.workspace.asRelativePath(document.uri),
    ),
    analyze,
  );
  if (choice === analyze) await controller.analyze(document);
}
