// The gates of every recipe of the workspace in the Test Explorer: a recipe is run, or its last report is judged where nothing has changed since, and each gate holds or does not.
import path from 'node:path';
import * as vscode from 'vscode';
import type { RunReport } from '../../schemas/src/generated/report.js';
import { gateFacts, gateText } from '../../schemas/src/quality-gates.js';
import { currentReport } from './current-report.js';
import { gateLines } from './gate-lines.js';
import { RECIPE_GLOB } from './manifest.js';
import { readReportFile } from './report-history.js';
import type { RunController } from './run-controller.js';

const mostRecipes = 500;

export function registerGateTests(controller: RunController): vscode.Disposable {
  const tests = vscode.tests.createTestController('bitwrightGates', vscode.l10n.t('Bitwright Gates'));
  const watcher = vscode.workspace.createFileSystemWatcher(RECIPE_GLOB);

  const refresh = async (uri: vscode.Uri): Promise<void> => {
    const text = await readText(uri);
    const gates = text === null ? [] : gateLines(text);
    if (gates.length === 0) return tests.items.delete(uri.toString());
    const recipe = tests.createTestItem(uri.toString(), vscode.workspace.asRelativePath(uri), uri);
    // The whole file: its mark stands beside none of the gates.
    recipe.range = new vscode.Range(0, 0, 0, 0);
    recipe.children.replace(
      gates.map(({ key, limit, line, begin, end }) => {
        const gate = tests.createTestItem(`${uri.toString()}#${key}`, key, uri);
        gate.description = limit;
        gate.range = new vscode.Range(line, begin, line, end);
        return gate;
      }),
    );
    tests.items.add(recipe);
  };
  const refreshAll = async (): Promise<void> => {
    const found = await vscode.workspace.findFiles(RECIPE_GLOB, '**/node_modules/**', mostRecipes);
    const known = new Set(found.map((uri) => uri.toString()));
    tests.items.forEach(({ id }) => {
      if (!known.has(id)) tests.items.delete(id);
    });
    await Promise.all(found.map(refresh));
  };
  tests.resolveHandler = async (item) => {
    if (item === undefined) await refreshAll();
  };
  tests.refreshHandler = refreshAll;
  const runHandler =
    (mayJudge: boolean) =>
    async (request: vscode.TestRunRequest, token: vscode.CancellationToken): Promise<void> => {
      const run = tests.createTestRun(request);
      token.onCancellationRequested(() => void controller.cancel());
      for (const [recipe, gates] of chosenGates(tests, request)) {
        if (token.isCancellationRequested) break;
        gates.forEach((gate) => run.started(gate));
        try {
          await judge(controller, recipe, gates, run, mayJudge);
        } catch (error) {
          gates.forEach((gate) => run.errored(gate, new vscode.TestMessage(String(error))));
        }
      }
      run.end();
    };
  tests.createRunProfile(vscode.l10n.t('Judge, Quantize Where Needed'), vscode.TestRunProfileKind.Run, runHandler(true), true);
  tests.createRunProfile(vscode.l10n.t('Quantize Again'), vscode.TestRunProfileKind.Run, runHandler(false), false);
  return vscode.Disposable.from(tests, watcher, watcher.onDidCreate(refresh), watcher.onDidChange(refresh), watcher.onDidDelete(refresh));
}

async function readText(uri: vscode.Uri): Promise<string | null> {
  try {
    return new TextDecoder().decode(await vscode.workspace.fs.readFile(uri));
  } catch (error) {
    if (error instanceof vscode.FileSystemError) return null;
    throw error;
  }
}

/** Of each recipe the gates that are asked for. */
function chosenGates(tests: vscode.TestController, { include, exclude }: vscode.TestRunRequest): Map<vscode.TestItem, vscode.TestItem[]> {
  const chosen = new Map<vscode.TestItem, vscode.TestItem[]>();
  const add = (recipe: vscode.TestItem, gate: vscode.TestItem): void => {
    if (exclude?.includes(gate) || exclude?.includes(recipe)) return;
    const gates = chosen.get(recipe) ?? [];
    if (!gates.includes(gate)) chosen.set(recipe, [...gates, gate]);
  };
  const all: vscode.TestItem[] = [];
  tests.items.forEach((item) => all.push(item));
  for (const item of include ?? all) {
    if (item.parent !== undefined) add(item.parent, item);
    else item.children.forEach((gate) => add(item, gate));
  }
  return chosen;
}

async function judge(
  controller: RunController,
  recipe: vscode.TestItem,
  gates: readonly vscode.TestItem[],
  run: vscode.TestRun,
  mayJudge: boolean,
): Promise<void> {
  const errored = (reason: string): void => gates.forEach((gate) => run.errored(gate, new vscode.TestMessage(reason)));
  if (recipe.uri === undefined) return;
  const document = await vscode.workspace.openTextDocument(recipe.uri);
  const plan = await controller.planOf(document);
  if (plan === null) return errored(vscode.l10n.t('The recipe has no plan: its problems say why.'));
  const dir = `${plan.output.dir}.run`;
  let report = mayJudge ? await currentReport(plan, dir) : null;
  if (report === null) {
    run.appendOutput(`${vscode.l10n.t('Quantizing {0}', recipe.label)}\r\n`);
    const ended = await controller.runToEnd(document);
    if (ended === null) return errored(vscode.l10n.t('The run did not begin: another is active, or the recipe could not be saved.'));
    if (ended.outcome === 'cancelled') return gates.forEach((gate) => run.skipped(gate));
    if (ended.outcome === 'failed') return errored(ended.failure?.message ?? vscode.l10n.t('The run failed.'));
    report = await readReportFile(path.join(dir, 'report.json'));
  } else run.appendOutput(`${vscode.l10n.t('{0}: nothing has changed since its last run, whose report is judged.', recipe.label)}\r\n`);
  if (report === null) return errored(vscode.l10n.t('The run has left no report.'));
  for (const gate of gates) tell(gate, report, run);
}

function tell(gate: vscode.TestItem, report: RunReport, run: vscode.TestRun): void {
  const facts = gateFacts.find(({ key }) => key === gate.label);
  const judged = report.gates?.find((result) => result.gate === gate.label);
  if (facts === undefined || judged === undefined)
    return run.errored(gate, new vscode.TestMessage(vscode.l10n.t('The run did not measure what this gate looks at.')));
  const { limit, value, holds } = judged;
  const text = gateText({ facts, limit, value });
  run.appendOutput(`${text}\r\n`, undefined, gate);
  if (holds) return run.passed(gate, report.seconds * 1000);
  const message = new vscode.TestMessage(text);
  if (gate.uri !== undefined && gate.range !== undefined) message.location = new vscode.Location(gate.uri, gate.range);
  run.failed(gate, message, report.seconds * 1000);
}
