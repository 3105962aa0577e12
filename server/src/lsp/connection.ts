// The language server's connection: capabilities and routing. Each request goes through the fence, so that a bug in one feature never ends the process.
import {
  CodeActionKind,
  TextDocuments,
  TextDocumentSyncKind,
  type Connection,
  type InitializeParams,
  type InitializeResult,
  type Position,
} from 'vscode-languageserver/node';
import { TextDocument } from 'vscode-languageserver-textdocument';
import {
  describeModelRequest,
  resolvePlanRequest,
  type DescribeModelParams,
  type ResolvePlanParams,
  type ServerInitializationOptions,
} from '../../../schemas/src/protocol/client-server.js';
import { quickFixes } from '../features/code-actions.js';
import { codeLens } from '../features/code-lens.js';
import { completeRecipe } from '../features/completion.js';
import { documentSymbols } from '../features/document-symbols.js';
import { foldingRanges } from '../features/folding-ranges.js';
import { hoverRecipe } from '../features/hover.js';
import { createAnalyses, type Analysis } from './analyses.js';
import { createFence } from './fence.js';
import { listFolder } from './folder-listing.js';
import {
  toCodeAction,
  toCodeLens,
  toCompletionList,
  toDiagnostic,
  toDocumentSymbol,
  toFoldingRange,
  toHover,
  type CompletionStyle,
} from './to-lsp.js';

/** Typing pauses this long before problems are found anew. */
const DIAGNOSTICS_DELAY_MILLISECONDS = 200;

export function serveRecipes(connection: Connection): void {
  const fence = createFence((message) => connection.console.error(message), (process.env['BITWRIGHT_STRICT'] ?? '') !== '');
  const documents = new TextDocuments(TextDocument);
  const analyses = createAnalyses();
  const style: CompletionStyle = { snippets: false, askAgainCommand: false };

  /** Answers a request about an open document; `empty` for one that is not open. */
  function onDocument<Params extends { textDocument: { uri: string } }, Result>(
    name: string,
    empty: Result,
    work: (analysis: Analysis, params: Params, text: TextDocument) => Promise<Result> | Result,
  ) {
    return fence.feature<Params, Result>(name, empty, async (params) => {
      const text = documents.get(params.textDocument.uri);
      return text === undefined ? empty : work(await analyses.of(text), params, text);
    });
  }
  const offsetOf = (text: TextDocument, { position }: { position: Position }): number => text.offsetAt(position);

  connection.onInitialize((params) => initialize(params, connection, style));
  connection.onCompletion(
    onDocument('completion', null, async ({ model }, params, text) => {
      const uri = params.textDocument.uri;
      const completion = await completeRecipe({
        text: text.getText(),
        offset: offsetOf(text, params),
        model,
        listFolder: (folder) => listFolder(uri, folder),
      });
      return toCompletionList(completion, { start: text.positionAt(completion.begin), end: text.positionAt(completion.end) }, style);
    }),
  );
  connection.onHover(
    onDocument('hover', null, ({ document, model, plan }, params, text) => {
      const hover = hoverRecipe({ document, offset: offsetOf(text, params), model, plan });
      return hover === null ? null : toHover(hover);
    }),
  );
  connection.onCodeAction(
    onDocument('codeAction', [], ({ document, problems }, { textDocument, range }) =>
      quickFixes(document, problems, range).map((fix) => toCodeAction(textDocument.uri, fix)),
    ),
  );
  connection.onDocumentSymbol(onDocument('documentSymbol', [], ({ document }) => documentSymbols(document).map(toDocumentSymbol)));
  connection.onFoldingRanges(onDocument('foldingRange', [], ({ document }) => foldingRanges(document).map(toFoldingRange)));
  connection.onCodeLens(onDocument('codeLens', [], ({ document, plan }) => codeLens(document, plan).map(toCodeLens)));
  connection.onRequest(
    resolvePlanRequest,
    fence.request('resolvePlan', (params: ResolvePlanParams) => analyses.resolve(params, documents.get(params.uri)?.getText())),
  );
  connection.onRequest(
    describeModelRequest,
    fence.request('describeModel', (params: DescribeModelParams) => analyses.describe(params.model)),
  );

  const timers = new Map<string, NodeJS.Timeout>();
  const publish = async (uri: string): Promise<void> => {
    timers.delete(uri);
    const text = documents.get(uri);
    if (text === undefined) return;
    const { version } = text;
    const { problems } = await analyses.of(text);
    // What was typed meanwhile has its own timer.
    if (documents.get(uri)?.version !== version) return;
    await connection.sendDiagnostics({ uri, version, diagnostics: problems.map(toDiagnostic) });
  };
  const publishSoon = (uri: string, delay: number): void => {
    clearTimeout(timers.get(uri));
    timers.set(
      uri,
      setTimeout(() => fence.background('diagnostics', () => publish(uri)), delay),
    );
  };
  documents.onDidOpen(({ document }) => publishSoon(document.uri, 0));
  documents.onDidChangeContent(({ document }) => publishSoon(document.uri, DIAGNOSTICS_DELAY_MILLISECONDS));
  documents.onDidClose(({ document }) => {
    clearTimeout(timers.get(document.uri));
    timers.delete(document.uri);
    analyses.forget(document.uri);
    fence.background('diagnostics', () => connection.sendDiagnostics({ uri: document.uri, diagnostics: [] }));
  });
  // A model or data set beside a recipe has changed; the host decides what is watched.
  connection.onDidChangeWatchedFiles(() => {
    analyses.forgetAll();
    for (const uri of documents.keys()) publishSoon(uri, 0);
  });

  documents.listen(connection);
  connection.listen();
}

function initialize(params: InitializeParams, connection: Connection, style: CompletionStyle): InitializeResult {
  const options = params.initializationOptions as Partial<ServerInitializationOptions> | undefined;
  const item = params.capabilities.textDocument?.completion?.completionItem;
  style.snippets = item?.snippetSupport === true;
  style.askAgainCommand = /code|codium/i.test(params.clientInfo?.name ?? '');
  connection.console.log(`Bitwright language server for ${params.clientInfo?.name ?? 'a host'} ${options?.hostVersion ?? ''}`.trimEnd());
  return {
    serverInfo: { name: 'bitwright' },
    capabilities: {
      textDocumentSync: TextDocumentSyncKind.Incremental,
      completionProvider: { triggerCharacters: [' ', '/', '[', '.', ':', '-', '"', "'"] },
      hoverProvider: true,
      codeActionProvider: { codeActionKinds: [CodeActionKind.QuickFix] },
      documentSymbolProvider: true,
      foldingRangeProvider: true,
      codeLensProvider: {},
    },
  };
}
