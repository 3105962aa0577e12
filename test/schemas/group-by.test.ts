// Grouping keeps two orders: of the groups by their first item, and of the items within each.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupBy } from '../../schemas/src/group-by.js';

test('groups stand in the order of their first items, items in their own; an item without a key is left out', () => {
  const groups = groupBy(['up', 'q', 'down', 'k', 'u'], (name) => (name === 'k' ? null : name.charAt(0)));
  assert.deepEqual(
    [...groups],
    [
      ['u', ['up', 'u']],
      ['q', ['q']],
      ['d', ['down']],
    ],
  );
});
