// Keeps a run alive where memory runs out: what can be given up is given up, step by step, and the work that failed is begun again. Nothing is
// lost by it but time: hidden states move to the host and to disk, batches, logits and at last sequences are taken in smaller pieces. Each step is told
// as a problem.
// Of several devices all give up the same, whichever has failed: they work on like batches, and what one lacks the next will.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import type { ActivationBudget, PlacedBytes } from '../calibration/activation-cache.js';
import { cachesOf, type CalibrationRows } from '../calibration/calibrate-block.js';
import { halveBatches } from '../calibration/halve-batches.js';
import type { SpreadRows } from '../calibration/spread-rows.js';
import { usualBatch, type TokenBatches } from '../calibration/token-batches.js';
import { freeHostMemory } from '../../../schemas/src/free-memory.js';
import { leastRows } from '../models/by-rows.js';
import type { TokenBatch } from '../models/model.js';
import type { Device } from '../tensor/tensor.js';
import { missingMemory, type MissingMemory } from './missing-memory.js';

/** What the rows of a calibration or an evaluation hold. */
export interface HeldByRows {
  tokens: TokenBatches;
  /** Get the smaller batches. */
  rows: Pick<SpreadRows, 'parts'>;
  /** Sums over these batches must be the same in every run: they are never halved. */
  keepsBatches?: boolean;
}

/** Something that is held to save time alone. */
export interface Luxury {
  /** Answers the bytes that it has let go; from then on it takes none. */
  giveUp(): number;
}

export interface GovernedWork {
  /** Completes "Memory ran out in …" and names the stage of a failure. */
  stage: string;
  /** Puts back what the failed attempt has counted and told. */
  rewind?: () => void;
  /** The work computes logits, as many at a time as `logitsAtATime` says. */
  hasLogits?: boolean;
  /** Bytes of the Hessians that the work sums in one pass of the rows; it sums them in as many passes where `oneHessianAtATime` says so. */
  hessians?: readonly number[];
  /** Of several that are held those whose batches it passes; the first where it is left out. */
  tokens?: TokenBatches;
  /** A tape writes the pass down, and knows nothing of pieces of a sequence. */
  isRecorded?: boolean;
  /** Of hidden states that every attempt lays out anew. */
  ownBudget?: ActivationBudget;
  /** No batches are cut for it, so that what the run computes otherwise stays the same to the bit. */
  sparesBatches?: boolean;
}

/** Logits in memory at a time: 64 MiB. */
export const manyLogits = 1 << 24;
/** Below this many the head is no longer what needs the memory. */
const fewLogits = 1 << 16;

export class MemoryGovernor {
  logitsAtATime = manyLogits;
  /** Tokens of a batch, about. */
  batchTokens = usualBatch;
  luxury: Luxury | null = null;
  oneHessianAtATime = false;
  /** Rows of a sequence that pass through a block at a time, where they need no others. */
  private rowsAtATime = Infinity;
  private held: readonly HeldByRows[] = [];
  private keepsOnDevice = true;

  /** `tell` gets a problem for every step. */
  constructor(
    private readonly devices: readonly Device[],
    private readonly tell: (problem: RunProblem) => void,
  ) {}

  /** Until the answer is disposed, what the rows hold may be given up. Rows of two models on the same tokens keep the same batches. */
  hold(held: HeldByRows): Disposable {
    if (!this.keepsOnDevice) for (const cache of held.rows.parts.flatMap(cachesOf)) cache.budget.device = 0;
    this.held = [...this.held, held];
    this.cut(held);
    return { [Symbol.dispose]: () => (this.held = this.held.filter((other) => other !== held)) };
  }

  /** The work's answer, after as many attempts as it takes; throws memory-too-small when there is nothing left to give up. */
  async survive<T>(work: GovernedWork, attempt: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        const missing = missingMemory(error);
        if (missing === null) throw error;
        // What failed behind the first failure failed because of it, and is done again.
        await this.idle();
        for (const cache of this.parts.flatMap(cachesOf)) cache.rollBack();
        work.rewind?.();
        const step = await this.giveUp(missing, work);
        if (step === null) throw runFailure.memoryTooSmall(bytesText(missing.bytes), this.roomText(missing), work.stage, this.advice());
        this.tell(this.problemOf(work.stage, missing, step));
      }
    }
  }

  /** What was done, as a sentence; null when nothing is left. */
  private async giveUp(
    missing: MissingMemory,
    { hasLogits = false, hessians = [], sparesBatches = false, tokens, isRecorded = false, ownBudget }: GovernedWork,
  ): Promise<string | null> {
    const { parts } = this;
    if (missing.where === 'host') {
      // The budget said that there was room, and there is none: what comes now goes to disk.
      if (parts.length === 0) return null;
      if (ownBudget) ownBudget.host = 0;
      for (const cache of parts.flatMap(cachesOf)) cache.budget.host = cache.bytes.host;
      return 'No more hidden states go to pinned memory of the host; they go to files.';
    }
    const dropped = this.luxury?.giveUp() ?? 0;
    if (dropped > 0) return `The weights of the next block (${bytesText(dropped)}) are no longer loaded ahead.`;
    if (parts.flatMap(cachesOf).some((cache) => cache.bytes.device > 0)) {
      this.keepsOnDevice = false;
      const moved = { device: 0, host: 0, disk: 0 };
      for (const cache of parts.flatMap(cachesOf)) {
        cache.budget.device = 0;
        const { host, disk } = await cache.moveOut();
        moved.host += host;
        moved.disk += disk;
      }
      return movedText(moved);
    }
    if (ownBudget && ownBudget.device > 0) {
      ownBudget.device = 0;
      return `Hidden states between blocks now go to ${ownBudget.host > 0 ? 'pinned memory of the host, and what has no room there to ' : ''}files.`;
    }
    if (hasLogits && this.logitsAtATime > fewLogits) {
      this.logitsAtATime /= 4;
      return `Logits are computed ${bytesText(4 * this.logitsAtATime)} at a time.`;
    }
    // Before batches: more passes change no bit of a result, and smaller batches are no help to what quantizes.
    if (hessians.length > 1 && !this.oneHessianAtATime) return this.passOften(hessians);
    const halved = sparesBatches ? null : await this.halve(tokens);
    return halved ?? (isRecorded ? null : this.passInPieces(sparesBatches));
  }

  private passOften(hessians: readonly number[]): string {
    this.oneHessianAtATime = true;
    return `Hessians are summed one at a time, in ${hessians.length} passes of the rows through a block: ${bytesText(Math.max(...hessians))} at most in place of ${bytesText(sumOf(hessians))}.`;
  }

  private async halve(wanted?: TokenBatches): Promise<string | null> {
    const first = this.held.find(({ keepsBatches = false, tokens }) => !keepsBatches && tokens === (wanted ?? tokens));
    if (first === undefined) return null;
    const { tokens, rows } = first;
    // All pass the same batches: what lies in each cache is cut where they are.
    const alike = this.held.filter((other) => other.tokens === tokens).map((other) => other.rows.parts);
    let isHalved = false;
    for (const [index, { batches, device }] of rows.parts.entries()) {
      const halved = halveBatches(batches, device);
      if (halved === null) continue;
      for (const part of alike.flatMap((parts) => parts[index] ?? [])) {
        for (const cache of cachesOf(part)) cache.split(halved.parts);
        part.batches = halved.batches;
      }
      isHalved = true;
    }
    if (!isHalved) return null;
    const batches = rows.parts.flatMap((part) => part.batches);
    tokens.batches = batches;
    await this.idle();
    this.batchTokens = batches.reduce((tokens, batch) => Math.max(tokens, batch.nTokens), 0);
    return `The rows now pass in ${batches.length} batches of ${this.batchTokens} tokens at most; sums over them are rounded in another order, which can change the last bits of a result.`;
  }

  /** Last, as every piece reads all weights. On a processor it changes no bit, so that it may be done where batches have to stay. */
  private passInPieces(sparesBatches: boolean): string | null {
    if (sparesBatches && !this.isCpu) return null;
    const batches = this.held.flatMap((held) => (this.mayCut(held) ? held.tokens.batches.filter(isOneDocument) : []));
    const longest = batches.reduce((most, { nTokens }) => Math.max(most, nTokens), 0);
    const most = Math.min(this.rowsAtATime, longest);
    if (most < 2 * leastRows) return null;
    this.rowsAtATime = leastRows * Math.max(1, Math.floor(most / (4 * leastRows)));
    this.held.forEach((held) => this.cut(held));
    const bits = this.isCpu
      ? 'no bit of a result changes'
      : 'cuBLAS may round products of fewer rows otherwise, in the last bits of a result';
    return `Sequences now pass through a block ${this.rowsAtATime} tokens at a time, all but keys, values and what is observed; ${bits}.`;
  }

  private mayCut({ keepsBatches = false }: HeldByRows): boolean {
    return this.isCpu || !keepsBatches;
  }

  private cut(held: HeldByRows): void {
    const { rowsAtATime } = this;
    if (rowsAtATime === Infinity || !this.mayCut(held)) return;
    const { parts } = held.rows;
    for (const part of parts) part.batches = part.batches.map((batch) => (isOneDocument(batch) ? { ...batch, rowsAtATime } : batch));
    held.tokens.batches = parts.flatMap(({ batches }) => batches);
  }

  /** What a failure has left in the queues is told once, by the work that failed. */
  private async idle(): Promise<void> {
    for (const device of this.devices) await device.sync().catch(() => undefined);
  }

  private get parts(): readonly CalibrationRows[] {
    return this.held.flatMap(({ rows }) => rows.parts);
  }

  private get isCpu(): boolean {
    return this.devices[0]?.native.kind === 'cpu';
  }

  /** Of each device; 0: none. */
  private get limit(): number {
    return this.devices[0]?.native.memory().limit_bytes ?? 0;
  }

  private placeText({ where }: MissingMemory): string {
    return where === 'host' ? 'of pinned host memory' : this.isCpu ? 'of memory' : 'of device memory';
  }

  /** What was free, and who held the rest. */
  private roomText({ where, bytes, free, in_tensors, of }: MissingMemory): string {
    if (where === 'host') return 'the host pins no more';
    const left = free ?? freeHostMemory();
    const room = `${bytesText(left)} is free${left < bytes ? '' : ', though not in one block'}`;
    if (in_tensors === null || of === null) return room;
    // On a processor what else the process holds is no part of what the limit counts.
    const others = `, intermediate results and cuBLAS${this.limit > 0 ? '' : ' with other programs'} ${bytesText(of - left - in_tensors)}`;
    return `${room}: of ${bytesText(of)} tensors hold ${bytesText(in_tensors)}${this.isCpu ? '' : others}`;
  }

  private advice(): string {
    if (this.limit === 0) return 'use a machine with more memory';
    return `raise ${this.isCpu ? 'max_memory' : 'max_device_memory'}`;
  }

  private problemOf(stage: string, missing: MissingMemory, step: string): RunProblem {
    const { operation, bytes } = missing;
    return {
      code: 'memory-degraded',
      severity: 'warning',
      message: `Memory ran out in ${stage}: ${operation ?? 'the run'} wanted ${bytesText(bytes)} ${this.placeText(missing)}, and ${this.roomText(missing)}. ${step} The work was begun again; to save that time, ${this.advice()}.`,
      layer: null,
      recipe_path: null,
    };
  }
}

const isOneDocument = ({ offsets }: TokenBatch): boolean => offsets.length === 2;

const sumOf = (bytes: readonly number[]): number => bytes.reduce((sum, one) => sum + one, 0);

function movedText({ host, disk }: PlacedBytes): string {
  const places = [
    ...(host > 0 ? [`${bytesText(host)} to pinned memory of the host`] : []),
    ...(disk > 0 ? [`${bytesText(disk)} to files`] : []),
  ];
  return `Hidden states were moved: ${places.join(', ')}; those that come go the same way.`;
}
