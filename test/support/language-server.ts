// An LSP peer for tests: starts the built language server on stdio, in strict mode, and speaks plain JSON-RPC with it.
import { spawn, type ChildProcess } from 'node:child_process';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter, type MessageConnection } from 'vscode-jsonrpc/node';
import { requireBuild, serverPath } from './bitwright-process.js';

export interface LspRange {
  start: { line: number; character: number };
  end: { line: number; character: number };
}

export interface LspDiagnostic {
  range: LspRange;
  severity: number;
  code: string;
  message: string;
  codeDescription?: { href: string };
  relatedInformation?: { location: { uri: string; range: LspRange }; message: string }[];
}

export interface LanguageServer {
  readonly process: ChildProcess;
  readonly connection: MessageConnection;
  /** Everything the server logged as a bug. */
  readonly bugs: readonly string[];
  open(uri: string, text: string): Promise<void>;
  change(uri: string, version: number, text: string): Promise<void>;
  /** The diagnostics of a version, waiting for them. */
  diagnostics(uri: string, version: number): Promise<LspDiagnostic[]>;
  request<Result>(method: string, params: object): Promise<Result>;
  stop(): Promise<number | null>;
}

/** `args` name the program; the command line's `lsp` serves the same. `publishDiagnostics`: what the client says that it shows of them. */
export async function startLanguageServer(
  args: readonly string[] = [serverPath, '--stdio'],
  publishDiagnostics: object = {},
): Promise<LanguageServer> {
  requireBuild('server');
  const child = spawn(process.execPath, [...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, BITWRIGHT_STRICT: '1' },
  });
  const exit = new Promise<number | null>((resolve) => child.on('exit', resolve));
  const connection = createMessageConnection(new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin));
  const bugs: string[] = [];
  const published = new Map<string, LspDiagnostic[]>();
  const waiting = new Map<string, (diagnostics: LspDiagnostic[]) => void>();
  connection.onNotification(
    'textDocument/publishDiagnostics',
    (params: { uri: string; version?: number; diagnostics: LspDiagnostic[] }) => {
      const key = `${params.uri} ${params.version}`;
      published.set(key, params.diagnostics);
      waiting.get(key)?.(params.diagnostics);
    },
  );
  connection.onNotification('window/logMessage', ({ message }: { message: string }) => {
    if (message.startsWith('Bug in')) bugs.push(message);
  });
  connection.listen();
  await connection.sendRequest('initialize', {
    processId: process.pid,
    rootUri: null,
    capabilities: { textDocument: { completion: { completionItem: { snippetSupport: true } }, publishDiagnostics } },
    initializationOptions: { hostVersion: 'test' },
  });
  await connection.sendNotification('initialized', {});
  return {
    process: child,
    connection,
    bugs,
    open: (uri, text) =>
      connection.sendNotification('textDocument/didOpen', { textDocument: { uri, languageId: 'bitwright-recipe', version: 1, text } }),
    change: (uri, version, text) =>
      connection.sendNotification('textDocument/didChange', { textDocument: { uri, version }, contentChanges: [{ text }] }),
    diagnostics: (uri, version) => {
      const key = `${uri} ${version}`;
      const known = published.get(key);
      if (known !== undefined) return Promise.resolve(known);
      const gone = exit.then((code) => {
        throw new Error(`The server ended with exit code ${code}. ${bugs.join('\n')}`);
      });
      return Promise.race([new Promise<LspDiagnostic[]>((resolve) => waiting.set(key, resolve)), gone]);
    },
    request: (method, params) => connection.sendRequest(method, params),
    stop: async () => {
      await connection.sendRequest('shutdown');
      await connection.sendNotification('exit');
      const code = await exit;
      connection.dispose();
      return code;
    },
  };
}
