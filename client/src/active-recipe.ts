// The recipe that layers are added to: the one in front, or the last that was and is still open.
import * as vscode from 'vscode';
import { LANGUAGE_ID } from './manifest.js';

export interface ActiveRecipe extends vscode.Disposable {
  readonly document: vscode.TextDocument | null;
  /** Another recipe, or none. */
  readonly onDidChange: vscode.Event<void>;
  /** Its text. */
  readonly onDidChangeText: vscode.Event<void>;
}

export function watchActiveRecipe(): ActiveRecipe {
  const changed = new vscode.EventEmitter<void>();
  const changedText = new vscode.EventEmitter<void>();
  const isRecipe = (document: vscode.TextDocument | undefined): document is vscode.TextDocument => document?.languageId === LANGUAGE_ID;
  const visible = (): vscode.TextDocument | undefined => vscode.window.visibleTextEditors.map((editor) => editor.document).find(isRecipe);
  const inFront = vscode.window.activeTextEditor?.document;
  let document: vscode.TextDocument | null = (isRecipe(inFront) ? inFront : visible()) ?? null;
  const set = (next: vscode.TextDocument | null): void => {
    if (next === document) return;
    document = next;
    changed.fire();
  };
  const subscriptions = [
    changed,
    changedText,
    vscode.window.onDidChangeActiveTextEditor((editor) => {
      if (isRecipe(editor?.document)) set(editor.document);
    }),
    vscode.workspace.onDidCloseTextDocument((closed) => {
      if (closed === document) set(visible() ?? null);
    }),
    vscode.workspace.onDidChangeTextDocument((event) => {
      if (event.document === document) changedText.fire();
    }),
  ];
  return {
    get document() {
      return document;
    },
    onDidChange: changed.event,
    onDidChangeText: changedText.event,
    dispose: () => subscriptions.forEach((subscription) => void subscription.dispose()),
  };
}
