// Runs compared in a webview: a pure function of two report folders or more.
import path from 'node:path';
import * as vscode from 'vscode';
import { readFromWebview, type RecipeLine, type ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import { lineEdits } from '../line-edits.js';
import { COMPARISON_VIEW } from '../manifest.js';
import { readReportFile } from '../report-history.js';
import { saveFile } from './save-file.js';
import { webviewPage } from './webview-page.js';

export interface ComparisonPanels extends vscode.Disposable {
  /** Of two report folders or more; the earliest run is A, the last B. */
  open(folders: readonly string[]): void;
}

export function createComparisonPanels(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): ComparisonPanels {
  const panels = new Set<vscode.WebviewPanel>();

  async function send(panel: vscode.WebviewPanel, folders: readonly string[]): Promise<void> {
    const found = await Promise.all(folders.map((folder) => readReportFile(path.join(folder, 'report.json'))));
    const reports = found.filter((report) => report !== null).sort((x, y) => (x.finished_at < y.finished_at ? -1 : 1));
    const [a, b] = [reports[0], reports.at(-1)];
    if (a === undefined || b === undefined || reports.length < folders.length) {
      void vscode.window.showErrorMessage(
        vscode.l10n.t('One of the reports is gone: {0}', folders.map((folder) => vscode.workspace.asRelativePath(folder)).join(', ')),
      );
      return;
    }
    const message: ToWebview = {
      kind: 'show-comparison',
      a,
      b,
      recipe: recipeLines(a.recipe.text, b.recipe.text),
      saved: [...folders],
      all: reports,
    };
    await panel.webview.postMessage(message);
  }

  function adopt(panel: vscode.WebviewPanel, folders: readonly string[]): void {
    panels.add(panel);
    panel.onDidDispose(() => panels.delete(panel));
    panel.webview.options = { enableScripts: true, localResourceRoots: [vscode.Uri.joinPath(context.extensionUri, 'dist', 'webviews')] };
    panel.webview.onDidReceiveMessage((value: unknown) => {
      const message = readFromWebview(value);
      if (message === null) log.warn('The comparison page sent what is no message of it.');
      if (message?.kind === 'page-error') log.error(`The comparison page failed: ${message.message}`);
      if (message?.kind === 'save-file') void saveFile(folders.at(-1) ?? '', message);
      if (message?.kind === 'ready')
        send(panel, folders).catch((error: unknown) => log.error(`The comparison cannot be shown: ${String(error)}`));
    });
    panel.webview.html = webviewPage(panel.webview, context.extensionUri, 'comparison', panel.title, false);
  }

  const serializer = vscode.window.registerWebviewPanelSerializer(COMPARISON_VIEW, {
    deserializeWebviewPanel(panel, state: unknown) {
      const saved = (state as { saved?: unknown } | null | undefined)?.saved;
      if (Array.isArray(saved) && saved.length >= 2 && saved.every((folder): folder is string => typeof folder === 'string'))
        adopt(panel, saved);
      else panel.dispose();
      return Promise.resolve();
    },
  });
  return {
    open: (folders) =>
      adopt(vscode.window.createWebviewPanel(COMPARISON_VIEW, vscode.l10n.t('Comparison of Runs'), vscode.ViewColumn.Active, {}), folders),
    dispose() {
      serializer.dispose();
      for (const panel of panels) panel.dispose();
    },
  };
}

/** Both texts as the lines of a unified difference, without its heads. */
function recipeLines(a: string, b: string): RecipeLine[] {
  const lines = a.split('\n').filter((line, at, all) => at < all.length - 1 || line !== '');
  const result: RecipeLine[] = [];
  let at = 0;
  for (const { begin, end, text } of lineEdits(a, b)) {
    result.push(...lines.slice(at, begin).map((line): RecipeLine => ({ kind: 'same', text: line })));
    result.push(...lines.slice(begin, end).map((line): RecipeLine => ({ kind: 'removed', text: line })));
    if (text !== '')
      result.push(
        ...text
          .replace(/\n$/, '')
          .split('\n')
          .map((line): RecipeLine => ({ kind: 'added', text: line })),
      );
    at = end;
  }
  return [...result, ...lines.slice(at).map((line): RecipeLine => ({ kind: 'same', text: line }))];
}
