// The weights of a part of a model, once on every device that works with them.
import type { Device } from '../tensor/tensor.js';
import { loadWeights, type LoadedWeights, type SchemeOf } from './loaded-weights.js';
import type { TensorReader } from './tensor-reader.js';

export type ReaderOn = (device: Device) => TensorReader;

export class WeightCopies implements Disposable {
  /** In the order of the devices; the first is what is written where all hold the same. */
  constructor(readonly all: readonly [LoadedWeights, ...LoadedWeights[]]) {}

  get first(): LoadedWeights {
    return this.all[0];
  }

  on(index: number): LoadedWeights {
    const weights = this.all[index];
    if (weights === undefined) throw new Error(`Weights were asked for on device ${index} of ${this.all.length}.`);
    return weights;
  }

  [Symbol.dispose](): void {
    for (const weights of this.all) weights[Symbol.dispose]();
  }
}

/** `isWanted` may differ from device to device. */
export async function loadCopies(
  devices: readonly Device[],
  readerOn: ReaderOn,
  isWanted: (tensorName: string, device: number) => boolean,
  schemeOf: SchemeOf,
): Promise<WeightCopies> {
  const loaded: LoadedWeights[] = [];
  try {
    for (const [index, device] of devices.entries())
      loaded.push(await loadWeights(readerOn(device), (name) => isWanted(name, index), schemeOf));
    const [first, ...others] = loaded;
    if (first === undefined) throw new Error('Weights were asked for on no device.');
    return new WeightCopies([first, ...others]);
  } catch (error) {
    for (const weights of loaded) weights[Symbol.dispose]();
    throw error;
  }
}
