// What a recipe says the checkpoint is for: output.runtime with its version, and output.tensor_parallel_size.
import { coerceTo, mappingOf } from '../recipe/coerce.js';

export type RuntimeName = 'vllm' | 'llama.cpp' | 'onnxruntime' | 'transformers';

export interface NamedRuntime {
  name: RuntimeName;
  /** As written behind `==`; null where the recipe says none. */
  version: string | null;
}

const names: readonly RuntimeName[] = ['vllm', 'llama.cpp', 'onnxruntime', 'transformers'];

/** null: the recipe names none, or none that there is (then the schema speaks). */
export function runtimeOf(recipe: Readonly<Record<string, unknown>>): NamedRuntime | null {
  const said = mappingOf(recipe['output'])['runtime'];
  if (typeof said !== 'string') return null;
  const [name, version] = said.split('==');
  const known = names.find((candidate) => candidate === name);
  return known === undefined ? null : { name: known, version: version ?? null };
}

/** 1 where the recipe says none. */
export function tensorParallelSize(recipe: Readonly<Record<string, unknown>>): number {
  const said = coerceTo('integer', mappingOf(recipe['output'])['tensor_parallel_size']);
  return typeof said === 'number' && said >= 1 ? said : 1;
}

/** The numbers of a release alone: 0.11.0rc1 counts as 0.11.0. */
export const releaseOf = (version: string): number[] => (/\d+(\.\d+)*/.exec(version)?.[0] ?? '').split('.').map(Number);

export function compareReleases(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
