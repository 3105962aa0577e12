// The terms in which memory is estimated: what is known of a run, and blocks of the allocator. The letters are those of estimate-memory.ts.
import type { LayerPlan, ModelDescription, TransformPlan } from '../../../schemas/src/generated/plan.js';
import { groupBy } from '../../../schemas/src/group-by.js';
import { sizeOfDtype } from './estimate-size.js';

export interface MemoryStage {
  /** Completes "while …". */
  name: string;
  bytes: number;
}

export interface RowsEstimate {
  samples: number;
  /** Per row, at most. */
  tokens: number;
  /** Of all rows, at most. */
  totalTokens: number;
  /** What a run that lacks memory makes of them: one row at a time, and that in pieces, hidden states in files, few logits. Absent: no. */
  isLeast?: boolean;
}

/** Questions that are answered token by token. */
export interface GenerationEstimate {
  questions: number;
  /** Of a prompt and its answer, at most. */
  tokens: number;
}

export interface MemoryInput {
  model: ModelDescription;
  layers: readonly LayerPlan[];
  calibration: RowsEstimate | null;
  evaluation: RowsEstimate | null;
  /** Absent: nothing is generated. */
  generation?: GenerationEstimate | null;
  /** Absent: none. */
  canary?: RowsEstimate | null;
  transforms: readonly TransformPlan[];
  /** Names of the layers that are pruned; absent: none. */
  pruned?: ReadonlySet<string>;
  /** Bytes that the run may use; hidden states beyond 40 % of it go to files. On a CUDA device 0: they get what is left, or lie on the host. */
  memoryLimit: number;
  /** Absent: the CPU's. */
  onCuda?: boolean;
  storedBytes(layer: LayerPlan): number;
}

/** Freed blocks of this size go back to the system. Smaller ones are kept, and others are taken while they lie idle: about twice as much, measured. */
const returnedBlock = 32 * 2 ** 20;
const keptFactor = 2;

/** As in the worker's token-batches.ts, and in worker/native/core/split-bf16.h: rows that are split at a time. */
export const batchTokens = 4096;

/** `count` tensors of one size that come and go, with what the allocator keeps of them. */
export const blocks = (count: number, bytes: number): number => count * bytes * (bytes < returnedBlock ? keptFactor : 1);

export const elements = ({ rows, columns }: LayerPlan): number => rows * columns;

export const sizeOf = (layer: LayerPlan): number => sizeOfDtype(layer.dtype);

export const batchOf = ({ tokens, totalTokens, isLeast }: RowsEstimate): number =>
  Math.min(totalTokens, isLeast ? tokens : Math.max(batchTokens, tokens));

/** What the worker finishes as one: the layers of a block, and every layer outside of the blocks by itself. */
export function unitsOf(changed: readonly LayerPlan[]): LayerPlan[][] {
  return [...blocksOf(changed), ...changed.filter((layer) => layer.block === null).map((layer) => [layer])];
}

/** The layers of each block. */
export const blocksOf = (layers: readonly LayerPlan[]): LayerPlan[][] => [...groupBy(layers, ({ block }) => block).values()];

/** 0 for none; a model may have more units than a call has room for arguments. */
export const largestOf = <Item>(items: readonly Item[], bytes: (item: Item) => number): number =>
  items.reduce((most, item) => Math.max(most, bytes(item)), 0);
