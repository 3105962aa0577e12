// Runs the built command line, and says in a sentence what was not built.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

const root = path.join(__dirname, '..', '..', '..');
export const commandLinePath = path.join(root, 'dist', 'cli', 'bitwright.js');
export const serverPath = path.join(root, 'dist', 'server', 'main.js');

/** Throws when a part of the build is missing, so that a test fails with the way out. */
export function requireBuild(...parts: ('cli' | 'server' | 'worker' | 'webviews')[]): void {
  const files = {
    cli: ['dist/cli/bitwright.js'],
    server: ['dist/server/main.js'],
    worker: ['dist/worker/main.js', 'dist/native/bitwright.node'],
    webviews: ['dist/webviews/report.js', 'dist/webviews/standalone.js'],
  };
  const missing = parts.flatMap((part) => files[part]).filter((file) => !existsSync(path.join(root, file)));
  if (missing.length > 0) throw new Error(`${missing.join(', ')} missing: run npm run build before the tests.`);
}

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  cwd?: string;
  input?: string;
  /** Called with each piece of stderr. */
  onStderr?: (text: string, child: ChildProcess) => void;
}

export function runBitwright(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [commandLinePath, ...args], { cwd: options.cwd ?? root, env: { ...process.env, NO_COLOR: '1' } });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      options.onStderr?.(chunk.toString(), child);
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(options.input ?? '');
  });
}
