// A worker with one run after the other, followed to its end on the terminal: progress, notes, and Ctrl-C, which cancels in order.
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { natsText } from '../../../schemas/src/canary-text.js';
import { trim } from '../../../schemas/src/number-text.js';
import type { RunEvent } from '../../../schemas/src/run-event.js';
import { RunFailureError } from '../../../schemas/src/run-failure.js';
import type { RunEnded } from '../verify-run.js';
import type { WorkerHost } from '../worker-host.js';
import { counted } from './format-text.js';
import { onInterrupt } from './interrupt.js';
import { startWorkerProcess } from './processes.js';
import type { Progress, Terminal } from './terminal.js';

export interface FollowedWorker {
  worker: WorkerHost;
  progress: Progress;
  /** The end of a run always comes: from the worker, or from the host when the worker has died. */
  follow(plan: QuantizationPlan): Promise<RunEnded>;
}

export async function withWorker<T>(terminal: Terminal, use: (worker: FollowedWorker) => Promise<T>): Promise<T> {
  const progress = terminal.progress();
  let ended: (event: RunEnded) => void = () => undefined;
  const worker = await startWorkerProcess((event) => {
    if (event.kind === 'run-ended') ended(event);
    else showEvent(event, progress);
  });
  let runId: string | null = null;
  const cancel = (): void => {
    progress.note('Cancelling; Ctrl-C again ends the worker at once.');
    if (runId !== null)
      worker.cancel(runId).catch((error: Error) => progress.note(`The run cannot be cancelled in order: ${error.message}`));
  };
  const interrupt = onInterrupt(cancel, worker.kill);
  const follow = async (plan: QuantizationPlan): Promise<RunEnded> => {
    const end = new Promise<RunEnded>((resolve) => (ended = resolve));
    const begun = await worker.run(plan);
    if ('failure' in begun) throw new RunFailureError(begun.failure);
    runId = begun.run_id;
    if (interrupt.requested) cancel();
    return await end;
  };
  try {
    return await use({ worker, progress, follow });
  } finally {
    progress.end();
    interrupt.dispose();
    await worker.dispose();
  }
}

function showEvent(event: Exclude<RunEvent, RunEnded>, progress: Progress): void {
  switch (event.kind) {
    case 'run-began': {
      const resumed = event.resumed_blocks > 0 ? `; resuming after ${counted(event.resumed_blocks, 'finished block')}` : '';
      progress.note(
        `Run ${event.run_id} on ${event.device}: ${counted(event.n_layers, 'layer')}${event.n_blocks === 0 ? '' : ` in ${counted(event.n_blocks, 'block')}`}${resumed}`,
      );
      return;
    }
    case 'progress':
      progress.update(event.fraction, event.eta_seconds, event.message);
      return;
    case 'problem':
      progress.note(`${event.problem.severity} ${event.problem.code}  ${event.problem.message}`);
      return;
    case 'canary-measured': {
      const { block, mean_kld, kld_stderr, tokens } = event.figure;
      progress.note(`Canary behind block ${block}: mean KLD ${trim(mean_kld)} ± ${natsText(kld_stderr)} on ${counted(tokens, 'token')}`);
      return;
    }
    case 'stage-began':
    case 'stage-ended':
    case 'layer-finished':
      // The progress message says the same; the report holds the numbers.
      return;
  }
}
