#!/usr/bin/env node
// The command line: chooses the command, turns usage errors and failures into sentences and exit codes.
import { RunFailureError } from '../../../schemas/src/run-failure.js';
import { commandHelp, generalHelp, parseInvocation } from './arguments.js';
import { exitCode, UsageError, type Command, type ExitCode } from './command.js';
import { analyzeCommand } from './commands/analyze.js';
import { checkCommand } from './commands/check.js';
import { devicesCommand } from './commands/devices.js';
import { evaluateCommand } from './commands/evaluate.js';
import { inspectCommand } from './commands/inspect.js';
import { lspCommand } from './commands/lsp.js';
import { planCommand } from './commands/plan.js';
import { quantizeCommand } from './commands/quantize.js';
import { reportCommand } from './commands/report.js';
import { suggestCommand } from './commands/suggest.js';
import { verifyCommand } from './commands/verify.js';
import { endOnInterrupt } from './interrupt.js';
import { HostError } from './processes.js';
import { openTerminal, type Terminal } from './terminal.js';
import { version } from './version.js';

const commands: readonly Command[] = [
  checkCommand,
  planCommand,
  quantizeCommand,
  reportCommand,
  verifyCommand,
  evaluateCommand,
  analyzeCommand,
  suggestCommand,
  inspectCommand,
  devicesCommand,
  lspCommand,
];

async function main(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  // `help COMMAND` is `COMMAND --help`.
  const [name, ...rest] = args[0] === 'help' && args[1] !== undefined ? [args[1], '--help'] : args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    terminal.out(generalHelp(commands).trimEnd());
    return name === undefined ? exitCode.usage : exitCode.success;
  }
  if (name === '--version' || name === '-v') {
    terminal.out(version);
    return exitCode.success;
  }
  const command = commands.find((candidate) => candidate.name === name);
  try {
    if (command === undefined) {
      const names = commands.map((each) => each.name).join(', ');
      throw new UsageError(
        name.startsWith('-')
          ? `The command comes first, then its options: one of ${names}.`
          : `There is no command ${name}; there are ${names}.`,
      );
    }
    const invocation = parseInvocation(command, rest);
    if (invocation !== 'help') return await command.run(invocation, terminal);
    terminal.out(commandHelp(command).trimEnd());
    return exitCode.success;
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.err(`${error.message}\nSee bitwright ${command === undefined ? '' : `${command.name} `}--help.`);
      return exitCode.usage;
    }
    if (error instanceof RunFailureError || error instanceof HostError) {
      terminal.err(error.message);
      return exitCode.problems;
    }
    throw error;
  }
}

// What was asked for did not arrive, however well the work went.
const failAtExit = (): void =>
  void process.once('exit', (code) => {
    if (code === exitCode.success) process.exitCode = exitCode.problems;
  });

const terminal = openTerminal(process.stdout, process.stderr, failAtExit);
endOnInterrupt(terminal);
void main(process.argv.slice(2), terminal).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`Bitwright has a bug: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = exitCode.problems;
  },
);
