// Bytes for people: decimal units, one decimal, no 1000.0.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesText } from '../../schemas/src/bytes-text.js';

for (const [bytes, text] of [
  [0, '0 B'],
  [0.4, '0 B'],
  [999, '999 B'],
  [999.6, '1.0 kB'],
  [1000, '1.0 kB'],
  [2304, '2.3 kB'],
  [999_949, '999.9 kB'],
  [999_951, '1.0 MB'],
  [1_844_000, '1.8 MB'],
  [670_000, '670.0 kB'],
  [16e9, '16.0 GB'],
  [1.5e12, '1.5 TB'],
  [2.5e16, '25000.0 TB'],
] as const)
  test(`${bytes} bytes are ${text}`, () => {
    assert.equal(bytesText(bytes), text);
  });
