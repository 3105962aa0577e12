// What a page keeps over a reload is believed field by field.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { restoredFields } from '../../client/webviews/kept-state.js';

test('fields of another kind, and unknown ones, are left as at first', () => {
  const initial = { filter: '', rows: [] as string[], order: { key: 'name' }, chosen: null as string | null, log: true };
  assert.deepEqual(restoredFields(initial, null), initial);
  assert.deepEqual(restoredFields(initial, 'text'), initial);
  assert.deepEqual(restoredFields(initial, { filter: 3, rows: { 0: 'a' }, order: null, log: 'yes', other: 1 }), initial);
  assert.deepEqual(restoredFields(initial, { filter: 'q', rows: ['a'], order: { key: 'size' }, chosen: 'x', log: false }), {
    filter: 'q',
    rows: ['a'],
    order: { key: 'size' },
    chosen: 'x',
    log: false,
  });
});
