// A child process that speaks a protocol on stdio: keeps the last lines of its stderr, tells once how it ended, and ends it in order.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export interface ChildOptions {
  execPath: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  /** Each line of stderr, without its line end. */
  onLog(line: string): void;
}

export interface ChildExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** How it ended, in words. */
  detail: string;
  /** True when this side had asked for the end. */
  expected: boolean;
  /** The last lines of its stderr. */
  lastLines: string;
}

export interface Child {
  readonly pid: number;
  readonly stdout: Readable;
  readonly stdin: Writable;
  /** Resolves when the process is gone and its output is read. Never rejects. */
  readonly ended: Promise<ChildExit>;
  /** Closes its input, which ends it; kills it when it lingers. */
  stop(): Promise<void>;
  kill(): void;
}

const KEPT_LINES = 20;
const GRACE_MILLISECONDS = 5_000;

export function startChild(options: ChildOptions): Child {
  const child = spawn(options.execPath, [...options.args], {
    env: options.env,
    stdio: 'pipe',
    windowsHide: true,
    // A group of its own: Ctrl-C in a terminal reaches the host alone, which then cancels in order.
    detached: process.platform !== 'win32',
  });
  const lastLines: string[] = [];
  let expected = false;
  createInterface({ input: child.stderr }).on('line', (line) => {
    lastLines.push(line);
    if (lastLines.length > KEPT_LINES) lastLines.shift();
    options.onLog(line);
  });
  // Writing to a dead process fails here; `close` follows and says how it died.
  child.stdin.on('error', (error) => options.onLog(`A child process no longer reads its input: ${error.message}`));
  const ended = new Promise<ChildExit>((resolve) => {
    const end = (code: number | null, signal: NodeJS.Signals | null, detail: string): void =>
      resolve({ code, signal, detail, expected, lastLines: lastLines.join('\n') });
    child.on('error', (error) => end(null, null, `${options.execPath} cannot be started: ${error.message}`));
    child.on('close', (code, signal) => end(code, signal, describeExit(code, signal)));
  });
  const kill = (): void => {
    expected = true;
    child.kill('SIGKILL');
  };
  const stop = async (): Promise<void> => {
    expected = true;
    child.stdin.end();
    const timer = setTimeout(kill, GRACE_MILLISECONDS);
    await ended;
    clearTimeout(timer);
  };
  return { pid: child.pid ?? 0, stdout: child.stdout, stdin: child.stdin, ended, stop, kill };
}

function describeExit(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === 'SIGKILL') return 'killed by SIGKILL, which is also what the system sends when memory runs out';
  return signal === null ? `exit code ${code}` : `killed by ${signal}`;
}
