// Matchers of run failures, for assert.rejects.
import assert from 'node:assert/strict';
import { RunFailureError } from '../../schemas/src/run-failure.js';

/** Accepts a run failure with this code whose message matches every pattern. */
export const failureCode =
  (code: string, ...patterns: RegExp[]) =>
  (error: unknown): true => {
    assert.ok(error instanceof RunFailureError, `not a run failure: ${error instanceof Error ? error.stack : String(error)}`);
    assert.equal(error.failure.code, code, error.message);
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  };
