// Compare Runs: two or more reports of the workspace, those of earlier runs into the same folder among them.
import path from 'node:path';
import * as vscode from 'vscode';
import { readReportFile } from '../report-history.js';
import { NOT_REPORTS, REPORT_GLOB } from '../run-records.js';
import type { RunItem } from '../views/runs-tree.js';
import type { ComparisonPanels } from '../views/comparison-panel.js';

/** `chosen`: rows of the runs view; two or more are compared at once, one is compared with others that are asked for. */
export async function compareRuns(panels: ComparisonPanels, chosen: readonly RunItem[] = []): Promise<void> {
  const runs = chosen.flatMap((item) => ('run' in item ? [item.run.dir] : []));
  if (runs.length > 1) return panels.open(runs);
  const files = await vscode.workspace.findFiles(REPORT_GLOB, NOT_REPORTS, 500);
  const found = await Promise.all(
    files.map(async (file) => {
      const report = await readReportFile(file.fsPath);
      return report === null ? [] : [{ report, dir: path.dirname(file.fsPath) }];
    }),
  );
  const items = found
    .flat()
    .sort((a, b) => (a.report.finished_at < b.report.finished_at ? 1 : -1))
    .map(({ report, dir }) => ({
      label: vscode.workspace.asRelativePath(report.recipe.path ?? dir),
      description: new Date(report.finished_at).toLocaleString(),
      detail: vscode.l10n.t(
        '{0} bits per weight, perplexity {1}',
        report.size.bits_per_weight.toFixed(3),
        report.quality?.after?.perplexity.toFixed(4) ?? vscode.l10n.t('not measured'),
      ),
      dir,
    }));
  if (items.length < 2) {
    void vscode.window.showInformationMessage(
      vscode.l10n.t(
        'There are not two runs in this workspace yet. Quantize a recipe, change it and quantize again: earlier reports are kept.',
      ),
    );
    return;
  }
  const [only] = runs;
  const first =
    items.find(({ dir }) => dir === only) ??
    (await vscode.window.showQuickPick(items, {
      placeHolder: vscode.l10n.t('Which run?'),
      matchOnDescription: true,
      ignoreFocusOut: true,
    }));
  if (first === undefined) return;
  const others = await vscode.window.showQuickPick(
    items.filter(({ dir }) => dir !== first.dir),
    { placeHolder: vscode.l10n.t('Compared with which runs?'), matchOnDescription: true, canPickMany: true, ignoreFocusOut: true },
  );
  if (others !== undefined && others.length > 0) panels.open([first.dir, ...others.map(({ dir }) => dir)]);
}
