// The two processes that the command line conducts: the language server as an LSP peer, and the worker. Their bundles lie beside this one.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node';
import {
  assignBitsRequest,
  describeModelRequest,
  resolvePlanRequest,
  type AssignBitsParams,
  type AssignBitsResult,
  type DescribeModelParams,
  type DescribeModelResult,
  type ResolvePlanParams,
  type ResolvePlanResult,
  type ServerInitializationOptions,
} from '../../../schemas/src/protocol/client-server.js';
import type { RunEvent } from '../../../schemas/src/run-event.js';
import { startChild } from '../child-process.js';
import { requestUntilEnd, startWorker, type WorkerHost } from '../worker-host.js';
import { version } from './version.js';

export const serverPath = path.join(__dirname, '..', 'server', 'main.js');
const workerPath = path.join(__dirname, '..', 'worker', 'main.js');

/** The installation or a process is broken: its sentence and exit code 1. */
export class HostError extends Error {}

export interface ServerProcess {
  resolvePlan(params: ResolvePlanParams): Promise<ResolvePlanResult>;
  assignBits(params: AssignBitsParams): Promise<AssignBitsResult>;
  describeModel(params: DescribeModelParams): Promise<DescribeModelResult>;
  stop(): Promise<void>;
}

export async function startServer(): Promise<ServerProcess> {
  requireBundle(serverPath);
  const child = startChild({ execPath: process.execPath, args: [serverPath, '--stdio'], env: process.env, onLog: logOf('server') });
  const connection = createMessageConnection(new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin));
  const died = child.ended.then(({ detail, lastLines }): never => {
    throw new HostError(`The language server ended before it answered (${detail}).${lastLines === '' ? '' : `\n${lastLines}`}`);
  });
  const request = requestUntilEnd(connection, child, died);
  connection.listen();
  const initializationOptions: ServerInitializationOptions = { hostVersion: version };
  await request('initialize', { processId: process.pid, rootUri: null, capabilities: {}, initializationOptions });
  await connection.sendNotification('initialized', {});
  return {
    resolvePlan: (params) => request<ResolvePlanResult>(resolvePlanRequest, params),
    assignBits: (params) => request<AssignBitsResult>(assignBitsRequest, params),
    describeModel: (params) => request<DescribeModelResult>(describeModelRequest, params),
    stop: async () => {
      await request('shutdown', {});
      await child.stop();
      connection.dispose();
    },
  };
}

/** Starts the worker; `onEvent` gets the events of its runs. */
export function startWorkerProcess(onEvent: (event: RunEvent) => void): Promise<WorkerHost> {
  requireBundle(workerPath);
  return startWorker({
    workerPath,
    execPath: process.execPath,
    env: process.env,
    host: `bitwright command line ${version}`,
    threads: null,
    onEvent,
    onLog: logOf('worker'),
    onExit: () => undefined,
  });
}

/** BITWRIGHT_LOG=1 shows what the processes write to their logs; their last lines are shown anyway when one dies. */
function logOf(name: string): (line: string) => void {
  const shown = (process.env['BITWRIGHT_LOG'] ?? '') !== '';
  return (line) => {
    if (shown) process.stderr.write(`[${name}] ${line}\n`);
  };
}

function requireBundle(file: string): void {
  if (!existsSync(file)) throw new HostError(`${file} is missing: this installation is incomplete. Build it with npm run build.`);
}
