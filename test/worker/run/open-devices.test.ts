// Which devices a choice means on a machine, and what is said where one of them is not there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeviceDescription } from '../../../schemas/src/protocol/client-worker.js';
import type { NativeDevice } from '../../../worker/src/native-core.js';
import { chooseDevices, factsOf } from '../../../worker/src/open-devices.js';

const device = (kind: 'cpu' | 'cuda', index: number, reason: string | null = null): DeviceDescription => ({
  kind,
  index,
  name: kind === 'cpu' ? 'Processor' : `Card ${index % 2}`,
  usable: reason === null,
  reason,
  memory_bytes: null,
  compute_capability: null,
  details: {},
});
const machine = [device('cpu', 0), device('cuda', 0), device('cuda', 1, 'its compute capability 3.5 is below 7.5'), device('cuda', 2)];
const chosen = (wanted: string, all = machine): string[] => chooseDevices(all, wanted).map(({ kind, index }) => `${kind}:${index}`);

test('auto and cpu are the processor, cuda is all that can be used, numbers are taken in their order', () => {
  assert.deepEqual(chosen('auto'), ['cpu:0']);
  assert.deepEqual(chosen('cpu'), ['cpu:0']);
  assert.deepEqual(chosen('cuda'), ['cuda:0', 'cuda:2']);
  assert.deepEqual(chosen('cuda:2'), ['cuda:2']);
  assert.deepEqual(chosen('cuda:2,0'), ['cuda:2', 'cuda:0']);
});

test('a device that is not there, cannot be used or is none is refused by its name', () => {
  assert.throws(
    () => chosen('cuda:0,5'),
    /The device cuda:5 cannot be used: this machine has cuda:0, cuda:1, cuda:2 \(CUDA_VISIBLE_DEVICES/,
  );
  assert.throws(() => chosen('cuda:0,1'), /The device cuda:1 cannot be used: its compute capability 3\.5 is below 7\.5/);
  assert.throws(() => chosen('cuda', [device('cpu', 0), device('cuda', 0, 'no driver')]), /The device cuda cannot be used: no driver/);
  assert.throws(() => chosen('cuda:3', [device('cpu', 0), device('cuda', 0, 'no driver')]), /The device cuda:3 cannot be used: no driver/);
  assert.throws(() => chosen('tpu'), /The device tpu cannot be used: no device is called so/);
});

test('a report names one device by its name and several by number and name', () => {
  const native = ({ kind, name }: DeviceDescription): NativeDevice => ({ kind, name, threads: 4 }) as NativeDevice;
  const facts = (wanted: string, all: readonly DeviceDescription[]) => {
    const infos = chooseDevices(all, wanted);
    return factsOf(infos, infos.map(native));
  };
  assert.deepEqual(facts('cuda:2', machine), { kind: 'cuda', name: 'Card 0', threads: 4 });
  const cards = [0, 1, 2].map((index) => device('cuda', index));
  assert.deepEqual(facts('cuda', cards), {
    kind: 'cuda',
    name: '2 × Card 0, Card 1',
    threads: 4,
    devices: [
      { id: 'cuda:0', name: 'Card 0' },
      { id: 'cuda:1', name: 'Card 1' },
      { id: 'cuda:2', name: 'Card 0' },
    ],
  });
});
