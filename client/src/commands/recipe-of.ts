// Which recipe a command is about: the file it was called on, else the one in front of the user, else one of the workspace that the user picks.
import * as vscode from 'vscode';
import { LANGUAGE_ID, RECIPE_GLOB } from '../manifest.js';

/** null after the user was told what to do, or chose none. */
export async function recipeOf(uri: vscode.Uri | string | undefined): Promise<vscode.TextDocument | null> {
  // A code lens gives the URI as text.
  if (typeof uri === 'string') return vscode.workspace.openTextDocument(vscode.Uri.parse(uri));
  if (uri instanceof vscode.Uri) return vscode.workspace.openTextDocument(uri);
  const active = vscode.window.activeTextEditor?.document;
  if (active?.languageId === LANGUAGE_ID) return active;
  const visible = new Set(vscode.window.visibleTextEditors.map(({ document }) => document).filter(isRecipe));
  if (visible.size === 1) return [...visible][0] ?? null;
  const found = (await vscode.workspace.findFiles(RECIPE_GLOB, '**/node_modules/**', 500)).sort((a, b) => (a.path < b.path ? -1 : 1));
  if (found.length === 0) {
    void vscode.window.showInformationMessage(
      vscode.l10n.t('There is no recipe in this workspace. Make a file named *.quant.yaml and run the command again.'),
    );
    return null;
  }
  const choice = await vscode.window.showQuickPick(
    found.map((recipe) => ({ label: vscode.workspace.asRelativePath(recipe), recipe })),
    // A step of the walkthrough is drawn anew when its command begins, and takes the focus from the list.
    { placeHolder: vscode.l10n.t('Which recipe?'), ignoreFocusOut: true },
  );
  return choice === undefined ? null : vscode.workspace.openTextDocument(choice.recipe);
}

const isRecipe = ({ languageId }: vscode.TextDocument): boolean => languageId === LANGUAGE_ID;
