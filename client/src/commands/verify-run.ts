// Re-run and Confirm Bit-Identical: a run of the list is done again from its lock and compared.
import * as vscode from 'vscode';
import type { LockDifference } from '../../../schemas/src/compare-locks.js';
import type { RunController } from '../run-controller.js';
import { readLock, type Verdict } from '../verify-run.js';
import { dirOf, type RunItem } from '../views/runs-tree.js';

export async function verifyRunOf(controller: RunController, log: vscode.LogOutputChannel, item: RunItem | undefined): Promise<void> {
  if (item === undefined) {
    void vscode.window.showInformationMessage(vscode.l10n.t('Choose a run in the view Runs first.'));
    return;
  }
  const dir = dirOf(item);
  const read = await readLock(dir);
  if ('reason' in read) {
    void vscode.window.showErrorMessage(read.reason);
    return;
  }
  const name = vscode.workspace.asRelativePath(dir);
  const verdict = await controller.verify(read.lock, name);
  if (verdict === null) return;
  for (const { message } of verdict.differences) log.warn(`${name}: ${message}`);
  const text = sentence(name, verdict);
  log.info(text);
  const showLog = vscode.l10n.t('Show Log');
  const more = verdict.differences.length > 0 ? [showLog] : [];
  const choice = await (verdict.identical
    ? vscode.window.showInformationMessage(text, ...more)
    : vscode.window.showErrorMessage(text, ...more));
  if (choice === showLog) log.show();
}

function sentence(name: string, { identical, differences, again }: Verdict): string {
  const of = (kind: LockDifference['kind']): LockDifference[] => differences.filter((difference) => difference.kind === kind);
  const first = (found: readonly LockDifference[]): string =>
    found.length > 1 ? vscode.l10n.t('{0}, and {1} more in the log', found[0]?.message ?? '', found.length - 1) : (found[0]?.message ?? '');
  if (again === null) return vscode.l10n.t('{0} was not run again: {1}.', name, first(of('input')));
  if (identical)
    return vscode.l10n.t('{0} is bit-identical: {1} files and {2} tensors came out as before.', name, again.files, again.tensors);
  const changes = [...of('environment'), ...of('input')];
  return changes.length === 0
    ? vscode.l10n.t('{0} gives other bytes: {1}. Nothing that went in has changed.', name, first(of('output')))
    : vscode.l10n.t('{0} gives other bytes: {1}. What was different: {2}.', name, first(of('output')), first(changes));
}
