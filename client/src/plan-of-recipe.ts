// The plan of an open recipe, as a run or an analysis takes it; without one the window says why.
import * as vscode from 'vscode';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import type { Problem } from '../../schemas/src/problem.js';
import type { ServerClient } from './server-client.js';
import { deviceSetting } from './settings.js';

/** What is no error of a recipe and still leaves it without a plan. */
const withoutPlan: ReadonlySet<string> = new Set(['recipe-not-saved', 'model-not-resolved', 'output-dir-missing', 'calibration-missing']);

export type WantedPlan = 'plan-to-run' | 'plan-to-show';

/** null after its problems were shown. One to show is there too where this machine has too little for it, which is said. */
export async function planOfRecipe(
  server: ServerClient,
  document: vscode.TextDocument,
  wanted: WantedPlan = 'plan-to-run',
): Promise<QuantizationPlan | null> {
  const device = deviceSetting(document.uri);
  const { plan, problems } = await server.resolvePlan({
    uri: document.uri.toString(),
    text: document.getText(),
    wanted,
    ...(device === 'auto' ? {} : { overrides: { device } }),
  });
  const error = problems.find(({ severity }) => severity === 'error');
  if (plan === null) showNoPlan(problems);
  else if (error !== undefined)
    void vscode.window.showWarningMessage(vscode.l10n.t('This machine cannot run the plan. {0}', error.message));
  return plan;
}

function showNoPlan(problems: readonly Pick<Problem, 'severity' | 'code' | 'message'>[]): void {
  const errors = problems.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  const reason = problems.find(({ code }) => withoutPlan.has(code));
  const text =
    first === undefined
      ? vscode.l10n.t('There is no plan yet. {0}', reason?.message ?? vscode.l10n.t('Add model: and output: with dir to the recipe.'))
      : errors.length === 1
        ? vscode.l10n.t('An error in the recipe: {0}', first.message)
        : vscode.l10n.t('{0} errors in the recipe: {1}', errors.length, first.message);
  const show = vscode.l10n.t('Show Problems');
  void vscode.window.showErrorMessage(text, show).then((choice) => {
    if (choice === show) void vscode.commands.executeCommand('workbench.actions.view.problems');
  });
}
