// An importance matrix that is not there, or is none.
import type { ResolvedImatrix } from '../plan/resolve-imatrix.js';
import type { Check } from './check.js';

export const imatrixUnreadable: Check = {
  code: 'imatrix-unreadable',
  run: ({ imatrices }) =>
    imatrices.flatMap((resolved) =>
      resolved.file === null || resolved.imatrix !== null
        ? []
        : [{ code: 'imatrix-unreadable', severity: 'error', path: resolved.path, at: 'value', message: messageOf(resolved) }],
    ),
};

function messageOf({ file, kind, fault }: ResolvedImatrix): string {
  if (kind === 'folder') return `${file} is a folder, and an importance matrix is one file. Name the file that llama-imatrix wrote.`;
  if (kind === 'refused') return `${file} cannot be looked at by this account. Change its permissions, or name a copy.`;
  if (kind === 'none')
    return `There is no file ${file}. Paths are relative to the recipe. Make one with llama-imatrix, or use importance: true, which measures on calibration rows.`;
  return `${file} is no importance matrix that can be used: ${fault}. Make it again with llama-imatrix, or use importance: true.`;
}
