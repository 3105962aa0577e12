// Activation: composition only.
import * as vscode from 'vscode';
import { analyze } from './commands/analyze.js';
import { compareRuns } from './commands/compare-runs.js';
import { continueRun, offerToContinue } from './commands/continue-run.js';
import { watchActiveRecipe } from './active-recipe.js';
import { addToRecipe, type Addition } from './commands/add-to-recipe.js';
import { newRecipe } from './commands/new-recipe.js';
import { openReport } from './commands/open-report.js';
import { openSensitivity } from './commands/open-sensitivity.js';
import { quantize } from './commands/quantize.js';
import { showPlan } from './commands/show-plan.js';
import { registerLayerDrop } from './drop-layers.js';
import { registerLanguageModelTools } from './language-model-tools.js';
import { commands } from './manifest.js';
import { createRunController } from './run-controller.js';
import { createServer } from './server-client.js';
import { registerTasks } from './task-provider.js';
import { createComparisonPanels } from './views/comparison-panel.js';
import { createTensorInspector } from './tensor-inspector.js';
import { registerModelFileEditor } from './views/model-file-editor.js';
import type { ModelItem } from './views/model-items.js';
import { createModelTree } from './views/model-tree.js';
import { createPlanPreview } from './views/plan-preview.js';
import { createProposals } from './views/proposals.js';
import { createReportPanels } from './views/report-panel.js';
import { createSensitivityPanels } from './views/sensitivity-panel.js';
import { verifyRunOf } from './commands/verify-run.js';
import { registerGateTests } from './gate-tests.js';
import { createRunPage } from './views/run-page.js';
import { createRunStatus } from './views/run-status.js';
import { createRunsTree, type RunItem } from './views/runs-tree.js';

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel('Bitwright', { log: true });
  context.subscriptions.push(log);
  const server = createServer(context, log);
  const recipe = watchActiveRecipe();
  const inspector = createTensorInspector(context, log);
  const add = (addition: Addition): Promise<void> => addToRecipe(server, recipe.document, addition);
  const model = createModelTree(context, server, recipe);
  const runs = createRunsTree(commands.openReport);
  context.subscriptions.push(
    recipe,
    inspector,
    model,
    runs,
    registerModelFileEditor({ context, log, recipe, inspector, add }),
    registerLayerDrop(server),
    registerTasks(context),
    registerLanguageModelTools(context),
  );
  const status = createRunStatus();
  const reports = createReportPanels(context, log);
  const proposals = createProposals();
  const sensitivity = createSensitivityPanels({ context, server, proposals, log });
  const comparisons = createComparisonPanels(context, log);
  const preview = createPlanPreview();
  const page = createRunPage(context, log);
  const controller = createRunController({ context, server, status, reports, sensitivity, page, log });
  const register = (id: string, run: (...args: never[]) => unknown): vscode.Disposable => vscode.commands.registerCommand(id, run);
  context.subscriptions.push(
    server,
    status,
    reports,
    sensitivity,
    proposals,
    comparisons,
    preview,
    page,
    controller,
    registerGateTests(controller),
    register(commands.newRecipe, () => newRecipe()),
    register(commands.quantize, (uri?: vscode.Uri | string) => quantize(controller, uri)),
    register(commands.cancelRun, () => controller.cancel()),
    register(commands.showPlan, (uri?: vscode.Uri | string) => showPlan(controller, preview, uri)),
    register(commands.openReport, (folder?: vscode.Uri | string) => openReport(controller, reports, folder)),
    register(commands.analyze, (uri?: vscode.Uri | string) => analyze(controller, uri)),
    register(commands.openSensitivity, (uri?: vscode.Uri | string) => openSensitivity(controller, sensitivity, uri)),
    register(commands.compareRuns, (item?: RunItem, all?: RunItem[]) => compareRuns(comparisons, runs.chosen(item, all))),
    register(commands.applyProposal, () => proposals.decide(true)),
    register(commands.discardProposal, () => proposals.decide(false)),
    register(commands.restartWorker, () => controller.restartWorker()),
    register(commands.showLog, () => log.show()),
    register(commands.openModel, (uri?: vscode.Uri) => model.open(uri)),
    register(commands.closeModel, (item: ModelItem) => model.close(item)),
    register(commands.openModelFile, (item: ModelItem) => model.openFile(item)),
    register(commands.filterModel, () => model.filter()),
    register(commands.clearModelFilter, () => model.clearFilter()),
    register(commands.addToTargets, (item?: ModelItem, all?: ModelItem[]) => add({ names: model.namesOf(item, all), to: 'targets' })),
    register(commands.addToIgnore, (item?: ModelItem, all?: ModelItem[]) => add({ names: model.namesOf(item, all), to: 'ignore' })),
    register(commands.refreshRuns, () => runs.refresh()),
    register(commands.revealRun, (item?: RunItem) => runs.reveal(item)),
    register(commands.verifyRun, (item?: RunItem) => verifyRunOf(controller, log, runs.chosen(item)[0])),
    register(commands.showRun, () => page.open()),
    register(commands.deleteRun, (item?: RunItem) => runs.remove(item)),
    register(commands.continueRun, (item?: RunItem) => {
      const run = runs.interrupted(item);
      return run === null ? undefined : continueRun(controller, run);
    }),
  );
  if (vscode.workspace.isTrusted)
    offerToContinue(context, controller).catch((error: unknown) => log.error(`Interrupted runs cannot be listed: ${String(error)}`));
}
