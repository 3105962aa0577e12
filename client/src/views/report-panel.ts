// Opens a report in a webview; the page is a pure function of the report folder.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { quantizerFacts, type QuantizerFacts } from '../../../schemas/src/modifiers.js';
import type { FromWebview, ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import { REPORT_VIEW } from '../manifest.js';
import { webviewPage } from './webview-page.js';

/** A report of another version may name a method that this one does not have. */
const methods: Readonly<Record<string, QuantizerFacts | undefined>> = quantizerFacts;

export interface ReportPanels extends vscode.Disposable {
  /** Shows the report of a run folder; a panel that shows this folder already is brought forward and reloaded. */
  open(reportDir: string): Promise<void>;
}

export function createReportPanels(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): ReportPanels {
  const panels = new Map<string, vscode.WebviewPanel>();
  return {
    async open(reportDir) {
      const known = panels.get(reportDir);
      if (known !== undefined) {
        known.reveal();
        await send(known, reportDir);
        return;
      }
      const folder = vscode.Uri.file(reportDir);
      const title = vscode.l10n.t('Report: {0}', path.basename(reportDir).replace(/\.run$/, ''));
      const panel = vscode.window.createWebviewPanel(REPORT_VIEW, title, vscode.ViewColumn.Active, {
        enableScripts: true,
        retainContextWhenHidden: false,
        localResourceRoots: [vscode.Uri.joinPath(context.extensionUri, 'dist', 'webviews'), folder],
      });
      panels.set(reportDir, panel);
      panel.onDidDispose(() => panels.delete(reportDir));
      panel.webview.onDidReceiveMessage((message: FromWebview) => {
        receive(message, panel, reportDir).catch((error: unknown) =>
          log.error(`The report page's message ${message.kind} failed: ${String(error)}`),
        );
      });
      panel.webview.html = webviewPage(panel.webview, context.extensionUri, 'report', title);
    },
    dispose() {
      for (const panel of panels.values()) panel.dispose();
    },
  };

  async function receive(message: FromWebview, panel: vscode.WebviewPanel, reportDir: string): Promise<void> {
    switch (message.kind) {
      case 'ready':
        return send(panel, reportDir);
      case 'open-recipe':
        return openRecipe(reportDir, message.layer);
      case 'copy-text':
        return vscode.env.clipboard.writeText(message.text);
      case 'page-error':
        return log.error(`The report page failed: ${message.message}`);
      default:
        return log.warn(`The report page sent ${message.kind}, which it has no part in.`);
    }
  }
}

async function send(panel: vscode.WebviewPanel, reportDir: string): Promise<void> {
  const baseUri = panel.webview.asWebviewUri(vscode.Uri.file(reportDir)).toString();
  const message: ToWebview = { kind: 'show-report', report: await readReport(reportDir), arrays: { baseUri } };
  await panel.webview.postMessage(message);
}

async function readReport(reportDir: string): Promise<RunReport> {
  return JSON.parse(await readFile(path.join(reportDir, 'report.json'), 'utf8')) as RunReport;
}

/** Shows the recipe of the report, at the modifier that a problem of the layer names, else at its first line. */
async function openRecipe(reportDir: string, layer: string | null): Promise<void> {
  const { recipe, layers } = await readReport(reportDir);
  if (recipe.path === null) {
    void vscode.window.showInformationMessage(vscode.l10n.t('This report was made from a recipe that was not saved as a file.'));
    return;
  }
  const document = await vscode.workspace.openTextDocument(recipe.path);
  const editor = await vscode.window.showTextDocument(document, vscode.ViewColumn.Beside);
  const quantizer = layers.find(({ name }) => name === layer)?.quantizer ?? 'rtn';
  const word = methods[quantizer]?.modifier ?? quantizer;
  const offset = document.getText().indexOf(word);
  if (offset < 0) return;
  const range = new vscode.Range(document.positionAt(offset), document.positionAt(offset + word.length));
  editor.selection = new vscode.Selection(range.start, range.end);
  editor.revealRange(range, vscode.TextEditorRevealType.InCenter);
}
