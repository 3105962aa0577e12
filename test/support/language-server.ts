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

export interface Registration {
  method: string;
  registerOptions?: unknown;
}

export interface LanguageServer {
  readonly process: ChildProcess;
  readonly connection: MessageConnection;
  /** What it says that it can do. */
  readonly capabilities: Readonly<Record<string, unknown>>;
  /** Methods that the server registered, with their options. */
  readonly registered: readonly Registration[];
  /** Everything the server logged as a bug. */
  readonly bugs: readonly string[];
  open(uri: string, text: string): Promise<void>;
  change(uri: string, version: number, text: string): Promise<void>;
  /** The diagnostics of a version, waiting for them. */
  diagnostics(uri: string, version: number): Promise<LspDiagnostic[]>;
  /** The ones that come next, of whatever version. */
  nextDiagnostics(uri: string): Promise<LspDiagnostic[]>;
  request<Result>(method: string, params: object): Promise<Result>;
  stop(): Promise<number | null>;
}

/** `args` name the program; the command line's `lsp` serves the same. `more`: what the client says that it can do beside snippets. */
export async function startLanguageServer(
  args: readonly string[] = [serverPath, '--stdio'],
  more: { publishDiagnostics?: object; workspace?: object } = {},
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
  const next = new Map<string, (diagnostics: LspDiagnostic[]) => void>();
  const waiting = new Map<string, (diagnostics: LspDiagnostic[]) => void>();
  connection.onNotification(
    'textDocument/publishDiagnostics',
    (params: { uri: string; version?: number; diagnostics: LspDiagnostic[] }) => {
      const key = `${params.uri} ${params.version}`;
      published.set(key, params.diagnostics);
      waiting.get(key)?.(params.diagnostics);
      next.get(params.uri)?.(params.diagnostics);
    },
  );
  connection.onNotification('window/logMessage', ({ message }: { message: string }) => {
    if (message.startsWith('Bug in')) bugs.push(message);
  });
  const registered: Registration[] = [];
  connection.onRequest('client/registerCapability', ({ registrations }: { registrations: Registration[] }) => {
    registered.push(...registrations);
    return null;
  });
  connection.listen();
  const { capabilities } = await connection.sendRequest<{ capabilities: Record<string, unknown> }>('initialize', {
    processId: process.pid,
    rootUri: null,
    capabilities: {
      textDocument: { completion: { completionItem: { snippetSupport: true } }, publishDiagnostics: more.publishDiagnostics ?? {} },
      workspace: more.workspace ?? {},
    },
    initializationOptions: { hostVersion: 'test' },
  });
  await connection.sendNotification('initialized', {});
  return {
    process: child,
    connection,
    capabilities,
    bugs,
    registered,
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
    nextDiagnostics: (uri) => new Promise((resolve) => next.set(uri, resolve)),
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
