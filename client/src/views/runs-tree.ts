// The runs view: every report of the workspace, newest first, with what became of it.
import * as vscode from 'vscode';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { views } from '../manifest.js';
import { readRun, REPORT_GLOB, sortedRuns, type RunRecord } from '../run-records.js';

export interface RunsTree extends vscode.Disposable {
  refresh(): void;
  reveal(item: RunItem | undefined): Promise<void>;
  /** After it was confirmed. */
  remove(item: RunItem | undefined): Promise<void>;
}

export type RunItem = { run: RunRecord } | { dir: string; fault: string };

const mostReports = 2000;
const changeDelay = 300;

export function createRunsTree(openCommand: string): RunsTree {
  const changed = new vscode.EventEmitter<void>();
  let timer: NodeJS.Timeout | undefined;
  const refreshSoon = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => changed.fire(), changeDelay);
  };
  const provider: vscode.TreeDataProvider<RunItem> = {
    onDidChangeTreeData: changed.event,
    getChildren: async (item) => (item === undefined ? readRuns() : []),
    getTreeItem: (item) => runItem(item, openCommand),
  };
  const view = vscode.window.createTreeView(views.runs, { treeDataProvider: provider, canSelectMany: true });
  const watcher = vscode.workspace.createFileSystemWatcher(REPORT_GLOB);
  const subscriptions = [
    changed,
    view,
    watcher,
    watcher.onDidCreate(refreshSoon),
    watcher.onDidChange(refreshSoon),
    watcher.onDidDelete(refreshSoon),
  ];
  const chosen = (item: RunItem | undefined): RunItem | undefined => item ?? view.selection[0];
  return {
    refresh: () => changed.fire(),
    async reveal(item) {
      const one = chosen(item);
      if (one !== undefined) await vscode.commands.executeCommand('revealInExplorer', vscode.Uri.file(dirOf(one)));
    },
    async remove(item) {
      const one = chosen(item);
      if (one === undefined) return;
      const folder = vscode.workspace.asRelativePath(dirOf(one));
      const remove = vscode.l10n.t('Delete Run');
      const detail =
        'run' in one && !one.run.isEarlier
          ? vscode.l10n.t(
              '{0} is deleted with its report and what a cancelled run would continue from. The checkpoint beside it stays.',
              folder,
            )
          : vscode.l10n.t('{0} is deleted with its report.', folder);
      const question = vscode.l10n.t('Delete the run {0}?', 'run' in one ? one.run.name : folder);
      if ((await vscode.window.showWarningMessage(question, { modal: true, detail }, remove)) !== remove) return;
      await vscode.workspace.fs.delete(vscode.Uri.file(dirOf(one)), { recursive: true });
      changed.fire();
    },
    dispose() {
      clearTimeout(timer);
      subscriptions.forEach((subscription) => void subscription.dispose());
    },
  };
}

export const dirOf = (item: RunItem): string => ('run' in item ? item.run.dir : item.dir);

async function readRuns(): Promise<RunItem[]> {
  const files = await vscode.workspace.findFiles(REPORT_GLOB, '**/node_modules/**', mostReports);
  const read = await Promise.all(files.map(({ fsPath }) => readRun(fsPath)));
  const runs = sortedRuns(read.flatMap((found) => ('run' in found ? [found.run] : [])));
  return [...runs.map((run) => ({ run })), ...read.filter((found) => 'fault' in found)];
}

const seconds = (value: number): string =>
  value < 90
    ? vscode.l10n.t('{0} s', value.toFixed(value < 10 ? 1 : 0))
    : value < 5400
      ? vscode.l10n.t('{0} min', Math.round(value / 60))
      : vscode.l10n.t('{0} h', (value / 3600).toFixed(1));

const outcomes = {
  completed: { icon: 'pass', color: 'testing.iconPassed' },
  cancelled: { icon: 'circle-slash', color: 'disabledForeground' },
  failed: { icon: 'error', color: 'testing.iconFailed' },
} as const;
const outcomeText = (outcome: RunRecord['outcome']): string =>
  outcome === 'completed' ? vscode.l10n.t('completed') : outcome === 'cancelled' ? vscode.l10n.t('cancelled') : vscode.l10n.t('failed');

function perplexityText({ perplexity_before, perplexity_after }: RunRecord): string | null {
  const figure = (value: number): string => value.toPrecision(5);
  if (perplexity_after === null) return null;
  return perplexity_before === null
    ? vscode.l10n.t('perplexity {0}', figure(perplexity_after))
    : vscode.l10n.t('perplexity {0} → {1}', figure(perplexity_before), figure(perplexity_after));
}

function runItem(item: RunItem, openCommand: string): vscode.TreeItem {
  if ('fault' in item) {
    const broken = new vscode.TreeItem(vscode.workspace.asRelativePath(item.dir));
    broken.iconPath = new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground'));
    broken.description = item.fault;
    broken.tooltip = item.fault;
    broken.contextValue = 'broken-run';
    return broken;
  }
  const { run } = item;
  const shown = new vscode.TreeItem(run.name);
  const { icon, color } = outcomes[run.outcome] ?? outcomes.failed;
  const bits = vscode.l10n.t('{0} bits per weight', run.bits_per_weight.toFixed(2));
  const perplexity = perplexityText(run);
  const when = new Date(run.finished_at).toLocaleString();
  const facts = [
    ...(run.outcome === 'completed' ? [] : [outcomeText(run.outcome)]),
    bits,
    ...(perplexity === null ? [] : [perplexity]),
    seconds(run.seconds),
  ];
  shown.id = run.dir;
  shown.iconPath = new vscode.ThemeIcon(icon, new vscode.ThemeColor(color));
  shown.description = facts.join(', ');
  shown.tooltip = [
    `${run.name}: ${outcomeText(run.outcome)}, ${when}`,
    `${bits}, ${bytesText(run.weights_bytes_before)} → ${bytesText(run.weights_bytes_after)}`,
    perplexity ?? vscode.l10n.t('perplexity was not measured'),
    vscode.l10n.t('took {0}', seconds(run.seconds)),
    ...(run.recipe === null ? [] : [vscode.workspace.asRelativePath(run.recipe)]),
    vscode.workspace.asRelativePath(run.dir),
  ].join('\n');
  shown.accessibilityInformation = { label: `${run.name}, ${outcomeText(run.outcome)}, ${when}, ${facts.join(', ')}` };
  shown.contextValue = 'run';
  shown.command = { command: openCommand, title: vscode.l10n.t('Open Report'), arguments: [run.dir] };
  return shown;
}
