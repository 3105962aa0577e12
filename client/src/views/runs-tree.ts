// The runs view: runs without an end, then every report of the workspace, newest first, with what became of it.
import * as vscode from 'vscode';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { views } from '../manifest.js';
import { keptRuns, NOT_REPORTS, REPORT_GLOB, sortedRuns, type RunRecord } from '../run-records.js';
import { interruptedRun, readUnfinishedRun, UNFINISHED_GLOB, type UnfinishedRun } from '../unfinished-runs.js';

export interface RunsTree extends vscode.Disposable {
  refresh(): void;
  reveal(item: RunItem | undefined): Promise<void>;
  /** What a command is for: the items it was called with, else those that are chosen while the list has the focus of the user. */
  chosen(item: RunItem | undefined, all?: RunItem[]): readonly RunItem[];
  /** After it was confirmed. */
  remove(item: RunItem | undefined): Promise<void>;
  /** Of an item, or of the chosen one, where it is a run that was interrupted. */
  interrupted(item: RunItem | undefined): UnfinishedRun | null;
}

export type RunItem = { run: RunRecord } | { unfinished: UnfinishedRun } | { dir: string; fault: string };

const mostReports = 2000;
const changeDelay = 300;

export function createRunsTree(openCommand: string): RunsTree {
  const changed = new vscode.EventEmitter<void>();
  let timer: NodeJS.Timeout | undefined;
  const refreshSoon = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => changed.fire(), changeDelay);
  };
  /** Ids of the runs at work that the list shows. */
  const watched = new Set<string>();
  const watchEnd = async (run: UnfinishedRun): Promise<void> => {
    if (!run.isRunning || watched.has(run.run_id)) return;
    watched.add(run.run_id);
    await interruptedRun(run);
    watched.delete(run.run_id);
    refreshSoon();
  };
  const readReports = keptRuns();
  const list = async (): Promise<RunItem[]> => {
    const items = await readRuns(readReports);
    for (const item of items) if ('unfinished' in item) void watchEnd(item.unfinished);
    return items;
  };
  const provider: vscode.TreeDataProvider<RunItem> = {
    onDidChangeTreeData: changed.event,
    getChildren: async (item) => (item === undefined ? list() : []),
    getTreeItem: (item) => runItem(item, openCommand),
  };
  const view = vscode.window.createTreeView(views.runs, { treeDataProvider: provider, canSelectMany: true });
  const watchers = [REPORT_GLOB, UNFINISHED_GLOB].map((glob) => vscode.workspace.createFileSystemWatcher(glob));
  const subscriptions = [
    changed,
    view,
    ...watchers,
    ...watchers.flatMap((watcher) => [
      watcher.onDidCreate(refreshSoon),
      watcher.onDidChange(refreshSoon),
      watcher.onDidDelete(refreshSoon),
    ]),
  ];
  const chosen = (item: RunItem | undefined): RunItem | undefined => item ?? view.selection[0];
  return {
    refresh: () => changed.fire(),
    chosen: (item, all) => (item === undefined ? view.selection : all !== undefined && all.includes(item) ? all : [item]),
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
        'unfinished' in one || ('run' in one && !one.run.isEarlier)
          ? vscode.l10n.t(
              '{0} is deleted with its report and what a cancelled run would continue from. The checkpoint beside it stays.',
              folder,
            )
          : vscode.l10n.t('{0} is deleted with its report.', folder);
      const question = vscode.l10n.t('Delete the run {0}?', nameOf(one) ?? folder);
      if ((await vscode.window.showWarningMessage(question, { modal: true, detail }, remove)) !== remove) return;
      await vscode.workspace.fs.delete(vscode.Uri.file(dirOf(one)), { recursive: true });
      changed.fire();
    },
    interrupted(item) {
      const one = chosen(item);
      return one !== undefined && 'unfinished' in one && !one.unfinished.isRunning ? one.unfinished : null;
    },
    dispose() {
      clearTimeout(timer);
      subscriptions.forEach((subscription) => void subscription.dispose());
    },
  };
}

export const dirOf = (item: RunItem): string => ('run' in item ? item.run.dir : 'unfinished' in item ? item.unfinished.dir : item.dir);
const nameOf = (item: RunItem): string | null => ('run' in item ? item.run.name : 'unfinished' in item ? item.unfinished.name : null);

async function readRuns(readReports: ReturnType<typeof keptRuns>): Promise<RunItem[]> {
  const filesOf = (glob: string): Thenable<vscode.Uri[]> => vscode.workspace.findFiles(glob, NOT_REPORTS, mostReports);
  const [files, marks] = await Promise.all([filesOf(REPORT_GLOB), filesOf(UNFINISHED_GLOB)]);
  const read = await readReports(files.map(({ fsPath }) => fsPath));
  const unfinished = (await Promise.all(marks.map(({ fsPath }) => readUnfinishedRun(fsPath)))).filter((run) => run !== null);
  // A report in their folder is that of a part of the run.
  const atWork = new Set(unfinished.map(({ dir }) => dir));
  const runs = sortedRuns(read.flatMap((found) => ('run' in found && !atWork.has(found.run.dir) ? [found.run] : [])));
  return [
    ...unfinished.sort((a, b) => (a.started_at < b.started_at ? 1 : -1)).map((run) => ({ unfinished: run })),
    ...runs.map((run) => ({ run })),
    ...read.filter((found) => 'fault' in found),
  ];
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
  if ('unfinished' in item) return unfinishedItem(item.unfinished);
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

function unfinishedItem({ name, dir, started_at, recipe, n_finished, n_units, isRunning }: UnfinishedRun): vscode.TreeItem {
  const shown = new vscode.TreeItem(name);
  const parts = vscode.l10n.t('{0} of {1} parts finished', n_finished, n_units);
  const state = isRunning ? vscode.l10n.t('running') : vscode.l10n.t('interrupted');
  shown.id = `${dir}:unfinished`;
  shown.iconPath = isRunning
    ? new vscode.ThemeIcon('sync')
    : new vscode.ThemeIcon('debug-pause', new vscode.ThemeColor('list.warningForeground'));
  shown.description = isRunning ? state : `${state}, ${parts}`;
  shown.tooltip = [
    vscode.l10n.t('{0}: {1}, begun {2}', name, state, new Date(started_at).toLocaleString()),
    ...(isRunning
      ? []
      : [parts, vscode.l10n.t('Its process ended before the run did. What is finished is on the disk: Continue Run goes on there.')]),
    ...(recipe === null ? [] : [vscode.workspace.asRelativePath(recipe)]),
    vscode.workspace.asRelativePath(dir),
  ].join('\n');
  shown.accessibilityInformation = { label: `${name}, ${shown.description}` };
  shown.contextValue = isRunning ? 'running-run' : 'interrupted-run';
  return shown;
}
