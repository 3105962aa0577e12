// The language client: starts the server process and serves the editor's features with it. Loaded when there is a recipe: it is the largest part of the extension.
import { LanguageClient, TransportKind } from 'vscode-languageclient/node';
import type { LanguageClientOptions, ServerOptions } from 'vscode-languageclient/node';
import type * as vscode from 'vscode';
import type { ServerInitializationOptions } from '../../schemas/src/protocol/client-server.js';
import { LANGUAGE_ID } from './manifest.js';

export interface LanguageServer {
  request<Result>(method: string, params: object): Promise<Result>;
  stop(): Promise<void>;
}

export async function startLanguageServer(context: vscode.ExtensionContext): Promise<LanguageServer> {
  const module = context.asAbsolutePath('dist/server/main.js');
  const serverOptions: ServerOptions = { module, transport: TransportKind.ipc };
  const initializationOptions: ServerInitializationOptions = {
    hostVersion: String((context.extension.packageJSON as { version: string }).version),
    hasRunCommands: true,
  };
  const clientOptions: LanguageClientOptions = {
    documentSelector: [{ language: LANGUAGE_ID }],
    initializationOptions,
  };
  const client = new LanguageClient('bitwright', 'Bitwright Language Server', serverOptions, clientOptions);
  await client.start();
  return {
    request: (method, params) => client.sendRequest(method, params),
    stop: () => client.stop(),
  };
}
