// The language server's connection: capabilities, documents, diagnostics, settings. requests.ts routes what the editor asks for.
import {
  CodeActionKind,
  DidChangeConfigurationNotification,
  DidChangeWatchedFilesNotification,
  TextDocuments,
  TextDocumentSyncKind,
  type Connection,
  type Diagnostic,
  type InitializeResult,
} from 'vscode-languageserver/node';
import { TextDocument } from 'vscode-languageserver-textdocument';
import {
  describeModelRequest,
  assignBitsRequest,
  editLayersRequest,
  layerRulesRequest,
  recipeModelRequest,
  resolvePlanRequest,
  type AssignBitsParams,
  type DescribeModelParams,
  type EditLayersParams,
  type LayerRulesParams,
  type ProblemWithRange,
  type RecipeModelParams,
  type ResolvePlanParams,
} from '../../../schemas/src/protocol/client-server.js';
import { createAnalyses } from './analyses.js';
import { createFence } from './fence.js';
import { readHost, unknownHost } from './host.js';
import { serveFeatures } from './requests.js';
import { readServerSettings, withSeverities } from './server-settings.js';
import { fixAllKind, semanticTokensLegend, toDiagnostic } from './to-lsp.js';

/** Milliseconds before problems are found anew: what the editor asks right behind a key press is answered first. */
const shortestDelay = 5;
/** Where an analysis takes longer than this, it waits until typing pauses for that time, at most for longestDelay. */
const promptAnalysis = 60;
const longestDelay = 150;

/** Model folders and data sets: a change there changes what a recipe means. */
const watchedFiles =
  '**/{config.json,tokenizer.json,tokenizer_config.json,chat_template.jinja,chat_template.json,*.safetensors,*.safetensors.index.json,*.jsonl,*.csv,*.txt}';

export function serveRecipes(connection: Connection): void {
  const fence = createFence((message) => connection.console.error(message), (process.env['BITWRIGHT_STRICT'] ?? '') !== '');
  const documents = new TextDocuments(TextDocument);
  const analyses = createAnalyses();
  const host = unknownHost();
  let settings = readServerSettings(undefined);

  connection.onInitialize((params) => {
    Object.assign(host, readHost(params));
    connection.console.log(`Bitwright language server for ${host.name} ${host.version}`.trimEnd());
    return capabilities;
  });
  serveFeatures(connection, { fence, documents, analyses, host, settings: () => settings });
  connection.onRequest(
    resolvePlanRequest,
    fence.request('resolvePlan', (params: ResolvePlanParams) => analyses.resolve(params, documents.get(params.uri)?.getText())),
  );
  connection.onRequest(
    assignBitsRequest,
    fence.request('assignBits', (params: AssignBitsParams) => analyses.assignBits(params, documents.get(params.uri)?.getText())),
  );
  connection.onRequest(
    editLayersRequest,
    fence.request('editLayers', (params: EditLayersParams) => analyses.editLayers(params, documents.get(params.uri)?.getText())),
  );
  connection.onRequest(
    layerRulesRequest,
    fence.request('layerRules', (params: LayerRulesParams) => analyses.layerRules(params, documents.get(params.uri)?.getText())),
  );
  connection.onRequest(
    recipeModelRequest,
    fence.request('recipeModel', (params: RecipeModelParams) => analyses.recipeModel(params, documents.get(params.uri)?.getText())),
  );
  connection.onRequest(
    describeModelRequest,
    fence.request('describeModel', (params: DescribeModelParams) => analyses.describe(params.model)),
  );

  const timers = new Map<string, NodeJS.Timeout>();
  /** Milliseconds of the last analysis. */
  const costs = new Map<string, number>();
  const publish = async (uri: string): Promise<void> => {
    timers.delete(uri);
    const text = documents.get(uri);
    if (text === undefined) return;
    const { version } = text;
    const began = performance.now();
    const diagnosticsOf = (problems: readonly ProblemWithRange[]): Diagnostic[] =>
      withSeverities(problems, settings).map((problem) => toDiagnostic(problem, uri, host));
    // Reading the headers of a large model for the first time takes a second. These are not all problems of a version, so they name none.
    const tell = (errors: readonly ProblemWithRange[]): void =>
      fence.background('diagnostics', () => connection.sendDiagnostics({ uri, diagnostics: diagnosticsOf(errors) }));
    const { problems } = await analyses.of(text, tell);
    costs.set(uri, performance.now() - began);
    // What was typed meanwhile has its own timer.
    if (documents.get(uri)?.version !== version) return;
    await connection.sendDiagnostics({ uri, version, diagnostics: diagnosticsOf(problems) });
  };
  const publishSoon = (uri: string, delay: number): void => {
    clearTimeout(timers.get(uri));
    timers.set(
      uri,
      setTimeout(() => fence.background('diagnostics', () => publish(uri)), delay),
    );
  };
  const publishAll = (): void => {
    for (const uri of documents.keys()) publishSoon(uri, 0);
  };
  documents.onDidOpen(({ document }) => publishSoon(document.uri, 0));
  documents.onDidChangeContent(({ document }) => publishSoon(document.uri, delayAfter(costs.get(document.uri) ?? 0)));
  documents.onDidClose(({ document }) => {
    clearTimeout(timers.get(document.uri));
    timers.delete(document.uri);
    costs.delete(document.uri);
    analyses.forget(document.uri);
    fence.background('diagnostics', () => connection.sendDiagnostics({ uri: document.uri, diagnostics: [] }));
  });
  // A model or data set in the workspace has changed.
  connection.onDidChangeWatchedFiles(() => {
    analyses.forgetAll();
    publishAll();
  });

  const readSettings = async (): Promise<void> => {
    if (!host.configures) return;
    settings = readServerSettings(await connection.workspace.getConfiguration('bitwright'));
    publishAll();
    if (host.refreshesHints) await connection.languages.inlayHint.refresh();
  };
  connection.onInitialized(() => {
    if (host.registersSettings)
      fence.background('settings', async () => void (await connection.client.register(DidChangeConfigurationNotification.type, undefined)));
    if (host.watchesFiles)
      fence.background(
        'file watching',
        async () =>
          void (await connection.client.register(DidChangeWatchedFilesNotification.type, { watchers: [{ globPattern: watchedFiles }] })),
      );
    fence.background('settings', readSettings);
  });
  connection.onDidChangeConfiguration(() => fence.background('settings', readSettings));

  documents.listen(connection);
  connection.listen();
}

const delayAfter = (cost: number): number => (cost <= promptAnalysis ? shortestDelay : Math.min(longestDelay, cost));

const capabilities: InitializeResult = {
  serverInfo: { name: 'bitwright' },
  capabilities: {
    textDocumentSync: TextDocumentSyncKind.Incremental,
    completionProvider: { triggerCharacters: [' ', '/', '[', '.', ':', '-', '"', "'"] },
    hoverProvider: true,
    codeActionProvider: { codeActionKinds: [CodeActionKind.QuickFix, fixAllKind] },
    documentSymbolProvider: true,
    workspaceSymbolProvider: true,
    foldingRangeProvider: true,
    selectionRangeProvider: true,
    codeLensProvider: {},
    documentLinkProvider: {},
    inlayHintProvider: true,
    semanticTokensProvider: { legend: semanticTokensLegend, full: true },
    definitionProvider: true,
    referencesProvider: true,
    renameProvider: { prepareProvider: true },
    documentFormattingProvider: true,
  },
};
