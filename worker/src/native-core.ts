// The only importer of the .node file: its typed face. Every operation is enqueued by name on the in-order queue of a device.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { DeviceDescription } from '../../schemas/src/protocol/client-worker.js';

export type DType = 'F64' | 'F32' | 'F16' | 'BF16' | 'I64' | 'I32' | 'I8' | 'U8' | 'F8_E4M3' | 'I16';
export type OperationOptions = Readonly<Record<string, number | boolean | string>>;

/** An opaque handle inside the native core. */
export interface NativeHandle {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** What the .node file exports for one opened device. Shapes and options are checked at the call; failures of the work itself come out at the next read or sync. */
export interface NativeDevice {
  readonly kind: 'cpu' | 'cuda';
  readonly name: string;
  readonly threads: number;
  /** Copies `bytes` now. */
  fromBytes(dtype: DType, shape: readonly number[], bytes: Uint8Array): NativeHandle;
  /** Reads the file region when the queue reaches it. */
  fromFile(path: string, offset: number, dtype: DType, shape: readonly number[]): NativeHandle;
  /** Zero-filled. */
  zeros(dtype: DType, shape: readonly number[]): NativeHandle;
  /** Appends an operation; answers its results. `inputs` may hold null where an input is optional. */
  enqueue(operation: string, inputs: readonly (NativeHandle | null)[], options: OperationOptions): NativeHandle[];
  /** Frees the storage when the queue has passed all its uses; the handle is dead for JavaScript at once. */
  release(handle: NativeHandle): void;
  /** Resolves with a copy of the bytes after all that was enqueued before; rejects with the first failure since the last read or sync. */
  read(handle: NativeHandle): Promise<Uint8Array>;
  /** Resolves when the queue is empty; rejects like read. */
  sync(): Promise<void>;
  /** Makes running and queued operations end early; they fail with `cancelled: `. `resume` clears the flag and the queue's failure. */
  cancel(): void;
  resume(): void;
  /** A copy in pinned memory of the host, in the queue's order; an operation takes it when it is back on the device. A CPU device has none. */
  toHost(handle: NativeHandle): NativeHandle;
  toDevice(handle: NativeHandle): NativeHandle;
  memory(): NativeMemory;
  /** A hard cap on the memory of the device; beyond it an operation fails as if the device had no more. 0: none. */
  limitMemory(bytes: number): void;
  resetPeakMemory(): void;
  close(): void;
}

export interface NativeMemory {
  /** Of tensors on the device. */
  current_bytes: number;
  peak_bytes: number;
  /** Of tensors in pinned memory of the host. */
  host_bytes: number;
  host_peak_bytes: number;
  /** Of the device; null where it is not known. */
  total_bytes: number | null;
  /** What could still be taken: the limit and what is kept counted in. Null on a CPU without a limit: the system knows better. */
  free_bytes: number | null;
  /** 0: none. */
  limit_bytes: number;
  live_handles: number;
}

export interface NativeCore {
  readonly abi: number;
  devices(): DeviceDescription[];
  /** threads 0: one per physical core. */
  openDevice(kind: 'cpu' | 'cuda', index: number, threads: number): NativeDevice;
}

export const NATIVE_ABI = 2;

/** Beside the bundle in dist/, or from the compiled sources in build/. */
export function findNativeCore(): string {
  const candidates = [path.join(__dirname, '..', 'native'), path.join(__dirname, '..', '..', '..', 'dist', 'native')];
  const files = candidates.map((dir) => path.join(dir, 'bitwright.node'));
  return files.find((file) => existsSync(file)) ?? path.join(__dirname, '..', 'native', 'bitwright.node');
}

export function loadNativeCore(nodeFile: string): NativeCore {
  const core = createRequire(__filename)(nodeFile) as NativeCore;
  if (core.abi !== NATIVE_ABI) throw new Error(`it has ABI ${core.abi}, and this worker needs ${NATIVE_ABI}`);
  return core;
}
