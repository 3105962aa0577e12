// Reporter for node:test: one line per file, what tests measured, failures in full, skipped tests by name, and the closing count.
import path from 'node:path';

const relative = (file) => path.relative(process.cwd(), file ?? '');

function describeError(error) {
  const cause = error?.cause ?? error;
  return String(cause?.stack ?? cause?.message ?? cause)
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
}

export default async function* report(source) {
  let passed = 0;
  let failed = 0;
  const skipped = [];
  const perFile = new Map();
  for await (const { type, data } of source) {
    if (type === 'test:stderr' || type === 'test:stdout') continue;
    // What a test measured; without a file it is the runner's own summary.
    if (type === 'test:diagnostic' && data.file !== undefined) yield `       ${data.message}\n`;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    // Suites only group; a suite fails by itself when a hook does.
    const isSuite = data.details?.type === 'suite';
    const failedByChild = data.details?.error?.failureType === 'subtestsFailed';
    if (isSuite && (type === 'test:pass' || failedByChild)) continue;
    const file = relative(data.file);
    const counts = perFile.get(file) ?? { passed: 0, failed: 0, seconds: 0 };
    perFile.set(file, counts);
    counts.seconds += (data.details?.duration_ms ?? 0) / 1000;
    if (data.skip !== undefined && data.skip !== false) {
      skipped.push(`${data.name}: ${data.skip === true || data.skip === '' ? 'no reason given' : data.skip}`);
    } else if (type === 'test:pass') {
      passed += 1;
      counts.passed += 1;
    } else if (!failedByChild) {
      failed += 1;
      counts.failed += 1;
      yield `FAILED ${file}: ${data.name}\n${describeError(data.details?.error)}\n`;
    }
  }
  for (const [file, counts] of perFile)
    yield `${counts.failed === 0 ? 'ok    ' : 'FAILED'} ${file} (${counts.passed} passed${counts.failed ? `, ${counts.failed} failed` : ''}, ${counts.seconds.toFixed(1)} s)\n`;
  for (const line of skipped) yield `skipped: ${line}\n`;
  yield `${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}\n`;
}
