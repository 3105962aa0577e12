// Typed reading of the settings.
import * as vscode from 'vscode';
import { bytesOfText } from '../../schemas/src/bytes-text.js';
import { parseDeviceChoice } from '../../schemas/src/device-choice.js';
import { settings } from './manifest.js';

const read = <T>(key: string, otherwise: T, scope?: vscode.Uri): T =>
  vscode.workspace.getConfiguration(undefined, scope ?? null).get<T>(key, otherwise);

/** auto leaves the choice to the recipe. */
export function deviceSetting(recipe: vscode.Uri): string {
  const device = read<string>(settings.device, 'auto', recipe);
  return parseDeviceChoice(device) === null ? 'auto' : device;
}

/** null: one thread per physical core. */
export function threadsSetting(): number | null {
  const threads = read<number>(settings.threads, 0);
  return Number.isInteger(threads) && threads > 0 ? threads : null;
}

/** null: what is free on the device. */
export function maxDeviceMemorySetting(): number | null {
  // 0 is no cap, as for threads.
  return bytesOfText(read<string>(settings.maxDeviceMemory, '')) || null;
}
