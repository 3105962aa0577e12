// A worker process that misbehaves as its first argument says; it speaks the real protocol, so that the host's answers to death and mismatch can be tested.
import {
  createMessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
  type CancellationToken,
} from 'vscode-jsonrpc/node';
import {
  cancelRequest,
  devicesRequest,
  evaluateRequest,
  initializeRequest,
  runEventNotification,
  runRequest,
} from '../../schemas/src/protocol/client-worker.js';
import { PROTOCOL_VERSION } from '../../schemas/src/protocol/version.js';
import type { RunEvent } from '../../schemas/src/run-event.js';

const behaviour = process.env['SCRIPTED_WORKER'] ?? 'well';
const connection = createMessageConnection(new StreamMessageReader(process.stdin), new StreamMessageWriter(process.stdout));
const send = (event: RunEvent): Promise<void> => connection.sendNotification(runEventNotification, event);

connection.onRequest(initializeRequest, () => {
  if (behaviour === 'die-at-start') {
    process.stderr.write('the native core is missing\n', () => process.exit(3));
    return new Promise(() => undefined);
  }
  if (behaviour === 'refuse-protocol') return new ResponseError(-32600, 'The host speaks protocol 1, the worker 2.');
  return { protocol: behaviour === 'other-protocol' ? PROTOCOL_VERSION + 1 : PROTOCOL_VERSION, version: '0', native_abi: 1, devices: [] };
});
connection.onRequest(devicesRequest, () => {
  if (behaviour !== 'close-stdout') return [];
  process.stdout.end();
  return new Promise(() => undefined);
});
connection.onRequest(runRequest, () => {
  setTimeout(() => {
    void send({ kind: 'run-began', run_id: 'r1', run_dir: '', n_blocks: 1, n_layers: 1, resumed_blocks: 0, device: 'cpu' });
    if (behaviour === 'die-in-run') process.stderr.write('block 0\nout of luck\n', () => process.kill(process.pid, 'SIGKILL'));
  }, 10);
  return { run_id: 'r1', run_dir: '' };
});
connection.onRequest(cancelRequest, async () => {
  await send({ kind: 'run-ended', run_id: 'r1', outcome: 'cancelled', report_dir: null, output_dir: null, failure: null });
});
connection.onRequest(evaluateRequest, (_params: unknown, token: CancellationToken) => {
  const cancelled = new ResponseError(-32800, 'cancelled');
  // A request that was cancelled before it was dispatched comes with a token that fires no event.
  if (token.isCancellationRequested) return cancelled;
  return new Promise((_, reject) => token.onCancellationRequested(() => reject(cancelled)));
});
connection.onClose(() => process.exit(0));
connection.listen();
