// Activation: composition only.
import * as vscode from 'vscode';
import { newRecipe } from './commands/new-recipe.js';
import { openReport } from './commands/open-report.js';
import { quantize } from './commands/quantize.js';
import { showPlan } from './commands/show-plan.js';
import { commands } from './manifest.js';
import { createRunController } from './run-controller.js';
import { startServer } from './server-client.js';
import { createPlanPreview } from './views/plan-preview.js';
import { createReportPanels } from './views/report-panel.js';
import { createRunStatus } from './views/run-status.js';

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const log = vscode.window.createOutputChannel('Bitwright', { log: true });
  context.subscriptions.push(log);
  const server = await startServer(context);
  const status = createRunStatus();
  const reports = createReportPanels(context, log);
  const preview = createPlanPreview();
  const controller = createRunController({ context, server, status, reports, log });
  const register = (id: string, run: (...args: never[]) => unknown): vscode.Disposable => vscode.commands.registerCommand(id, run);
  context.subscriptions.push(
    server,
    status,
    reports,
    preview,
    controller,
    register(commands.newRecipe, () => newRecipe()),
    register(commands.quantize, (uri?: vscode.Uri | string) => quantize(controller, uri)),
    register(commands.cancelRun, () => controller.cancel()),
    register(commands.showPlan, (uri?: vscode.Uri | string) => showPlan(controller, preview, uri)),
    register(commands.openReport, (folder?: vscode.Uri | string) => openReport(controller, reports, folder)),
    register(commands.restartWorker, () => controller.restartWorker()),
    register(commands.showLog, () => log.show()),
  );
}
