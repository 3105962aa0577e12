// Entry of the tests that run inside VS Code's extension host. Their results go to a file: the host's output passes through the window's console.
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import Mocha from 'mocha';

interface Result {
  title: string;
  /** null: passed. */
  error: string | null;
}

export async function run(): Promise<void> {
  // Some run the command line, whose seconds are minutes on a machine that has much else to do.
  const mocha = new Mocha({ timeout: 240_000, color: false, reporter: 'min' });
  for (const name of readdirSync(__dirname).sort()) if (name.endsWith('.test.js')) mocha.addFile(path.join(__dirname, name));
  const tests: Result[] = [];
  await new Promise<void>((resolve) => {
    mocha
      .run(() => resolve())
      .on('pass', (test) => tests.push({ title: test.fullTitle(), error: null }))
      .on('fail', (test, error: Error) => tests.push({ title: test.fullTitle(), error: error.stack ?? error.message }));
  });
  const failed = tests.filter(({ error }) => error !== null).length;
  const results = process.env['BITWRIGHT_HOST_RESULTS'];
  if (results === undefined) throw new Error('BITWRIGHT_HOST_RESULTS names no file for the results.');
  writeFileSync(results, JSON.stringify({ tests, passed: tests.length - failed, failed }));
  if (failed > 0) throw new Error(`${failed} tests failed in the extension host`);
}
