// The devices that a run or an evaluation asks for, opened: `auto` and `cpu` are the processor, `cuda` all CUDA devices that can be used, `cuda:0,1` these.
import type { RunReport } from '../../schemas/src/generated/report.js';
import { parseDeviceChoice } from '../../schemas/src/device-choice.js';
import type { DeviceDescription } from '../../schemas/src/protocol/client-worker.js';
import { runFailure } from '../../schemas/src/run-failure.js';
import type { NativeCore, NativeDevice } from './native-core.js';
import { Device } from './tensor/tensor.js';

export interface OpenedDevices {
  /** At least one, all of one kind, in the order of their use. */
  devices: readonly Device[];
  facts: RunReport['device'];
}

/** One choice is open at a time; it is opened again when another one or other threads are asked for. */
export class Devices {
  defaultThreads: number | null = null;
  private current: (OpenedDevices & { key: string }) | null = null;

  constructor(private readonly core: NativeCore) {}

  open(wanted: string, threads: number | null): OpenedDevices {
    const infos = chooseDevices(this.core.devices(), wanted);
    const n_threads = threads ?? this.defaultThreads ?? 0;
    const key = `${infos.map(idOf).join(' ')} ${n_threads}`;
    if (this.current?.key !== key) {
      for (const { native } of this.current?.devices ?? []) native.close();
      // Where opening fails, a later run must not find the closed ones.
      this.current = null;
      const natives = this.openAll(infos, n_threads);
      this.current = { key, devices: natives.map((native) => new Device(native)), facts: factsOf(infos, natives) };
    }
    return this.current;
  }

  private openAll(infos: readonly DeviceDescription[], n_threads: number): NativeDevice[] {
    const opened: NativeDevice[] = [];
    for (const info of infos) {
      try {
        opened.push(this.core.openDevice(info.kind, info.index, n_threads));
      } catch (error) {
        for (const native of opened) native.close();
        const reason = error instanceof Error ? error.message : String(error);
        throw info.kind === 'cpu' ? runFailure.threadsRefused(n_threads, reason) : runFailure.deviceUnavailable(idOf(info), reason);
      }
    }
    return opened;
  }
}

const idOf = ({ kind, index }: DeviceDescription): string => `${kind}:${index}`;

/** Throws device-unavailable where one of them cannot be used. */
export function chooseDevices(all: readonly DeviceDescription[], wanted: string): DeviceDescription[] {
  const choice = parseDeviceChoice(wanted);
  if (choice === null) throw runFailure.deviceUnavailable(wanted, 'no device is called so');
  // Nobody gets CUDA unasked until its backend has passed gpu-suite.sh on a device: so far its kernels have run in emulation alone.
  const kind = choice.kind === 'auto' ? 'cpu' : choice.kind;
  const ofKind = all.filter((info) => info.kind === kind);
  const [first] = ofKind;
  const usable = ofKind.filter((info) => info.usable);
  if (first === undefined) throw runFailure.deviceUnavailable(wanted, 'this machine has none that the native core knows');
  if (usable.length === 0) throw runFailure.deviceUnavailable(wanted, first.reason ?? 'the native core gives no reason');
  if (choice.indices === null) return kind === 'cpu' ? usable.slice(0, 1) : usable;
  return choice.indices.map((index) => {
    const info = ofKind.find((one) => one.index === index);
    if (info === undefined)
      throw runFailure.deviceUnavailable(
        `${kind}:${index}`,
        `this machine has ${ofKind.map(idOf).join(', ')} (CUDA_VISIBLE_DEVICES, where it is set, leaves out others and numbers these anew)`,
      );
    if (!info.usable) throw runFailure.deviceUnavailable(idOf(info), info.reason ?? 'the native core gives no reason');
    return info;
  });
}

export function factsOf(infos: readonly DeviceDescription[], natives: readonly NativeDevice[]): RunReport['device'] {
  const names = natives.map(({ name }) => name);
  const counted = [...new Set(names)].map((name) => {
    const n_same = names.filter((other) => other === name).length;
    return n_same === 1 ? name : `${n_same} × ${name}`;
  });
  const devices = natives.map(({ name }, index) => ({ id: idOf(infos[index]!), name }));
  return {
    kind: infos[0]!.kind,
    name: counted.join(', '),
    threads: natives[0]!.threads,
    ...(natives.length === 1 ? {} : { devices }),
  };
}
