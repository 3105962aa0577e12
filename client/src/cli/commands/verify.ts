// `bitwright verify RUN`: does a run again from its lock and says whether the same bytes came out, or what differs.
import type { LockDifference } from '../../../../schemas/src/compare-locks.js';
import { MOST_THREADS } from '../../../../schemas/src/protocol/client-worker.js';
import { readLock, verifyRun, type Verdict } from '../../verify-run.js';
import { exitCode, jsonOption, type Command } from '../command.js';
import { withWorker } from '../follow-run.js';
import { counted } from '../format-text.js';
import { HostError } from '../processes.js';
import { runFolder } from '../report-file.js';
import { duration } from '../terminal.js';

const MOST_NAMED = 20;

export const verifyCommand: Command = {
  name: 'verify',
  synopsis: 'RUN',
  summary: 'Do a run again and confirm that it gives the same bytes.',
  description: `RUN is the folder of a run (OUTPUT.run, or one of an earlier run in OUTPUT.history) or that of its checkpoint. First all files that the run has read
are compared with its lock (lock.json); then it is done again into a folder beside the checkpoint, which is gone afterwards, and every file and tensor is
compared. Nothing is measured again. Exit code 1 where something differs, with its names.
With --json: {"identical", "differences": [{"kind": "input" | "environment" | "output", "name", "message"}], "again": {"files", "tensors", "seconds"} or null}.`,
  operands: { least: 1, most: 1 },
  options: {
    threads: {
      value: 'N',
      description: 'threads of the CPU backend; the bytes must be the same at any number',
      count: { most: MOST_THREADS },
    },
    json: jsonOption,
  },
  run: async (invocation, terminal) => {
    const read = await readLock(runFolder(invocation.operands[0] ?? ''));
    if ('reason' in read) throw new HostError(read.reason);
    const { lock } = read;
    const answer = await withWorker(terminal, ({ worker, progress, follow }) => {
      const notes = { inputs: 'Comparing what the run has read with its lock', run: 'Nothing has changed; running again' };
      return verifyRun({ worker, lock, follow, threads: invocation.count('threads'), onStep: (step) => progress.note(notes[step]) });
    });
    if ('cancelled' in answer) {
      terminal.err('Cancelled. Nothing was compared.');
      return exitCode.interrupted;
    }
    if ('failure' in answer) {
      terminal.err(`The run could not be done again: ${answer.failure.message}`);
      return exitCode.problems;
    }
    const { verdict } = answer;
    if (invocation.flag('json')) terminal.json(verdict);
    else for (const line of verdictLines(verdict)) terminal.out(line);
    return verdict.identical ? exitCode.success : exitCode.problems;
  },
};

function verdictLines({ identical, differences, again }: Verdict): string[] {
  const of = (kind: LockDifference['kind']): LockDifference[] => differences.filter((difference) => difference.kind === kind);
  const [inputs, environment, outputs] = [of('input'), of('environment'), of('output')];
  if (again === null)
    return [`Not run again: what it read is no longer what it was, so that other bytes would prove nothing.`, ...named(inputs)];
  const compared = `${counted(again.files, 'file')} and ${counted(again.tensors, 'tensor')} after ${duration(again.seconds)}`;
  const changes = [...environment, ...inputs];
  if (identical)
    return [
      `Bit-identical: ${compared}.`,
      ...(changes.length === 0 ? [] : ['The same bytes came out although this was different:', ...named(changes)]),
    ];
  return [
    `Not the same bytes: ${counted(outputs.length, 'difference')} among ${compared}.`,
    ...named(outputs),
    ...(changes.length === 0
      ? ['Nothing that went in has changed, nor what it ran on.']
      : ['What was different, and may be why:', ...named(changes)]),
  ];
}

function named(differences: readonly LockDifference[]): string[] {
  const more = differences.length - MOST_NAMED;
  return [
    ...differences.slice(0, MOST_NAMED).map(({ message }) => `  ${message}`),
    ...(more > 0 ? [`  and ${more} more (--json has all)`] : []),
  ];
}
