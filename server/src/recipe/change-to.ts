// The commonest fix: another value in the place of one.
import type { ProblemFix, RecipePath } from '../../../schemas/src/problem.js';

/** `text`: as YAML writes it. */
export const changeTo = (text: string, path: RecipePath): ProblemFix => ({
  title: `Change to ${text}`,
  preferred: true,
  edits: [{ kind: 'replace-value', path, text }],
});
