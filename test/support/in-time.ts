// An attempt that may be made again.
import { errors } from 'playwright-core';

/** Whether it is done before the time-out that it has set itself. */
export async function inTime(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof errors.TimeoutError) return false;
    throw error;
  }
}
