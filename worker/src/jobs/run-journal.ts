// The run folder's memory: what is finished, so that a killed run continues where it was and ends with the same bytes.
//
//   run.json         which work this folder belongs to (a hash of what the plan says, and the state of the model's files)
//   journal.jsonl    one line per finished unit: its shard, the shard's hash, its metrics and problems
//   canary.json      what the canary has measured behind them
//   blocks/NNN.*     the shards and the sidecar arrays of the units
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import type { ModelTensor, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { LayerMetrics, RunProblem, TransformMetrics } from '../../../schemas/src/generated/report.js';
import { makeFolder, writeFailure, writeTextDurably } from '../checkpoint/durable-file.js';
import { appendToJournal, readJournal, rewriteJournal } from '../checkpoint/journal-file.js';
import { changedFile, stateOfModel, type ModelState } from './model-state.js';

export interface FinishedUnit {
  unit: number;
  /** File in the run folder and the tensors in it; null when the unit changed nothing. */
  shard: { file: string; sha256: string; tensors: ModelTensor[] } | null;
  layers: LayerMetrics[];
  transforms: TransformMetrics[];
  problems: RunProblem[];
}

interface RunIdentity {
  run_version: 2;
  work: string;
  model: ModelState;
  /** Which devices its rows were spread over. */
  device: string;
  bitwright_version: string;
}

/** What finished blocks were left behind for, where the recipe did not change. */
export interface BegunAnew {
  n_finished: number;
  /** Completes "because …". */
  reason: string;
}

/** SHA-256 over what of the plan decides the bytes of the shards. Threads, memory, evaluation and the place of the output do not. */
export function hashOfWork(plan: QuantizationPlan, device: string, version: string): string {
  const { plan_version, model, layers, transforms, pruning, calibration, seed } = plan;
  const { dir: _dir, ...facts } = model;
  return createHash('sha256')
    .update(JSON.stringify({ plan_version, facts, layers, transforms, pruning, calibration, seed, device, version }))
    .digest('hex');
}

const journalIn = (dir: string): string => path.join(dir, 'journal.jsonl');

export class RunJournal {
  private constructor(
    readonly dir: string,
    readonly finished: FinishedUnit[],
    /** Null where nothing was lost, or where the recipe asks for other work. */
    readonly begunAnew: BegunAnew | null,
  ) {}

  /** Continues the folder when it holds the same work, else begins it anew. */
  static async open(dir: string, plan: QuantizationPlan, device: string, version: string): Promise<RunJournal> {
    const now: RunIdentity = {
      run_version: 2,
      work: hashOfWork(plan, device, version),
      model: await stateOfModel(plan.model),
      device,
      bitwright_version: version,
    };
    try {
      await makeFolder(path.join(dir, 'blocks'));
    } catch (error) {
      throw writeFailure(dir, error, 'a folder');
    }
    const known = await readIdentity(dir);
    const reasons = known && whyAnew(known, now, plan);
    const finished = reasons === null ? [] : await verifyUnits(dir);
    if (reasons?.length === 0 && finished.length > 0) {
      await rewriteJournal(journalIn(dir), finished);
      return new RunJournal(dir, finished, null);
    }
    for (const name of ['journal.jsonl', 'canary.json', 'report.json', 'lock.json', 'blocks', 'checkpoint', 'rotated'])
      await rm(path.join(dir, name), { recursive: true, force: true });
    await makeFolder(path.join(dir, 'blocks'));
    await writeTextDurably(path.join(dir, 'run.json'), `${JSON.stringify(now, null, 2)}\n`);
    return new RunJournal(dir, [], reasons && finished.length > 0 ? { n_finished: finished.length, reason: reasons.join(', and ') } : null);
  }

  /** The unit counts as finished when its line is on the disk. */
  async append(unit: FinishedUnit): Promise<void> {
    await appendToJournal(journalIn(this.dir), unit);
    this.finished.push(unit);
  }

  /** After the checkpoint stands: the shards are copies of what it holds, and the next run begins anew. */
  async close(): Promise<void> {
    for (const name of ['journal.jsonl', 'canary.json']) await rm(path.join(this.dir, name), { force: true });
    for (const { shard } of this.finished) if (shard) await rm(path.join(this.dir, shard.file), { force: true });
  }
}

/** What stands in the way of what is finished, where the recipe asks for the same; null where it asks for other work. */
function whyAnew(known: RunIdentity, now: RunIdentity, plan: QuantizationPlan): string[] | null {
  if (hashOfWork(plan, known.device, known.bitwright_version) !== known.work) return null;
  const changed = changedFile(known.model, now.model);
  return [
    ...(known.device === now.device
      ? []
      : [`they were computed on ${known.device}, and this run works on ${now.device}, which adds up its sums in another order`]),
    ...(known.bitwright_version === now.bitwright_version
      ? []
      : [`they were computed by Bitwright ${known.bitwright_version}, and this is ${now.bitwright_version}`]),
    ...(changed === null ? [] : [`they were not computed from ${changed} as it is now`]),
  ];
}

async function readIdentity(dir: string): Promise<RunIdentity | null> {
  try {
    const identity = JSON.parse(await readFile(path.join(dir, 'run.json'), 'utf8')) as RunIdentity | null;
    return identity?.run_version === 2 ? identity : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** The units whose shards are whole, up to the first that is not. */
async function verifyUnits(dir: string): Promise<FinishedUnit[]> {
  const whole: FinishedUnit[] = [];
  for (const [index, unit] of (await readJournal<FinishedUnit>(journalIn(dir))).entries()) {
    if (unit.unit !== index || (unit.shard && (await hashOfFile(path.join(dir, unit.shard.file))) !== unit.shard.sha256)) break;
    whole.push(unit);
  }
  return whole;
}

async function hashOfFile(file: string): Promise<string | null> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(file)) hash.update(chunk as Uint8Array);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return hash.digest('hex');
}
