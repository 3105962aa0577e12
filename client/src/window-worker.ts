// The one worker process of this window: started when a run first needs it, and again after it has ended.
import * as vscode from 'vscode';
import type { RunEvent } from '../../schemas/src/run-event.js';
import { threadsSetting } from './settings.js';
import type { WorkerHost } from './worker-host.js';

export interface WindowWorker {
  ensureWorker(): Promise<WorkerHost>;
  /** Ends it; the next run starts a fresh one. */
  restartWorker(): Promise<void>;
  killWorker(): void;
}

export function windowWorker(
  context: vscode.ExtensionContext,
  log: vscode.LogOutputChannel,
  onEvent: (event: RunEvent) => void,
): WindowWorker {
  let worker: WorkerHost | null = null;
  return {
    async ensureWorker() {
      if (worker !== null) return worker;
      const { startWorker } = await import('./worker-host.js');
      worker = await startWorker({
        workerPath: context.asAbsolutePath('dist/worker/main.js'),
        execPath: process.execPath,
        env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
        host: `VS Code ${vscode.version}`,
        threads: threadsSetting(),
        onEvent,
        onLog: (line) => log.info(`worker: ${line}`),
        onExit: ({ failure }) => {
          worker = null;
          if (failure !== null) log.error(failure.message);
        },
      });
      log.info(`Worker ${worker.initialized.version} started, process ${worker.pid}`);
      return worker;
    },
    async restartWorker() {
      await worker?.dispose();
      worker = null;
      log.info('The worker was ended; the next run starts a fresh one.');
    },
    killWorker: () => worker?.kill(),
  };
}
