// The one owner of the current run: plan → worker → events → views. Everything that starts, cancels or watches a run goes through it.
import * as vscode from 'vscode';
import type { RunLock } from '../../schemas/src/generated/lock.js';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import type { EvaluateProgressParams } from '../../schemas/src/protocol/client-worker.js';
import type { RunEvent, RunFailure } from '../../schemas/src/run-event.js';
import { RunFailureError } from '../../schemas/src/run-failure.js';
import { askMeasures } from './commands/ask-measures.js';
import { commands, contextKeys } from './manifest.js';
import { planOfRecipe, type WantedPlan } from './plan-of-recipe.js';
import { keepLastReport } from './report-history.js';
import { runMessages, showBusy, showNotOnDisk, showUntrusted, type RunAgain } from './run-messages.js';
import type { ServerClient } from './server-client.js';
import { maxDeviceMemorySetting } from './settings.js';
import type { ReportPanels } from './views/report-panel.js';
import type { SensitivityPanels } from './views/sensitivity-panel.js';
import type { RunPage } from './views/run-page.js';
import type { RunStatus } from './views/run-status.js';
import { verifyRun, type RunEnded, type Verdict } from './verify-run.js';
import { windowWorker } from './window-worker.js';
import type { WorkerHost } from './worker-host.js';

export interface RunController extends vscode.Disposable {
  /** The plan of an open recipe, or null after its problems were shown. */
  planOf(document: vscode.TextDocument, wanted?: WantedPlan): Promise<QuantizationPlan | null>;
  start(document: vscode.TextDocument): Promise<void>;
  /** The same, and how it ended; null where it did not begin. */
  runToEnd(document: vscode.TextDocument): Promise<RunEnded | null>;
  /** Does a run again from its lock; null where it could not be, which was said. */
  verify(lock: RunLock, name: string): Promise<Verdict | null>;
  /** Measures how sensitive each layer is, and shows it; an interrupted analysis continues. */
  analyze(document: vscode.TextDocument): Promise<void>;
  /** Resolves when the device is idle and the journal is written. */
  cancel(): Promise<void>;
  /** Ends the worker; the next run starts a fresh one. */
  restartWorker(): Promise<void>;
  /** Report folder of the last finished run of this window. */
  readonly lastReport: string | null;
}

interface ActiveRun extends RunAgain {
  cancelled: boolean;
  /** Takes the end of the run in place of the messages and pages of this window. */
  followEnd?: (event: RunEnded) => void;
  /** Hears of the end beside them. */
  hearEnd?: (event: RunEnded) => void;
  /** null until there is something to cancel. */
  cancel: (() => Promise<void>) | null;
}

const analyzedBits = [2, 3, 4, 8];

export interface RunControllerParts {
  context: vscode.ExtensionContext;
  server: ServerClient;
  status: RunStatus;
  reports: ReportPanels;
  sensitivity: SensitivityPanels;
  page: RunPage;
  log: vscode.LogOutputChannel;
}

const failureOf = (error: unknown): RunFailure =>
  error instanceof RunFailureError ? error.failure : { code: 'unexpected', message: String(error), place: null };

export function createRunController({ context, server, status, reports, sensitivity, page, log }: RunControllerParts): RunController {
  const { ensureWorker, restartWorker, killWorker } = windowWorker(context, log, onEvent);
  const { showCompleted, showCancelled, showFailure } = runMessages(log);
  const planOf: RunController['planOf'] = (document, wanted) => planOfRecipe(server, document, wanted);
  let active: ActiveRun | null = null;
  let lastReport: string | null = null;

  const setActive = (run: ActiveRun | null): void => {
    active = run;
    void vscode.commands.executeCommand('setContext', contextKeys.runActive, run !== null);
    if (run !== null) return;
    status.ended();
    listRunsAgain();
  };

  /** A worker that was killed leaves nothing new that the list would hear of, and not every disk tells of changes. */
  const listRunsAgain = (): void => void vscode.commands.executeCommand(commands.refreshRuns);

  function onEvent(event: RunEvent): void {
    status.show(event);
    if (event.kind === 'run-began') listRunsAgain();
    if (active?.followEnd === undefined) page.follow(event);
    if (event.kind === 'problem') log.warn(`${event.problem.code}: ${event.problem.message}`);
    if (event.kind === 'layer-finished')
      log.debug(`${event.layer.name} finished, relative output error ${event.layer.relative_output_error?.toExponential(2) ?? 'unknown'}`);
    if (event.kind !== 'run-ended') return;
    log.info(`Run ${event.run_id} ${event.outcome}`);
    const run = active;
    if (run?.followEnd !== undefined) return run.followEnd(event);
    setActive(null);
    run?.hearEnd?.(event);
    if (event.outcome === 'failed') void showFailure(event.failure, run);
    else if (event.outcome === 'cancelled') void showCancelled(run);
    else if (event.report_dir !== null) {
      lastReport = event.report_dir;
      void reports.open(event.report_dir).then(() => showCompleted(event.output_dir));
    }
  }

  /** Starts a run, which `cancel` then ends; why it did not begin, else null. */
  async function beginRun(host: WorkerHost, plan: QuantizationPlan, run: ActiveRun): Promise<RunFailure | null> {
    const answer = await host.run(plan);
    if ('failure' in answer) return answer.failure;
    run.cancel = () => host.cancel(answer.run_id);
    if (run.cancelled) await run.cancel();
    return null;
  }

  async function quantize(saved: vscode.TextDocument, run: ActiveRun): Promise<void> {
    const plan = await planOf(saved);
    if (plan === null) return setActive(null);
    status.begin('quantize', vscode.l10n.t('Quantizing {0}', vscode.workspace.asRelativePath(saved.uri)), () => void this_.cancel());
    const host = await ensureWorker();
    await keepLastReport(plan.output.dir);
    page.begin(plan, saved.uri);
    const failure = await beginRun(
      host,
      { ...plan, max_device_memory_bytes: plan.max_device_memory_bytes ?? maxDeviceMemorySetting() },
      run,
    );
    if (failure === null) return;
    setActive(null);
    void showFailure(failure, run);
  }

  async function verify(lock: RunLock, name: string): Promise<Verdict | null> {
    if (!vscode.workspace.isTrusted) {
      await showUntrusted();
      return null;
    }
    if (active !== null) {
      showBusy();
      return null;
    }
    const run: ActiveRun = { command: commands.quantize, recipe: vscode.Uri.file(name), cancelled: false, cancel: null };
    setActive(run);
    status.begin('verify', vscode.l10n.t('Running {0} again', name), () => void this_.cancel());
    try {
      const host = await ensureWorker();
      const follow = async (plan: QuantizationPlan): Promise<RunEnded> => {
        const ended = new Promise<RunEnded>((resolve) => (run.followEnd = resolve));
        const failure = await beginRun(host, plan, run);
        if (failure !== null) throw new RunFailureError(failure);
        return ended;
      };
      const answer = await verifyRun({ worker: host, lock, follow, onStep: () => undefined });
      if ('verdict' in answer) return answer.verdict;
      if ('failure' in answer) await showFailure(answer.failure, null);
      else void vscode.window.showInformationMessage(vscode.l10n.t('Cancelled. Nothing was compared.'));
      return null;
    } catch (error) {
      await showFailure(failureOf(error), null);
      return null;
    } finally {
      setActive(null);
    }
  }

  const this_: RunController = {
    get lastReport() {
      return lastReport;
    },
    planOf,
    start: (document) => conduct(document, commands.quantize, quantize),
    runToEnd: (document) =>
      new Promise((resolve, reject) => {
        const begin = async (saved: vscode.TextDocument, run: ActiveRun): Promise<void> => {
          run.hearEnd = resolve;
          await quantize(saved, run);
        };
        // What ended before it began has no end to hear of.
        conduct(document, commands.quantize, begin).then(() => active?.hearEnd === resolve || resolve(null), reject);
      }),
    verify,
    analyze: (document) =>
      conduct(document, commands.analyze, async (saved, run) => {
        const plan = await planOf(saved);
        const asked = plan && (await askMeasures(plan, analyzedBits));
        if (plan === null || asked === null) return setActive(null);
        const abort = new AbortController();
        run.cancel = () => Promise.resolve(abort.abort());
        status.begin('analyze', vscode.l10n.t('Analyzing {0}', vscode.workspace.asRelativePath(saved.uri)), () => void this_.cancel());
        const host = await ensureWorker();
        if (run.cancelled) abort.abort();
        // What is told before the work begins is shown; what comes up on the way stands in the log.
        let hasBegun = false;
        const onProgress = ({ fraction, message, problem }: EvaluateProgressParams): void => {
          if (problem === undefined) {
            hasBegun = true;
            return status.progress(fraction, message, null);
          }
          log.warn(`${problem.code}: ${problem.message}`);
          if (!hasBegun) void vscode.window.showWarningMessage(problem.message);
        };
        const answer = await host.analyze(
          {
            plan: { ...plan, max_device_memory_bytes: plan.max_device_memory_bytes ?? maxDeviceMemorySetting() },
            bits: [...analyzedBits],
            ...asked,
            keep_weights: false,
          },
          { signal: abort.signal, onProgress },
        );
        setActive(null);
        if ('cancelled' in answer) return void showCancelled(run);
        if ('failure' in answer) return void showFailure(answer.failure, run);
        await sensitivity.open({ folder: answer.dir, recipe: saved.uri.toString() });
      }),
    async cancel() {
      if (active === null) {
        void vscode.window.showInformationMessage(vscode.l10n.t('No run is active.'));
        return;
      }
      active.cancelled = true;
      const asked = active.cancel?.();
      status.cancelling();
      await asked;
    },
    restartWorker,
    dispose: killWorker,
  };
  return this_;

  /** From here the window has one active run, until it ends or `begin` fails. */
  async function conduct(
    document: vscode.TextDocument,
    command: ActiveRun['command'],
    begin: (saved: vscode.TextDocument, run: ActiveRun) => Promise<void>,
  ): Promise<void> {
    if (!vscode.workspace.isTrusted) return void showUntrusted();
    if (document.uri.scheme !== 'file' && !document.isUntitled) return showNotOnDisk(document);
    if (active !== null) return showBusy();
    const uri = await saveRecipe(document);
    // The user has cancelled the dialog, or the disk refused; VS Code says so.
    if (uri === undefined) return;
    const saved = await vscode.workspace.openTextDocument(uri);
    const run: ActiveRun = { command, recipe: saved.uri, cancelled: false, cancel: null };
    setActive(run);
    try {
      await begin(saved, run);
    } catch (error) {
      setActive(null);
      await showFailure(failureOf(error), run);
    }
  }
}

/** workspace.save knows what stands in an editor alone, and a recipe chosen from a list or in the Explorer may stand in none. */
async function saveRecipe(document: vscode.TextDocument): Promise<vscode.Uri | undefined> {
  if (document.isUntitled) return vscode.workspace.save(document.uri);
  return !document.isDirty || (await document.save()) ? document.uri : undefined;
}
