// The language client: starts the server process and asks it for plans.
import { LanguageClient, TransportKind } from 'vscode-languageclient/node';
import type { LanguageClientOptions, ServerOptions } from 'vscode-languageclient/node';
import * as vscode from 'vscode';
import { resolvePlanRequest } from '../../schemas/src/protocol/client-server.js';
import type { ResolvePlanParams, ResolvePlanResult, ServerInitializationOptions } from '../../schemas/src/protocol/client-server.js';
import { LANGUAGE_ID } from './manifest.js';

export interface ServerClient extends vscode.Disposable {
  resolvePlan(params: ResolvePlanParams): Promise<ResolvePlanResult>;
}

/** Model folders and data sets beside recipes: a change there changes what a recipe means. */
const watchedFiles =
  '**/{config.json,tokenizer_config.json,chat_template.jinja,chat_template.json,*.safetensors,*.safetensors.index.json,*.jsonl,*.csv,*.txt}';

export async function startServer(context: vscode.ExtensionContext): Promise<ServerClient> {
  const module = context.asAbsolutePath('dist/server/main.js');
  const serverOptions: ServerOptions = { module, transport: TransportKind.ipc };
  const initializationOptions: ServerInitializationOptions = {
    hostVersion: String((context.extension.packageJSON as { version: string }).version),
    hasRunCommands: true,
  };
  const watcher = vscode.workspace.createFileSystemWatcher(watchedFiles);
  const clientOptions: LanguageClientOptions = {
    documentSelector: [{ language: LANGUAGE_ID }],
    initializationOptions,
    synchronize: { fileEvents: watcher },
  };
  const client = new LanguageClient('bitwright', 'Bitwright Language Server', serverOptions, clientOptions);
  await client.start();
  return {
    resolvePlan: (params) => client.sendRequest<ResolvePlanResult>(resolvePlanRequest, params),
    dispose: () => {
      watcher.dispose();
      client.stop().catch((error: unknown) => console.error(`The language server did not stop in order: ${String(error)}`));
    },
  };
}
