// Where the current run stands: the status bar item and the progress notification, both from the same run events.
import * as vscode from 'vscode';
import type { RunEvent } from '../../../schemas/src/run-event.js';
import { commands } from '../manifest.js';

type RunKind = 'quantize' | 'analyze' | 'verify';

export interface RunStatus extends vscode.Disposable {
  /** Shows progress until `ended`; the notification's own cancel button calls onCancel. */
  begin(kind: RunKind, title: string, onCancel: () => void): void;
  show(event: RunEvent): void;
  progress(fraction: number, message: string, etaSeconds: number | null): void;
  /** Until `ended`: what is at work is finished or left first, which may take a while. */
  cancelling(): void;
  ended(): void;
}

const remaining = (seconds: number | null): string => {
  if (seconds === null) return '';
  if (seconds < 1) return vscode.l10n.t(', less than a second left');
  if (seconds < 90) return vscode.l10n.t(', about {0} s left', Math.round(seconds));
  if (seconds < 5400) return vscode.l10n.t(', about {0} min left', Math.round(seconds / 60));
  return vscode.l10n.t(', about {0} h left', (seconds / 3600).toFixed(1));
};

export function createRunStatus(): RunStatus {
  const item = vscode.window.createStatusBarItem('bitwright.run', vscode.StatusBarAlignment.Left, 10);
  item.name = vscode.l10n.t('Bitwright Run');
  let report: vscode.Progress<{ message?: string; increment?: number }> | null = null;
  let finish: (() => void) | null = null;
  let shown = 0;
  let kind: RunKind = 'quantize';
  let isCancelled = false;
  const ended = (): void => {
    finish?.();
    finish = null;
    report = null;
    item.hide();
  };
  return {
    begin(begun, title, onCancel) {
      ended();
      shown = 0;
      isCancelled = false;
      kind = begun;
      item.text = `$(loading~spin) ${kind === 'analyze' ? vscode.l10n.t('Analyzing') : vscode.l10n.t('Quantizing')}`;
      item.tooltip =
        kind === 'quantize'
          ? vscode.l10n.t('{0}: starting. Click to see it.', title)
          : vscode.l10n.t('{0}: starting. Click to cancel.', title);
      item.command = kind === 'quantize' ? commands.showRun : commands.cancelRun;
      item.show();
      void vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title, cancellable: true }, (progress, token) => {
        report = progress;
        token.onCancellationRequested(onCancel);
        return new Promise<void>((resolve) => (finish = resolve));
      });
    },
    show(event) {
      if (event.kind === 'progress') progress(event.fraction, event.message, event.eta_seconds);
    },
    progress,
    cancelling() {
      isCancelled = true;
      item.text = `$(loading~spin) ${vscode.l10n.t('Cancelling')}`;
    },
    ended,
    dispose() {
      ended();
      item.dispose();
    },
  };
  function progress(fraction: number, text: string, etaSeconds: number | null): void {
    const percent = Math.floor(fraction * 100);
    const message = `${percent} % ${text}${remaining(etaSeconds)}`;
    report?.report({ message, increment: Math.max(0, percent - shown) });
    shown = Math.max(shown, percent);
    if (isCancelled) return;
    item.text = `$(loading~spin) ${kind === 'analyze' ? vscode.l10n.t('Analyzing {0} %', percent) : vscode.l10n.t('Quantizing {0} %', percent)}`;
    item.tooltip =
      kind === 'quantize'
        ? vscode.l10n.t('{0}{1}. Click to see it.', text, remaining(etaSeconds))
        : vscode.l10n.t('{0}{1}. Click to cancel.', text, remaining(etaSeconds));
  }
}
