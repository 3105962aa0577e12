// How devices are named: in recipes, settings and on the command line alike.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDeviceChoice } from '../../schemas/src/device-choice.js';

test('all, one, some; a number that is said twice counts once', () => {
  for (const kind of ['auto', 'cpu', 'cuda'] as const) assert.deepEqual(parseDeviceChoice(kind), { kind, indices: null });
  assert.deepEqual(parseDeviceChoice('cuda:0'), { kind: 'cuda', indices: [0] });
  assert.deepEqual(parseDeviceChoice('cuda:3,1,3'), { kind: 'cuda', indices: [3, 1] });
});

test('what is none', () => {
  for (const text of [
    '',
    'gpu',
    'CUDA',
    'cpu:0',
    'cuda:',
    'cuda:0,',
    'cuda:0, 1',
    'cuda:-1',
    'cuda:1.0',
    'cuda:0,cuda:1',
    'cuda:12345',
    'cuda:0\n',
  ])
    assert.equal(parseDeviceChoice(text), null, text);
});
