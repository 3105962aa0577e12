// `bitwright quantize RECIPE`: resolves the recipe, runs the plan in the worker, follows its events, and prints what came of it.
import type { RunReport } from '../../../../schemas/src/generated/report.js';
import { MOST_THREADS } from '../../../../schemas/src/protocol/client-worker.js';
import { bytesOfText } from '../../../../schemas/src/bytes-text.js';
import { deviceOption, exitCode, outOption, recipeOptions, UsageError, type Command, type ExitCode } from '../command.js';
import type { RunEnded } from '../../verify-run.js';
import { withWorker } from '../follow-run.js';
import { counted } from '../format-text.js';
import { problemLines, whyNoPlan } from '../problem-text.js';
import { startServer } from '../processes.js';
import { resolveRecipe } from '../recipe-file.js';
import { readReport } from '../report-file.js';
import { reportLines } from '../report-text.js';
import type { Terminal } from '../terminal.js';

export const quantizeCommand: Command = {
  name: 'quantize',
  synopsis: 'RECIPE',
  summary: 'Quantize a model as the recipe says, measure the result, write the report.',
  description: `Running again after an interruption resumes after the last finished block, to the same bytes.
Exit code 1 where a gate of the recipe does not hold; the checkpoint stays.
Ctrl-C cancels in order (exit code 130), a second Ctrl-C ends the worker at once.
With --json: {"outcome", "run_id", "output_dir", "report_dir", "failure", "problems", "report"} at the end; progress stays on stderr.`,
  operands: { least: 1, most: 1 },
  options: {
    out: outOption,
    device: deviceOption,
    threads: {
      value: 'N',
      description: 'threads of the CPU backend (default: one per physical core); never changes the bytes',
      count: { most: MOST_THREADS },
    },
    'max-device-memory': {
      value: 'SIZE',
      description: 'hard cap on the memory of a CUDA device, such as 20GB; wins over max_device_memory',
    },
    ...recipeOptions,
  },
  run: async (invocation, terminal) => {
    const max_device_memory_bytes = deviceMemoryOf(invocation.text('max-device-memory'));
    const server = await startServer();
    const resolved = await resolveRecipe(server, invocation.operands[0] ?? '', invocation).finally(() => server.stop());
    const { plan, problems } = resolved;
    for (const problem of problems) for (const line of problemLines(resolved, problem)) terminal.err(line);
    const json = invocation.flag('json');
    if (plan === null) {
      terminal.err(`Nothing was run: ${whyNoPlan(problems)}`);
      if (json)
        terminal.json({ outcome: 'refused', run_id: null, output_dir: null, report_dir: null, failure: null, problems, report: null });
      return exitCode.problems;
    }
    const threads = invocation.count('threads');
    const ended = await withWorker(terminal, ({ follow }) =>
      follow({
        ...plan,
        ...(threads === undefined ? {} : { threads }),
        ...(max_device_memory_bytes === undefined ? {} : { max_device_memory_bytes }),
      }),
    );
    const report = ended.report_dir === null ? null : await readReport(ended.report_dir);
    if (json) {
      const { outcome, run_id, output_dir, report_dir, failure } = ended;
      terminal.json({ outcome, run_id, output_dir, report_dir, failure, problems, report });
    } else if (ended.outcome === 'completed' && report !== null) for (const line of reportLines(report, ended)) terminal.out(line);
    return closingCode(ended, report, terminal);
  },
};

/** undefined: not said. */
function deviceMemoryOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = bytesOfText(text);
  if (bytes === null || bytes === 0)
    throw new UsageError(`--max-device-memory ${text} is no size: write a number of bytes, or one with a unit, such as 20GB or 500MiB.`);
  return bytes;
}

function closingCode(ended: RunEnded, report: RunReport | null, terminal: Terminal): ExitCode {
  if (ended.outcome === 'completed') {
    const failed = (report?.gates ?? []).filter(({ holds }) => !holds);
    if (failed.length === 0) return exitCode.success;
    terminal.err(
      `${counted(failed.length, 'gate')} of the recipe ${failed.length === 1 ? 'does' : 'do'} not hold: ${failed.map(({ gate }) => gate).join(', ')}.`,
    );
    return exitCode.problems;
  }
  if (ended.outcome === 'cancelled') {
    terminal.err('Cancelled. Running again resumes after the last finished block.');
    return exitCode.interrupted;
  }
  terminal.err(`The run failed: ${ended.failure?.message ?? 'the worker gave no reason'}`);
  return exitCode.problems;
}
