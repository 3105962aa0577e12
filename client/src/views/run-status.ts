// Where the current run stands: the status bar item and the progress notification, both from the same run events.
import * as vscode from 'vscode';
import type { RunEvent } from '../../../schemas/src/run-event.js';
import { commands } from '../manifest.js';

export interface RunStatus extends vscode.Disposable {
  /** Shows progress until `ended`; the notification's own cancel button calls onCancel. */
  begin(title: string, onCancel: () => void): void;
  show(event: RunEvent): void;
  ended(): void;
}

const remaining = (seconds: number | null): string => {
  if (seconds === null) return '';
  if (seconds < 1) return ', less than a second left';
  if (seconds < 90) return `, about ${Math.round(seconds)} s left`;
  return seconds < 5400 ? `, about ${Math.round(seconds / 60)} min left` : `, about ${(seconds / 3600).toFixed(1)} h left`;
};

export function createRunStatus(): RunStatus {
  const item = vscode.window.createStatusBarItem('bitwright.run', vscode.StatusBarAlignment.Left, 10);
  item.name = 'Bitwright Run';
  let report: vscode.Progress<{ message?: string; increment?: number }> | null = null;
  let finish: (() => void) | null = null;
  let shown = 0;
  const ended = (): void => {
    finish?.();
    finish = null;
    report = null;
    item.hide();
  };
  return {
    begin(title, onCancel) {
      ended();
      shown = 0;
      item.text = '$(loading~spin) Quantizing';
      item.tooltip = `${title}: starting. Click to cancel.`;
      item.command = commands.cancelRun;
      item.show();
      void vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title, cancellable: true }, (progress, token) => {
        report = progress;
        token.onCancellationRequested(onCancel);
        return new Promise<void>((resolve) => (finish = resolve));
      });
    },
    show(event) {
      if (event.kind !== 'progress') return;
      const percent = Math.floor(event.fraction * 100);
      const message = `${percent} % ${event.message}${remaining(event.eta_seconds)}`;
      report?.report({ message, increment: Math.max(0, percent - shown) });
      shown = Math.max(shown, percent);
      item.text = `$(loading~spin) Quantizing ${percent} %`;
      item.tooltip = `${event.message}${remaining(event.eta_seconds)}. Click to cancel.`;
    },
    ended,
    dispose() {
      ended();
      item.dispose();
    },
  };
}
