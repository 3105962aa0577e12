// What a command of the command line is: its name, its options, and a function that returns the exit code.
import { deviceForms, parseDeviceChoice } from '../../../schemas/src/device-choice.js';
import type { Terminal } from './terminal.js';

export interface Command {
  name: string;
  /** One line for `bitwright --help`. */
  summary: string;
  /** What follows the name, e.g. `RECIPE…`. */
  synopsis: string;
  /** Further paragraphs of `bitwright NAME --help`. */
  description: string;
  operands: { least: number; most: number };
  options: Readonly<Record<string, Option>>;
  run(invocation: Invocation, terminal: Terminal): Promise<ExitCode>;
}

export interface Option {
  /** Name of the value in the help; null: a flag. */
  value: string | null;
  description: string;
  /** What a value must be: the test, and its words. */
  form?: { fits(value: string): boolean; words: string };
  /** The value is a positive whole number, `most` at most. */
  count?: { most?: number };
}

/** The parsed arguments of one call. */
export interface Invocation {
  operands: readonly string[];
  flag(name: string): boolean;
  text(name: string): string | undefined;
  count(name: string): number | undefined;
}

export const exitCode = { success: 0, problems: 1, usage: 2, interrupted: 130 } as const;
export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

/** The command was called wrongly: its sentence and exit code 2. */
export class UsageError extends Error {}

export const jsonOption: Option = { value: null, description: 'print one JSON value on stdout instead of text' };

export const deviceOption: Option = {
  value: 'D',
  description: 'auto, cpu, cuda (all of them), cuda:0 or cuda:0,1; wins over the recipe',
  form: { fits: (value) => parseDeviceChoice(value) !== null, words: deviceForms },
};

export const outOption: Option = { value: 'DIR', description: 'folder of the checkpoint; wins over output.dir' };

export const recipeOptions: Readonly<Record<string, Option>> = {
  model: { value: 'DIR', description: 'model folder, or a hub id in the local Hugging Face cache; wins over the recipe' },
  dataset: { value: 'FILE', description: 'calibration text (.jsonl, .txt, .csv); wins over the recipe' },
  json: jsonOption,
};
