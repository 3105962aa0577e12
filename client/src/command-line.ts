// Runs the extension's own command line as a process: what tasks and language-model tools show is what a terminal shows.
import { spawn } from 'node:child_process';
import type * as vscode from 'vscode';
import { deviceSetting, maxDeviceMemorySetting, threadsSetting } from './settings.js';

export interface CommandLineRun {
  args: readonly string[];
  cwd: string;
  /** What it prints, on stdout as on stderr. */
  onText(text: string): void;
  signal?: AbortSignal;
}

/** How long a cancelled run may take to end in order, with its journal written. */
const graceMilliseconds = 30_000;

/** Answers the exit code; null when it was killed. Rejects when it does not start. */
export function runCommandLine(context: vscode.ExtensionContext, { args, cwd, onText, signal }: CommandLineRun): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [context.asAbsolutePath('dist/cli/bitwright.js'), ...args], {
      cwd,
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      windowsHide: true,
    });
    let timer: NodeJS.Timeout | undefined;
    const cancel = (): void => {
      child.kill('SIGINT');
      timer = setTimeout(() => child.kill('SIGKILL'), graceMilliseconds);
    };
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted === true) cancel();
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', onText);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
      resolve(code);
    });
  });
}

export type RecipeCommand = 'check' | 'plan' | 'analyze' | 'suggest' | 'quantize';

/** What the settings say of a run of this recipe, as options of the command. */
export function settingOptions(command: RecipeCommand, recipe: vscode.Uri): string[] {
  if (command === 'check') return [];
  const device = deviceSetting(recipe);
  const ofDevice = device === 'auto' ? [] : [`--device=${device}`];
  if (command !== 'quantize') return ofDevice;
  const [threads, memory] = [threadsSetting(), maxDeviceMemorySetting()];
  return [
    ...ofDevice,
    ...(threads === null ? [] : [`--threads=${threads}`]),
    ...(memory === null ? [] : [`--max-device-memory=${memory}`]),
  ];
}
