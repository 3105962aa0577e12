// The page of the run in progress: one panel, which follows the run's events; the next run takes it over.
import path from 'node:path';
import * as vscode from 'vscode';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { afterEvent, beginLiveRun, type LiveRun } from '../../../schemas/src/live-run.js';
import { readFromWebview, type ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import type { RunEvent } from '../../../schemas/src/run-event.js';
import { commands, RUN_PANEL } from '../manifest.js';
import { webviewPage } from './webview-page.js';

export interface RunPage extends vscode.Disposable {
  begin(plan: QuantizationPlan, recipe: vscode.Uri): void;
  follow(event: RunEvent): void;
  open(): void;
}

/** As often as a page is drawn; events come faster. */
const drawDelay = 150;

export function createRunPage(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): RunPage {
  let run: LiveRun | null = null;
  let panel: vscode.WebviewPanel | null = null;
  let timer: NodeJS.Timeout | undefined;

  const send = (): void => {
    timer = undefined;
    if (panel === null || run === null) return;
    const message: ToWebview = { kind: 'show-run', run };
    void panel.webview.postMessage(message);
  };
  const sendSoon = (): void => {
    if (panel !== null) timer ??= setTimeout(send, drawDelay);
  };
  const receive = (value: unknown): void => {
    const message = readFromWebview(value);
    if (message === null) return log.warn('The page of the run sent what is no message of it.');
    if (message.kind === 'ready') send();
    if (message.kind === 'cancel-run') void vscode.commands.executeCommand(commands.cancelRun);
    if (message.kind === 'open-report' && run !== null) void vscode.commands.executeCommand(commands.openReport, `${run.output}.run`);
    if (message.kind === 'page-error') log.error(`The page of the run failed: ${message.message}`);
  };
  return {
    begin(plan, recipe) {
      run = beginLiveRun(plan, path.basename(recipe.path));
      sendSoon();
    },
    follow(event) {
      if (run === null) return;
      run = afterEvent(run, event);
      sendSoon();
    },
    open() {
      if (run === null) {
        void vscode.window.showInformationMessage(
          vscode.l10n.t('No run has begun in this window yet. Open a recipe and run Bitwright: Quantize.'),
        );
        return;
      }
      if (panel !== null) return panel.reveal();
      const title = vscode.l10n.t('Run in Progress');
      panel = vscode.window.createWebviewPanel(RUN_PANEL, title, vscode.ViewColumn.Active, {
        enableScripts: true,
        localResourceRoots: [vscode.Uri.joinPath(context.extensionUri, 'dist', 'webviews')],
      });
      panel.onDidDispose(() => (panel = null));
      panel.webview.onDidReceiveMessage(receive);
      panel.webview.html = webviewPage(panel.webview, context.extensionUri, 'run', title, false);
    },
    dispose() {
      clearTimeout(timer);
      panel?.dispose();
    },
  };
}
