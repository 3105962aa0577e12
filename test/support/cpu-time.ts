// Time that this process has worked, so that what other programs do beside it cannot fail a test.

/** Milliseconds of the processor since the process began. */
export function cpuMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
