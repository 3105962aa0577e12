// Looks into single tensors with a worker of its own, so that a run is neither waited for nor held up; the process ends when nothing was asked of it for a while.
import * as vscode from 'vscode';
import type { ModelDescription } from '../../schemas/src/generated/plan.js';
import type { InspectTensorResult, TensorChannel } from '../../schemas/src/protocol/client-worker.js';
import { RunFailureError } from '../../schemas/src/run-failure.js';
import { threadsSetting } from './settings.js';
import type { WorkerHost } from './worker-host.js';

const idleMilliseconds = 60_000;

export interface TensorInspector extends vscode.Disposable {
  inspect(model: ModelDescription, name: string, channel: TensorChannel | null): Promise<InspectTensorResult>;
}

export function createTensorInspector(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): TensorInspector {
  let worker: Promise<WorkerHost> | null = null;
  let timer: NodeJS.Timeout | undefined;
  let n_asked = 0;

  const end = (): void => {
    clearTimeout(timer);
    const ended = worker;
    worker = null;
    ended?.then((host) => host.dispose()).catch((error: unknown) => log.error(`The worker did not end in order: ${String(error)}`));
  };
  const start = async (): Promise<WorkerHost> => {
    const { startWorker } = await import('./worker-host.js');
    return startWorker({
      workerPath: context.asAbsolutePath('dist/worker/main.js'),
      execPath: process.execPath,
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
      host: `VS Code ${vscode.version}`,
      threads: threadsSetting(),
      onEvent: () => undefined,
      onLog: (line) => log.info(`worker: ${line}`),
      onExit: ({ failure }) => {
        worker = null;
        if (failure !== null) log.error(failure.message);
      },
    });
  };
  const started = (): Promise<WorkerHost> => (worker ??= start());
  return {
    async inspect(model, name, channel) {
      clearTimeout(timer);
      n_asked += 1;
      try {
        return await (await started()).inspectTensor({ model, name, ...(channel === null ? {} : { channel }) });
      } catch (error) {
        // What has not started is started anew for the next tensor.
        worker = null;
        if (error instanceof RunFailureError) return { failure: error.failure };
        throw error;
      } finally {
        n_asked -= 1;
        if (n_asked === 0) timer = setTimeout(end, idleMilliseconds);
      }
    },
    dispose: end,
  };
}
