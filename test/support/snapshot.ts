// Text snapshots: compared with a file beside the test; BITWRIGHT_UPDATE_SNAPSHOTS=1 writes it anew, and a reader looks at the difference.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { repositoryRoot } from './shared.js';

export function matchesSnapshot(name: string, text: string): void {
  const file = path.join(repositoryRoot, 'test', name);
  const whole = `${text}\n`;
  if (process.env['BITWRIGHT_UPDATE_SNAPSHOTS'] === '1') {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, whole);
  }
  assert.ok(existsSync(file), `${name} is missing; run the test with BITWRIGHT_UPDATE_SNAPSHOTS=1 and look at what it writes`);
  assert.equal(whole, readFileSync(file, 'utf8'));
}
