// The page of the run in progress: one panel, which follows the run's events; the next run takes it over. After a reload of the window it shows the run as the disk tells it.
import path from 'node:path';
import * as vscode from 'vscode';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { afterEvent, beginLiveRun, readOutline, type LiveRun, type RunOutline } from '../../../schemas/src/live-run.js';
import { readFromWebview, type FromWebview, type ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import type { RunEvent } from '../../../schemas/src/run-event.js';
import { commands, RUN_VIEW } from '../manifest.js';
import { readRunOnDisk, type RunOnDisk } from '../run-on-disk.js';
import { webviewPage } from './webview-page.js';

export interface RunPage extends vscode.Disposable {
  begin(plan: QuantizationPlan, recipe: vscode.Uri): void;
  follow(event: RunEvent): void;
  open(): void;
}

/** As often as a page is drawn; events come faster. */
const drawDelay = 150;
/** As often as the disk is asked for a run of another process. */
const lookDelay = 1000;

export function createRunPage(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): RunPage {
  let run: LiveRun | null = null;
  /** Of a run that began in this window. */
  let recipe: vscode.Uri | null = null;
  /** Of one that did not. */
  let onDisk: RunOnDisk | null = null;
  let panel: vscode.WebviewPanel | null = null;
  let timer: NodeJS.Timeout | undefined;
  let looking: NodeJS.Timeout | undefined;

  const send = (): void => {
    timer = undefined;
    if (panel === null || run === null) return;
    const message: ToWebview = { kind: 'show-run', run };
    void panel.webview.postMessage(message);
  };
  const sendSoon = (): void => {
    if (panel !== null) timer ??= setTimeout(send, drawDelay);
  };
  const continueRun = async (): Promise<void> => {
    const unfinished = onDisk?.unfinished ?? null;
    const file = recipe ?? (onDisk?.recipe ? vscode.Uri.file(onDisk.recipe) : null);
    if (unfinished !== null) await vscode.commands.executeCommand(commands.continueRun, { unfinished });
    else if (file !== null) await vscode.commands.executeCommand(commands.quantize, file);
    else
      void vscode.window.showInformationMessage(
        vscode.l10n.t('This run was made from a recipe that was not saved. Run the same recipe into the same folder to continue it.'),
      );
  };
  const receive = (message: FromWebview): void => {
    if (message.kind === 'ready') send();
    if (message.kind === 'cancel-run') void vscode.commands.executeCommand(commands.cancelRun);
    if (message.kind === 'continue-run')
      continueRun().catch((error: unknown) => log.error(`The run cannot be continued: ${String(error)}`));
    if (message.kind === 'open-report' && run !== null) void vscode.commands.executeCommand(commands.openReport, `${run.output}.run`);
    if (message.kind === 'page-error') log.error(`The page of the run failed: ${message.message}`);
  };
  const adopt = (adopted: vscode.WebviewPanel): void => {
    panel = adopted;
    panel.onDidDispose(() => {
      panel = null;
      clearTimeout(looking);
    });
    panel.webview.onDidReceiveMessage((value: unknown) => {
      const message = readFromWebview(value);
      if (message === null) log.warn('The page of the run sent what is no message of it.');
      else receive(message);
    });
    panel.webview.options = { enableScripts: true, localResourceRoots: [vscode.Uri.joinPath(context.extensionUri, 'dist', 'webviews')] };
    panel.webview.html = webviewPage(panel.webview, context.extensionUri, 'run', panel.title, false);
  };
  /** Once, and again while another process works on it. A run that begins in this window takes the page over. */
  const look = async (outline: RunOutline): Promise<void> => {
    const found = await readRunOnDisk(outline);
    if (recipe !== null || panel === null) return;
    onDisk = found;
    run = found.run;
    send();
    if (run.outcome === 'elsewhere') looking = setTimeout(() => lookSafely(outline), lookDelay);
  };
  const lookSafely = (outline: RunOutline): void =>
    void look(outline).catch((error: unknown) => log.error(`The run in ${outline.output}.run cannot be read: ${String(error)}`));
  const serializer = vscode.window.registerWebviewPanelSerializer(RUN_VIEW, {
    deserializeWebviewPanel(restored, state: unknown) {
      const outline = readOutline((state as { saved?: unknown } | null | undefined)?.saved);
      if (outline === null || panel !== null) restored.dispose();
      else {
        adopt(restored);
        // A run of this window may have begun before its page came back.
        if (run === null) lookSafely(outline);
      }
      return Promise.resolve();
    },
  });
  return {
    begin(plan, uri) {
      clearTimeout(looking);
      recipe = uri;
      onDisk = null;
      run = beginLiveRun(plan, path.basename(uri.path));
      sendSoon();
    },
    follow(event) {
      // Of a run on the disk the disk tells.
      if (run === null || recipe === null) return;
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
      adopt(vscode.window.createWebviewPanel(RUN_VIEW, vscode.l10n.t('Run in Progress'), vscode.ViewColumn.Active));
    },
    dispose() {
      clearTimeout(timer);
      clearTimeout(looking);
      serializer.dispose();
      panel?.dispose();
    },
  };
}
