// A run done again from its lock, into a folder beside the checkpoint that is gone afterwards, and compared with what the lock says: bit-identical, or what differs.
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { differingEnvironment, differingInputs, differingOutputs, type LockDifference } from '../../schemas/src/compare-locks.js';
import type { RunLock } from '../../schemas/src/generated/lock.js';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import type { RunEvent, RunFailure } from '../../schemas/src/run-event.js';
import type { WorkerHost } from './worker-host.js';

export type RunEnded = Extract<RunEvent, { kind: 'run-ended' }>;

/** `again`: null where it was not run, as what goes in has changed. */
export interface Verdict {
  identical: boolean;
  differences: LockDifference[];
  again: { files: number; tensors: number; seconds: number } | null;
}

export type Verification = { verdict: Verdict } | { failure: RunFailure } | { cancelled: true };

export interface VerifyParts {
  worker: WorkerHost;
  lock: RunLock;
  /** Starts a run and follows it to its end. */
  follow(plan: QuantizationPlan): Promise<RunEnded>;
  /** undefined: as in the lock. */
  threads?: number | undefined;
  onStep(step: 'inputs' | 'run'): void;
}

/** Of a folder like `out/x.run`; in a sentence why there is none. */
export async function readLock(dir: string): Promise<{ lock: RunLock } | { reason: string }> {
  const file = path.join(dir, 'lock.json');
  try {
    return { lock: JSON.parse(await readFile(file, 'utf8')) as RunLock };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return {
        reason: `There is no ${file}: the run wrote no checkpoint, or a version of Bitwright that kept no locks made it. Quantize the recipe again to have one.`,
      };
    return { reason: `${file} cannot be read: ${(error as Error).message}. Quantize the recipe again to have a new one.` };
  }
}

export async function verifyRun({ worker, lock, follow, threads, onStep }: VerifyParts): Promise<Verification> {
  onStep('inputs');
  const answer = await worker.hashInputs({ lock });
  if ('failure' in answer) return answer;
  const changed = differingInputs(lock.inputs, answer.inputs);
  if (changed.length > 0) return { verdict: { identical: false, differences: changed, again: null } };
  onStep('run');
  const plan = lock.plan as unknown as QuantizationPlan;
  await mkdir(path.dirname(plan.output.dir), { recursive: true });
  const folder = await mkdtemp(`${plan.output.dir}.verify-`);
  try {
    const dir = path.join(folder, 'again');
    const begun = performance.now();
    // What is measured of the file and demanded of it changes none of its bytes.
    const { canary: _canary, depth: _depth, ...bytesOnly } = plan;
    const ended = await follow({
      ...bytesOnly,
      output: { ...plan.output, dir },
      evaluate: null,
      gates: null,
      ...(threads === undefined ? {} : { threads }),
    });
    if (ended.outcome === 'cancelled') return { cancelled: true };
    if (ended.failure !== null) return { failure: ended.failure };
    const seconds = (performance.now() - begun) / 1000;
    const made = await readLock(`${dir}.run`);
    if ('reason' in made) return { failure: { code: 'file-unreadable', message: made.reason, place: dir } };
    const now = made.lock;
    const outputs = differingOutputs(lock, now);
    const differences = [...differingInputs(lock.inputs, now.inputs), ...differingEnvironment(lock, now), ...outputs];
    return {
      verdict: { identical: outputs.length === 0, differences, again: { files: now.files.length, tensors: now.tensors.length, seconds } },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
