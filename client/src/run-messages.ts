// What the window says of runs: how one ended, and why one does not begin.
import * as vscode from 'vscode';
import type { RunFailure } from '../../schemas/src/run-event.js';
import type { commands } from './manifest.js';

/** What starts it again. */
export interface RunAgain {
  command: typeof commands.quantize | typeof commands.analyze;
  recipe: vscode.Uri;
}

export interface RunMessages {
  showCompleted(outputDir: string | null): void;
  showCancelled(run: RunAgain | null): Promise<void>;
  showFailure(failure: RunFailure | null, run: RunAgain | null): Promise<void>;
}

export const runMessages = (log: vscode.LogOutputChannel): RunMessages => ({
  showCompleted(outputDir) {
    void vscode.window.showInformationMessage(
      outputDir === null
        ? vscode.l10n.t('Quantized. No checkpoint was asked for.')
        : vscode.l10n.t('Quantized. The checkpoint is {0}.', vscode.workspace.asRelativePath(outputDir)),
    );
  },

  async showCancelled(run) {
    const resume = vscode.l10n.t('Resume');
    const choice = await vscode.window.showInformationMessage(
      vscode.l10n.t('The run was cancelled. What is finished is kept; running the recipe again continues there.'),
      resume,
    );
    if (choice === resume && run !== null) await vscode.commands.executeCommand(run.command, run.recipe);
  },

  async showFailure(failure, run) {
    const [resume, showLog] = [vscode.l10n.t('Run Again'), vscode.l10n.t('Show Log')];
    const message = failure?.message ?? vscode.l10n.t('The run failed.');
    log.error(message);
    const [sentence] = message.split('\n');
    const choice = await vscode.window.showErrorMessage(sentence ?? '', resume, showLog);
    if (choice === resume && run !== null) await vscode.commands.executeCommand(run.command, run.recipe);
    if (choice === showLog) log.show();
  },
});

export function showBusy(): void {
  void vscode.window.showWarningMessage(vscode.l10n.t('A run is active. Cancel it or wait for its end before starting another.'));
}

export function showNotOnDisk({ uri }: vscode.TextDocument): void {
  void vscode.window.showErrorMessage(
    vscode.l10n.t(
      "{0} is not on this machine's disk ({1}:). A run reads the model and writes the checkpoint on disk: open the folder there.",
      vscode.workspace.asRelativePath(uri),
      uri.scheme,
    ),
  );
}

export async function showUntrusted(): Promise<void> {
  const manage = vscode.l10n.t('Manage Workspace Trust');
  const choice = await vscode.window.showWarningMessage(
    vscode.l10n.t(
      'Runs are off in a workspace that is not trusted: a run starts a native process on files that the recipe names and writes a folder. Trust the workspace to run it.',
    ),
    manage,
  );
  if (choice === manage) await vscode.commands.executeCommand('workbench.trust.manage');
}
