// Two locks compared: what went into two runs, what they ran on, and what came out, each difference as a sentence that names it.
import { bytesText } from './bytes-text.js';
import type { RunLock } from './generated/lock.js';

export interface LockDifference {
  /** Of what was read; of what it ran on; of what was written. */
  kind: 'input' | 'environment' | 'output';
  /** File, tensor or part. */
  name: string;
  message: string;
}

type Files = RunLock['inputs'];

/** `then` and `now` name the same files; a file that is not among `now` was not read. */
export function differingInputs(then: Files, now: Files): LockDifference[] {
  return differingFiles(then, now).map(({ name, before, after }) => ({
    kind: 'input',
    name,
    message:
      after === undefined
        ? `${name} was read then and is not now`
        : before === undefined
          ? `${name} is read now and was not then`
          : `${name} has changed since: ${changeText(before, after)}`,
  }));
}

export function differingEnvironment(then: RunLock, now: RunLock): LockDifference[] {
  const part = (name: string, before: string, after: string): LockDifference[] =>
    before === after ? [] : [{ kind: 'environment', name, message: `${name} was ${before} and is ${after}` }];
  const cores = differingFiles(then.native_core.files, now.native_core.files).map(({ name, before, after }): LockDifference => ({
    kind: 'environment',
    name,
    message: `the native library ${name} is another one: ${changeText(before, after)}`,
  }));
  const devices = ({ device }: RunLock): string => `${device.n_devices} ${device.kind} (${device.name})`;
  return [
    ...part('the version of Bitwright', then.bitwright_version, now.bitwright_version),
    ...cores,
    ...part('the device', devices(then), devices(now)),
  ];
}

/** Tensors by name, and files whose tensors alone do not explain it. */
export function differingOutputs(then: RunLock, now: RunLock): LockDifference[] {
  const output = (name: string, message: string): LockDifference => ({ kind: 'output', name, message });
  const tokens = then.tokens !== null && now.tokens !== null && then.tokens.sha256 !== now.tokens.sha256;
  const inNow = new Map(now.tensors.map((tensor) => [tensor.name, tensor]));
  const inThen = new Set(then.tensors.map(({ name }) => name));
  const tensors = then.tensors.flatMap((tensor) => {
    const other = inNow.get(tensor.name);
    if (other === undefined) return [{ ...tensor, message: `${tensor.name} in ${tensor.file} is missing from the second run` }];
    return other.sha256 === tensor.sha256 ? [] : [{ ...tensor, message: `${tensor.name} in ${tensor.file} differs` }];
  });
  const added = now.tensors.filter(({ name }) => !inThen.has(name));
  const explained = new Set([...tensors, ...added].map(({ file }) => file));
  const files = differingFiles(then.files, now.files).filter(({ name }) => !explained.has(name));
  return [
    ...(tokens ? [output('calibration tokens', 'the calibration text was cut into other tokens')] : []),
    ...tensors.map(({ name, message }) => output(name, message)),
    ...added.map(({ name, file }) => output(name, `${name} in ${file} is new in the second run`)),
    ...files.map(({ name, before, after }) =>
      output(
        name,
        after === undefined
          ? `${name} is missing from the second run`
          : before === undefined
            ? `${name} is new in the second run`
            : `${name} differs: ${changeText(before, after)}`,
      ),
    ),
  ];
}

interface FilePair {
  name: string;
  before: Files[number] | undefined;
  after: Files[number] | undefined;
}

function differingFiles(then: Files, now: Files): FilePair[] {
  const [before, after] = [then, now].map((files) => new Map(files.map((file) => [file.name, file]))) as [
    Map<string, Files[number]>,
    Map<string, Files[number]>,
  ];
  const names = [...new Set([...before.keys(), ...after.keys()])];
  return names
    .map((name) => ({ name, before: before.get(name), after: after.get(name) }))
    .filter((pair) => pair.before?.sha256 !== pair.after?.sha256);
}

const changeText = (before: Files[number] | undefined, after: Files[number] | undefined): string =>
  before === undefined || after === undefined
    ? 'only one of both has it'
    : before.bytes === after.bytes
      ? `the same ${bytesText(before.bytes)}, other content`
      : `${bytesText(before.bytes)} then, ${bytesText(after.bytes)} now`;
