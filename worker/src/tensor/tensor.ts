// Typed face of native tensors: shape, dtype and lifetime. Freed by scope (`using`), with a counter that a test holds at zero.
import type { DType, NativeDevice, NativeHandle, OperationOptions } from '../native-core.js';

const bytesPerElement: Record<DType, number> = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I8: 1, U8: 1, F8_E4M3: 1, I16: 2 };

export class Device {
  /** Handles that JavaScript holds; zero after every finished run. */
  liveTensors = 0;
  /** Sees every operation as it is enqueued (tape.ts). */
  recorder:
    ((operation: string, inputs: readonly (Tensor | null)[], options: OperationOptions, results: readonly Tensor[]) => void) | null = null;

  constructor(readonly native: NativeDevice) {}

  fromBytes(dtype: DType, shape: readonly number[], bytes: Uint8Array): Tensor {
    return new Tensor(this, this.native.fromBytes(dtype, shape, bytes));
  }

  fromFloats(shape: readonly number[], values: Float32Array): Tensor {
    return this.fromBytes('F32', shape, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  fromInts(shape: readonly number[], values: Int32Array): Tensor {
    return this.fromBytes('I32', shape, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  fromFile(path: string, offset: number, dtype: DType, shape: readonly number[]): Tensor {
    return new Tensor(this, this.native.fromFile(path, offset, dtype, shape));
  }

  /** A copy in pinned memory of the host: only aliases, `toDevice` and `read` take it. A CPU device has none. */
  toHost(tensor: Tensor): Tensor {
    return new Tensor(this, this.native.toHost(tensor.handle));
  }

  toDevice(tensor: Tensor): Tensor {
    return new Tensor(this, this.native.toDevice(tensor.handle));
  }

  zeros(dtype: DType, shape: readonly number[]): Tensor {
    return new Tensor(this, this.native.zeros(dtype, shape));
  }

  enqueue(operation: string, inputs: readonly (Tensor | null)[], options: OperationOptions = {}): Tensor[] {
    const results = this.native
      .enqueue(
        operation,
        inputs.map((tensor) => tensor && tensor.handle),
        options,
      )
      .map((handle) => new Tensor(this, handle));
    this.recorder?.(operation, inputs, options, results);
    return results;
  }

  sync(): Promise<void> {
    return this.native.sync();
  }
}

export class Tensor implements Disposable {
  private native: NativeHandle | null;

  constructor(
    readonly device: Device,
    handle: NativeHandle,
  ) {
    this.native = handle;
    device.liveTensors += 1;
  }

  get handle(): NativeHandle {
    if (this.native === null) throw new Error('A tensor was used after it was disposed.');
    return this.native;
  }

  get shape(): readonly number[] {
    return this.handle.shape;
  }

  get dtype(): DType {
    return this.handle.dtype;
  }

  get bytes(): number {
    return this.shape.reduce((n, extent) => n * extent, bytesPerElement[this.dtype]);
  }

  read(): Promise<Uint8Array> {
    return this.device.native.read(this.handle);
  }

  /** Of any type of floats. */
  async readFloats(): Promise<Float32Array> {
    if (this.dtype !== 'F32') {
      const [wide] = this.device.enqueue('cast', [this], { dtype: 'F32' });
      using own = wide!;
      return await own.readFloats();
    }
    const bytes = await this.read();
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  }

  async readDoubles(): Promise<Float64Array> {
    const bytes = await this.read();
    return new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);
  }

  dispose(): void {
    if (this.native === null) return;
    this.device.native.release(this.native);
    this.native = null;
    this.device.liveTensors -= 1;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
