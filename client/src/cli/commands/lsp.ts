// `bitwright lsp`: the language server on stdio, for any editor.
import { spawn } from 'node:child_process';
import { exitCode, type Command } from '../command.js';
import { onInterrupt } from '../interrupt.js';
import { HostError, serverPath } from '../processes.js';

export const lspCommand: Command = {
  name: 'lsp',
  synopsis: '',
  summary: 'Run the language server on stdio, for any LSP editor.',
  description: 'An editor starts this for files named *.quant.yaml. It speaks LSP on stdin and stdout and ends when stdin closes.',
  operands: { least: 0, most: 0 },
  // Editors add --stdio by themselves.
  options: { stdio: { value: null, description: 'accepted for editors that pass it; stdio is the only transport' } },
  run: async () => {
    const child = spawn(process.execPath, [serverPath, '--stdio'], { stdio: 'inherit' });
    const interrupt = onInterrupt(
      () => child.kill('SIGTERM'),
      () => child.kill('SIGKILL'),
    );
    const ended = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code, signal) => resolve({ code, signal }));
    });
    if (interrupt.requested) return exitCode.interrupted;
    if (ended.code === 0) return exitCode.success;
    // LSP's own rule for a server whose client is gone.
    const cause = ended.code === 1 ? ': its input closed before a shutdown request came, or it failed and said so above' : '';
    throw new HostError(`The language server ended with ${ended.signal ?? `exit code ${ended.code}`}${cause}.`);
  },
};
