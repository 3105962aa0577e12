// Continue Run: a run that was interrupted goes on after the last block that was finished, by running its recipe again. It is offered once when the workspace is opened again.
import path from 'node:path';
import * as vscode from 'vscode';
import { RUNNING_FILE } from '../../../schemas/src/unfinished-run.js';
import type { RunController } from '../run-controller.js';
import { interruptedRun, isSameRecipe, readUnfinishedRun, UNFINISHED_GLOB, type UnfinishedRun } from '../unfinished-runs.js';

export async function continueRun(controller: RunController, known: UnfinishedRun): Promise<void> {
  // What was offered may have been taken up elsewhere since.
  const run = await readUnfinishedRun(path.join(known.dir, RUNNING_FILE));
  if (run === null || run.isRunning) {
    void vscode.window.showInformationMessage(
      run === null
        ? vscode.l10n.t('The run {0} has ended meanwhile.', known.name)
        : vscode.l10n.t('The run {0} is being continued already.', known.name),
    );
    return;
  }
  if (run.recipe === null) {
    void vscode.window.showErrorMessage(
      vscode.l10n.t(
        'The run {0} was made from a recipe that was not saved, so it cannot be continued from here. Delete it, or run the same recipe into the same folder.',
        run.name,
      ),
    );
    return;
  }
  const recipe = vscode.Uri.file(run.recipe);
  let document: vscode.TextDocument;
  try {
    document = await vscode.workspace.openTextDocument(recipe);
  } catch {
    void vscode.window.showErrorMessage(
      vscode.l10n.t(
        'The recipe of the run {0} cannot be opened: {1}. Put it back there, or delete the run.',
        run.name,
        vscode.workspace.asRelativePath(recipe),
      ),
    );
    return;
  }
  if (!isSameRecipe(run, document.getText()) && !(await isSureOfChange(run, document))) return;
  await controller.start(document);
}

async function isSureOfChange(run: UnfinishedRun, document: vscode.TextDocument): Promise<boolean> {
  const again = vscode.l10n.t('Run It as It Is');
  const detail = vscode.l10n.t(
    'What is finished ({0} of {1} parts) is only taken over where the recipe, the model and the calibration rows ask for the same weights. Undo the change of the recipe to be sure.',
    run.n_finished,
    run.n_units,
  );
  const question = vscode.l10n.t('{0} was changed after the run {1} began.', vscode.workspace.asRelativePath(document.uri), run.name);
  return (await vscode.window.showWarningMessage(question, { modal: true, detail }, again)) === again;
}

const toldKey = 'toldInterruptedRuns';

/** Tells once of each run that was interrupted, as by a reload of this window; one whose process still ends, when it has. */
export async function offerToContinue(context: vscode.ExtensionContext, controller: RunController): Promise<void> {
  const files = await vscode.workspace.findFiles(UNFINISHED_GLOB, '**/node_modules/**', 100);
  const found = (await Promise.all(files.map(({ fsPath }) => readUnfinishedRun(fsPath)))).filter((run) => run !== null);
  const told = context.workspaceState.get<string[]>(toldKey, []);
  const known = new Set(told.filter((id) => found.some(({ run_id }) => run_id === id)));
  await Promise.all(
    found.map(async (run) => {
      const interrupted = await interruptedRun(run);
      if (interrupted === null || known.has(run.run_id)) return;
      known.add(run.run_id);
      await context.workspaceState.update(toldKey, [...known]);
      void offer(controller, interrupted);
    }),
  );
}

async function offer(controller: RunController, run: UnfinishedRun): Promise<void> {
  const action = vscode.l10n.t('Continue Run');
  const text = vscode.l10n.t(
    'The run of {0} was interrupted: {1} of {2} parts are finished and kept.',
    run.recipe === null ? run.name : path.basename(run.recipe),
    run.n_finished,
    run.n_units,
  );
  if ((await vscode.window.showWarningMessage(text, action)) === action) await continueRun(controller, run);
}
