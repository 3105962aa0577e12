// Which recipe a command is about: the file it was called on, else the active editor's.
import * as vscode from 'vscode';
import { LANGUAGE_ID } from '../manifest.js';

/** null after the user was told what to do. */
export async function recipeOf(uri: vscode.Uri | undefined): Promise<vscode.TextDocument | null> {
  if (uri instanceof vscode.Uri) return vscode.workspace.openTextDocument(uri);
  const document = vscode.window.activeTextEditor?.document;
  if (document?.languageId === LANGUAGE_ID) return document;
  void vscode.window.showInformationMessage('Open a recipe (a file named *.quant.yaml) and run the command again.');
  return null;
}
