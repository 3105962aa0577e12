// A recipe file of the command line → its text, plan and problems, asked from the language server.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ProblemWithRange, ResolvePlanParams, ResolvePlanResult } from '../../../schemas/src/protocol/client-server.js';
import type { DeviceChoice, Invocation } from './command.js';
import type { ServerProcess } from './processes.js';

export interface ResolvedRecipe extends ResolvePlanResult {
  /** As the user wrote it. */
  file: string;
  source: string;
}

export async function resolveRecipe(server: ServerProcess, file: string, invocation: Invocation): Promise<ResolvedRecipe> {
  const absolute = path.resolve(file);
  const read = await readText(absolute);
  if (typeof read !== 'string') return { file, source: '', plan: null, problems: [read] };
  const result = await server.resolvePlan({ uri: pathToFileURL(absolute).href, text: read, overrides: overridesOf(invocation) });
  return { file, source: read, ...result };
}

/** A model folder is relative to where the command runs; what is no folder here and has the form of a hub id stays as written. */
export function modelArgument(model: string): string {
  return existsSync(model) || !/^[\w.-]+\/[\w.-]+$/.test(model) || model.startsWith('.') ? path.resolve(model) : model;
}

function overridesOf(invocation: Invocation): NonNullable<ResolvePlanParams['overrides']> {
  const model = invocation.text('model');
  const dataset = invocation.text('dataset');
  const out = invocation.text('out');
  const device = invocation.text('device') as DeviceChoice | undefined;
  return {
    ...(model === undefined ? {} : { model: modelArgument(model) }),
    ...(dataset === undefined ? {} : { dataset: path.resolve(dataset) }),
    ...(out === undefined ? {} : { output_dir: path.resolve(out) }),
    ...(device === undefined ? {} : { device }),
  };
}

async function readText(file: string): Promise<string | ProblemWithRange> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message;
    const start = { line: 0, character: 0 };
    return {
      code: 'recipe-unreadable',
      severity: 'error',
      path: [],
      at: 'value',
      message: `The recipe cannot be read: ${reason}. Check the path and the permissions.`,
      range: { start, end: start },
    };
  }
}
