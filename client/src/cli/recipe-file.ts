// A recipe file of the command line → its text, plan and problems, asked from the language server.
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ProblemWithRange, ResolvePlanParams, ResolvePlanResult } from '../../../schemas/src/protocol/client-server.js';
import type { Invocation } from './command.js';
import type { CheckedText } from './problem-text.js';
import type { ServerProcess } from './processes.js';

export interface ResolvedRecipe extends ResolvePlanResult, CheckedText {}

/** A file as it is, and a folder that cannot be listed; for others the recipes in it and below, by name. Hidden folders, node_modules and links are passed over. Empty: it has none. */
export async function recipesAt(file: string): Promise<string[]> {
  const entries = await readdir(file, { withFileTypes: true }).catch(() => null);
  // Reading it says why.
  if (entries === null) return [file];
  const found = await Promise.all(
    entries
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(async (entry) => {
        const below = path.join(file, entry.name);
        if (entry.isDirectory()) return entry.name.startsWith('.') || entry.name === 'node_modules' ? [] : await recipesAt(below);
        return entry.isFile() && /\.quant\.ya?ml$/.test(entry.name) ? [below] : [];
      }),
  );
  return found.flat();
}

export async function resolveRecipe(
  server: ServerProcess,
  file: string,
  invocation: Invocation,
  wanted: ResolvePlanParams['wanted'] = 'plan-to-run',
): Promise<ResolvedRecipe> {
  const absolute = path.resolve(file);
  const read = await readText(absolute);
  if (typeof read !== 'string') return { file, source: '', replaced: {}, plan: null, problems: [read] };
  const result = await server.resolvePlan({
    uri: pathToFileURL(absolute).href,
    text: read,
    overrides: overridesOf(invocation),
    wanted,
  });
  return { file, source: read, replaced: replacedBy(invocation), ...result };
}

/** A model folder is relative to where the command runs; what is no folder here and has the form of a hub id stays as written. */
export function modelArgument(model: string): string {
  return existsSync(model) || !/^[\w.-]+\/[\w.-]+$/.test(model) || model.startsWith('.') ? path.resolve(model) : model;
}

export function overridesOf(invocation: Invocation): NonNullable<ResolvePlanParams['overrides']> {
  const model = invocation.text('model');
  const dataset = invocation.text('dataset');
  const out = invocation.text('out');
  const device = invocation.text('device');
  return {
    ...(model === undefined ? {} : { model: modelArgument(model) }),
    ...(dataset === undefined ? {} : { dataset: path.resolve(dataset) }),
    ...(out === undefined ? {} : { output_dir: path.resolve(out) }),
    ...(device === undefined ? {} : { device }),
  };
}

const optionOfPath = { model: 'model', 'calibration.dataset': 'dataset', 'output.dir': 'out' };

const replacedBy = (invocation: Invocation): Record<string, string> =>
  Object.fromEntries(
    Object.entries(optionOfPath).flatMap(([path, option]) => {
      const value = invocation.text(option);
      return value === undefined ? [] : [[path, `--${option} ${value}:`]];
    }),
  );

async function readText(file: string): Promise<string | ProblemWithRange> {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(file));
  } catch (error) {
    const start = { line: 0, character: 0 };
    return {
      code: 'recipe-unreadable',
      severity: 'error',
      path: [],
      at: 'value',
      message: `The recipe cannot be read: ${whyUnreadable(error as NodeJS.ErrnoException)}`,
      range: { start, end: start },
    };
  }
}

function whyUnreadable({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ENOENT':
      return 'there is no such file. Check the path.';
    case 'EISDIR':
      return 'it is a folder. Give a file named *.quant.yaml; check takes a folder too that has some in it.';
    case 'EACCES':
      return 'this account may not read it. Change its permissions.';
    case 'ERR_ENCODING_INVALID_ENCODED_DATA':
      return 'it is not UTF-8 text. Save it as UTF-8.';
    default:
      return `${message}.`;
  }
}
