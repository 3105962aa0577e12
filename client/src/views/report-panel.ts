// Opens a report in a webview; the page is a pure function of the report folder.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { quantizerFacts, type QuantizerFacts } from '../../../schemas/src/modifiers.js';
import { readFromWebview, type FromWebview, type ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import { REPORT_VIEW } from '../manifest.js';
import { saveFile } from './save-file.js';
import { webviewPage } from './webview-page.js';

/** A report of another version may name a method that this one does not have. */
const methods: Readonly<Record<string, QuantizerFacts | undefined>> = quantizerFacts;

export interface ReportPanels extends vscode.Disposable {
  /** Shows the report of a run folder; a panel that shows this folder already is brought forward and reloaded. */
  open(reportDir: string): Promise<void>;
}

export function createReportPanels(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): ReportPanels {
  const panels = new Map<string, vscode.WebviewPanel>();
  const serializer = vscode.window.registerWebviewPanelSerializer(REPORT_VIEW, {
    deserializeWebviewPanel(panel, state: unknown) {
      const saved = (state as { saved?: unknown } | null | undefined)?.saved;
      if (typeof saved === 'string' && !panels.has(saved)) adopt(panel, saved);
      else panel.dispose();
      return Promise.resolve();
    },
  });
  return {
    async open(reportDir) {
      const known = panels.get(reportDir);
      if (known !== undefined) {
        known.reveal();
        await send(known, reportDir);
        return;
      }
      const title = vscode.l10n.t('Report: {0}', path.basename(reportDir).replace(/\.run$/, ''));
      adopt(vscode.window.createWebviewPanel(REPORT_VIEW, title, vscode.ViewColumn.Active, { retainContextWhenHidden: false }), reportDir);
    },
    dispose() {
      serializer.dispose();
      for (const panel of panels.values()) panel.dispose();
    },
  };

  function adopt(panel: vscode.WebviewPanel, reportDir: string): void {
    panels.set(reportDir, panel);
    panel.onDidDispose(() => panels.delete(reportDir));
    panel.webview.onDidReceiveMessage((value: unknown) => {
      const message = readFromWebview(value);
      if (message === null) return log.warn('The report page sent what is no message of it.');
      receive(message, panel, reportDir).catch((error: unknown) =>
        log.error(`The report page's message ${message.kind} failed: ${String(error)}`),
      );
    });
    panel.webview.options = {
      enableScripts: true,
      localResourceRoots: [vscode.Uri.joinPath(context.extensionUri, 'dist', 'webviews'), vscode.Uri.file(reportDir)],
    };
    panel.webview.html = webviewPage(panel.webview, context.extensionUri, 'report', panel.title);
  }

  async function receive(message: FromWebview, panel: vscode.WebviewPanel, reportDir: string): Promise<void> {
    switch (message.kind) {
      case 'ready':
        return send(panel, reportDir);
      case 'open-recipe':
        return openRecipe(reportDir, message.layer);
      case 'copy-text':
        return vscode.env.clipboard.writeText(message.text);
      case 'save-file':
        return saveFile(reportDir, message);
      case 'page-error':
        return log.error(`The report page failed: ${message.message}`);
      default:
        return log.warn(`The report page sent ${message.kind}, which it has no part in.`);
    }
  }
}

async function send(panel: vscode.WebviewPanel, reportDir: string): Promise<void> {
  const baseUri = panel.webview.asWebviewUri(vscode.Uri.file(reportDir)).toString();
  const message: ToWebview = { kind: 'show-report', report: await readReport(reportDir), arrays: { baseUri }, saved: reportDir };
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
