// Open Report: the last run's report, or one chosen from the reports on disk.
import path from 'node:path';
import * as vscode from 'vscode';
import type { RunController } from '../run-controller.js';
import type { ReportPanels } from '../views/report-panel.js';

export async function openReport(controller: RunController, reports: ReportPanels, folder?: vscode.Uri | string): Promise<void> {
  if (typeof folder === 'string') return reports.open(folder);
  if (folder instanceof vscode.Uri)
    return reports.open(path.basename(folder.fsPath) === 'report.json' ? path.dirname(folder.fsPath) : folder.fsPath);
  const found = await vscode.workspace.findFiles('**/*.run/report.json', '**/node_modules/**', 200);
  const dirs = [
    ...new Set([
      ...(controller.lastReport === null ? [] : [controller.lastReport]),
      ...found.map((uri) => path.dirname(uri.fsPath)).sort(),
    ]),
  ];
  const [only] = dirs;
  if (only === undefined) {
    void vscode.window.showInformationMessage(
      vscode.l10n.t('There is no report in this workspace yet. Open a recipe and run Bitwright: Quantize.'),
    );
    return;
  }
  if (dirs.length === 1) return reports.open(only);
  const items = dirs.map((dir) => ({
    label: path.basename(dir).replace(/\.run$/, ''),
    description: vscode.workspace.asRelativePath(dir),
    dir,
  }));
  const choice = await vscode.window.showQuickPick(items, { placeHolder: vscode.l10n.t('Which report?'), ignoreFocusOut: true });
  if (choice !== undefined) await reports.open(choice.dir);
}
