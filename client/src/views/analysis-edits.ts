// What the sensitivity page asks of the recipe: edits, which the user sees first, and the rule that decides on a layer.
import * as vscode from 'vscode';
import type { LayerEdit, LayerRulesResult } from '../../../schemas/src/protocol/client-server.js';
import type { SensitivityPage } from '../../../schemas/src/protocol/client-webview.js';
import type { ServerClient } from '../server-client.js';
import type { Proposals } from './proposals.js';

export interface ShownAnalysis {
  page: SensitivityPage;
  /** As the server last told them. */
  rules: LayerRulesResult | null;
}

export interface EditParts {
  server: ServerClient;
  proposals: Proposals;
}

export const recipeOf = ({ recipe }: SensitivityPage): Thenable<vscode.TextDocument> =>
  vscode.workspace.openTextDocument(vscode.Uri.parse(recipe, true));

/** Where the recipe is in view. */
export const editorOf = ({ recipe }: SensitivityPage): vscode.TextEditor | undefined =>
  vscode.window.visibleTextEditors.find((editor) => editor.document.uri.toString() === recipe);

export async function editLayers({ server, proposals }: EditParts, shown: ShownAnalysis, edits: LayerEdit[]): Promise<void> {
  const document = await recipeOf(shown.page);
  const before = document.getText();
  const answer = await server.editLayers({ uri: document.uri.toString(), text: before, edits });
  if ('reason' in answer) return void vscode.window.showErrorMessage(vscode.l10n.t('The recipe cannot be written so. {0}', answer.reason));
  const count = edits.reduce((sum, { layers }) => sum + layers.length, 0);
  const label = vscode.l10n.t('{0} layers', count);
  if (!(await proposals.propose(document, before, answer.text, label))) return;
  for (const warning of answer.warnings) void vscode.window.showWarningMessage(warning);
}

export async function assignScheme(parts: EditParts, shown: ShownAnalysis, layers: LayerEdit['layers']): Promise<void> {
  const presets = shown.rules?.presets ?? [];
  const items = presets.map(({ name, description }) => ({ label: name, description }));
  const choice = await vscode.window.showQuickPick(items, {
    placeHolder: vscode.l10n.t('Which scheme for {0} layers?', layers.length),
    matchOnDescription: true,
  });
  if (choice !== undefined) await editLayers(parts, shown, [{ layers, to: { scheme: choice.label } }]);
}

export async function applyBits({ server, proposals }: EditParts, shown: ShownAnalysis, bits: Record<string, number>): Promise<void> {
  const document = await recipeOf(shown.page);
  const before = document.getText();
  const answer = await server.assignBits({ uri: document.uri.toString(), text: before, bits });
  if ('reason' in answer) return void vscode.window.showErrorMessage(vscode.l10n.t('The recipe cannot be written so. {0}', answer.reason));
  await proposals.propose(document, before, answer.text, vscode.l10n.t('Bits under a budget'));
}

export async function revealRule(shown: ShownAnalysis, layer: string): Promise<void> {
  const rule = shown.rules?.rules[shown.rules.layers.find(({ name }) => name === layer)?.rule ?? -1];
  const visible = editorOf(shown.page);
  const editor = await vscode.window.showTextDocument(await recipeOf(shown.page), visible?.viewColumn ?? vscode.ViewColumn.Beside);
  if (rule === undefined) {
    void vscode.window.showInformationMessage(vscode.l10n.t('No rule of the recipe names {0}: it stays as it is.', layer));
    return;
  }
  const { start, end } = rule.range;
  const range = new vscode.Range(start.line, start.character, end.line, end.character);
  editor.selection = new vscode.Selection(range.start, range.end);
  editor.revealRange(range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
}
