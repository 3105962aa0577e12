// running.json in a run folder: there from the first moment of a run until its last, whatever its outcome. A mark whose process is gone is that of a run that was interrupted.
import { isNumber, isText, orNull, withFields } from './protocol/message-shape.js';

export const RUNNING_FILE = 'running.json';

export interface RunningMark {
  run_id: string;
  /** Of the worker. */
  pid: number;
  /** When that process began, as the system counts it: a process of the same number with another beginning is another. Absent where the system does not say. */
  process_began?: string;
  /** ISO 8601. */
  started_at: string;
  /** null: from a recipe that was not saved. */
  recipe: string | null;
  /** Of the text that it had: with another one the run would begin anew. */
  recipe_sha256: string;
  /** The journal has a line for each that is finished. */
  n_units: number;
}

const isMark = withFields({
  run_id: isText,
  pid: isNumber,
  started_at: isText,
  recipe: orNull(isText),
  recipe_sha256: isText,
  n_units: isNumber,
});

/** null where the text is none, or was cut short. */
export function readRunningMark(text: string): RunningMark | null {
  try {
    const value = JSON.parse(text) as unknown;
    return isMark(value) ? (value as RunningMark) : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
