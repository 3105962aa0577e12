// What the editor on the other side can do, read once from its `initialize`.
import type { InitializeParams } from 'vscode-languageserver/node';
import type { ServerInitializationOptions } from '../../../schemas/src/protocol/client-server.js';
import { filePathOf } from './file-path.js';

export interface Host {
  name: string;
  version: string;
  /** Completion items may hold $1 and ${2:placeholder}. */
  snippets: boolean;
  /** It has VS Code's command that asks for completion again. */
  askAgainCommand: boolean;
  /** It has the commands that code lenses run. */
  hasRunCommands: boolean;
  /** Paths of its workspace folders. */
  folders: string[];
  /** It answers workspace/configuration. */
  configures: boolean;
  /** It takes a registration for changed settings; others send them unasked. */
  registersSettings: boolean;
  refreshesHints: boolean;
  /** It takes a registration for files that it then watches. */
  watchesFiles: boolean;
  /** A diagnostic may name the page of its code, and other places. */
  codeDescriptions: boolean;
  relatedInformation: boolean;
}

export function unknownHost(): Host {
  return {
    name: 'a host',
    version: '',
    snippets: false,
    askAgainCommand: false,
    hasRunCommands: false,
    folders: [],
    configures: false,
    registersSettings: false,
    refreshesHints: false,
    watchesFiles: false,
    codeDescriptions: false,
    relatedInformation: false,
  };
}

export function readHost({ capabilities, clientInfo, initializationOptions, workspaceFolders, rootUri }: InitializeParams): Host {
  const options = initializationOptions as Partial<ServerInitializationOptions> | undefined;
  const { textDocument, workspace } = capabilities;
  const folders = workspaceFolders?.map(({ uri }) => uri) ?? (rootUri === null ? [] : [rootUri]);
  return {
    name: clientInfo?.name ?? 'a host',
    version: options?.hostVersion ?? '',
    snippets: textDocument?.completion?.completionItem?.snippetSupport === true,
    askAgainCommand: /code|codium/i.test(clientInfo?.name ?? ''),
    hasRunCommands: options?.hasRunCommands === true,
    folders: folders.flatMap((uri) => filePathOf(uri) ?? []),
    configures: workspace?.configuration === true,
    registersSettings: workspace?.didChangeConfiguration?.dynamicRegistration === true,
    refreshesHints: workspace?.inlayHint?.refreshSupport === true,
    watchesFiles: workspace?.didChangeWatchedFiles?.dynamicRegistration === true,
    codeDescriptions: textDocument?.publishDiagnostics?.codeDescriptionSupport === true,
    relatedInformation: textDocument?.publishDiagnostics?.relatedInformation === true,
  };
}
