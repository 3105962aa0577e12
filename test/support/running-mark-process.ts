// A process that marks a run folder at every message from its parent, and answers whether it may run there.
import { RunFailureError } from '../../schemas/src/run-failure.js';
import { markRunning } from '../../worker/src/jobs/running-mark.js';
import type { RunContext } from '../../worker/src/run-context.js';

process.on('message', (runDir: string) => {
  const context = { given: { recipe: { path: null, text: '' } }, runDir, runId: `run-${process.pid}`, startedAt: new Date() };
  void markRunning(context as unknown as RunContext, 1).then(
    () => process.send?.('runs'),
    (error: unknown) => process.send?.(error instanceof RunFailureError ? error.failure.code : String(error)),
  );
});
