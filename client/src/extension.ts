// Activation: composition only.
import * as vscode from 'vscode';
import { analyze } from './commands/analyze.js';
import { compareRuns } from './commands/compare-runs.js';
import { newRecipe } from './commands/new-recipe.js';
import { openReport } from './commands/open-report.js';
import { openSensitivity } from './commands/open-sensitivity.js';
import { quantize } from './commands/quantize.js';
import { showPlan } from './commands/show-plan.js';
import { commands } from './manifest.js';
import { createRunController } from './run-controller.js';
import { startServer } from './server-client.js';
import { createComparisonPanels } from './views/comparison-panel.js';
import { createPlanPreview } from './views/plan-preview.js';
import { createProposals } from './views/proposals.js';
import { createReportPanels } from './views/report-panel.js';
import { createSensitivityPanels } from './views/sensitivity-panel.js';
import { createRunStatus } from './views/run-status.js';

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const log = vscode.window.createOutputChannel('Bitwright', { log: true });
  context.subscriptions.push(log);
  const server = await startServer(context);
  const status = createRunStatus();
  const reports = createReportPanels(context, log);
  const proposals = createProposals();
  const sensitivity = createSensitivityPanels({ context, server, proposals, log });
  const comparisons = createComparisonPanels(context, log);
  const preview = createPlanPreview();
  const controller = createRunController({ context, server, status, reports, sensitivity, log });
  const register = (id: string, run: (...args: never[]) => unknown): vscode.Disposable => vscode.commands.registerCommand(id, run);
  context.subscriptions.push(
    server,
    status,
    reports,
    sensitivity,
    proposals,
    comparisons,
    preview,
    controller,
    register(commands.newRecipe, () => newRecipe()),
    register(commands.quantize, (uri?: vscode.Uri | string) => quantize(controller, uri)),
    register(commands.cancelRun, () => controller.cancel()),
    register(commands.showPlan, (uri?: vscode.Uri | string) => showPlan(controller, preview, uri)),
    register(commands.openReport, (folder?: vscode.Uri | string) => openReport(controller, reports, folder)),
    register(commands.analyze, (uri?: vscode.Uri | string) => analyze(controller, uri)),
    register(commands.openSensitivity, (uri?: vscode.Uri | string) => openSensitivity(controller, sensitivity, uri)),
    register(commands.compareRuns, () => compareRuns(comparisons)),
    register(commands.applyProposal, () => proposals.decide(true)),
    register(commands.discardProposal, () => proposals.decide(false)),
    register(commands.restartWorker, () => controller.restartWorker()),
    register(commands.showLog, () => log.show()),
  );
}
