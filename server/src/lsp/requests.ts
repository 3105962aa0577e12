// Routing of the editor's requests to the features. Each goes through the fence, so that a bug in one feature never ends the process.
import {
  CodeActionKind,
  LSPErrorCodes,
  ResponseError,
  type CompletionParams,
  type Connection,
  type Position,
  type TextDocuments,
} from 'vscode-languageserver/node';
import type { TextDocument } from 'vscode-languageserver-textdocument';
import { renamable, rename } from '../features/anchors.js';
import { fixAll, problemsIn, quickFixes } from '../features/code-actions.js';
import { codeLens } from '../features/code-lens.js';
import { completeRecipe } from '../features/completion.js';
import { definitions, references } from '../features/definition.js';
import { documentLinks } from '../features/document-links.js';
import { documentSymbols, symbolsNamed } from '../features/document-symbols.js';
import { foldingRanges } from '../features/folding-ranges.js';
import { hoverRecipe } from '../features/hover.js';
import { inlayHints } from '../features/inlay-hints.js';
import { selectionRanges } from '../features/selection-ranges.js';
import { semanticTokens } from '../features/semantic-tokens.js';
import { suppressions } from '../features/suppress-problem.js';
import { formatRecipe } from '../recipe/format-recipe.js';
import { parseRecipe } from '../recipe/parse-recipe.js';
import type { Analyses, Analysis } from './analyses.js';
import type { Fence } from './fence.js';
import { listFolder } from './folder-listing.js';
import type { Host } from './host.js';
import { withSeverities, type ServerSettings } from './server-settings.js';
import {
  fixAllKind,
  toCodeAction,
  toCodeLens,
  toCompletionList,
  toDocumentLink,
  toDocumentSymbol,
  toFixAll,
  toFoldingRange,
  toHover,
  toInlayHint,
  toLocation,
  toSelectionRange,
  toSemanticTokens,
  toWorkspaceSymbol,
} from './to-lsp.js';
import { recipesOf } from './workspace-recipes.js';

export interface FeatureParts {
  fence: Fence;
  documents: TextDocuments<TextDocument>;
  analyses: Analyses;
  host: Host;
  /** As the host last sent them. */
  settings(): ServerSettings;
}

export function serveFeatures(connection: Connection, { fence, documents, analyses, host, settings }: FeatureParts): void {
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

  // Asked while typing, so it does not wait for the analysis of the new text.
  connection.onCompletion(
    fence.feature('completion', null, async (params: CompletionParams) => {
      const { uri } = params.textDocument;
      const text = documents.get(uri);
      if (text === undefined) return null;
      const { model, resolution } = await analyses.latest(text);
      const completion = await completeRecipe({
        text: text.getText(),
        offset: offsetOf(text, params),
        model,
        datasets: resolution,
        listFolder: (folder) => listFolder(uri, folder),
      });
      return toCompletionList(completion, { start: text.positionAt(completion.begin), end: text.positionAt(completion.end) }, host);
    }),
  );
  connection.onHover(
    onDocument('hover', null, ({ resolution }, params, text) => {
      const hover = hoverRecipe(resolution, offsetOf(text, params));
      return hover === null ? null : toHover(hover);
    }),
  );
  connection.onCodeAction(
    onDocument('codeAction', [], ({ document, problems }, { textDocument, range, context }) => {
      const wants = (kind: string): boolean => context.only?.some((only) => kind === only || kind.startsWith(`${only}.`)) ?? true;
      const shown = withSeverities(problems, settings());
      const quick = wants(CodeActionKind.QuickFix)
        ? [...quickFixes(document, shown, range), ...suppressions(document, problemsIn(shown, range))]
        : [];
      const all = wants(fixAllKind) ? fixAll(document, shown) : [];
      return [
        ...quick.map((fix) => toCodeAction(textDocument.uri, fix, host)),
        ...(all.length === 0 ? [] : [toFixAll(textDocument.uri, all)]),
      ];
    }),
  );
  connection.onCodeLens(
    onDocument('codeLens', [], ({ document, plan }, { textDocument }) =>
      codeLens(document, plan, host.hasRunCommands).map((lens) => toCodeLens(textDocument.uri, lens)),
    ),
  );
  connection.languages.inlayHint.on(
    onDocument('inlayHint', [], ({ resolution }, { range }) => inlayHints(resolution, range, settings().inlayHints).map(toInlayHint)),
  );
  connection.languages.semanticTokens.on(
    onDocument('semanticTokens', { data: [] }, ({ document, model }) => toSemanticTokens(semanticTokens(document, model))),
  );

  connection.onDocumentSymbol(onDocument('documentSymbol', [], ({ document }) => documentSymbols(document).map(toDocumentSymbol)));
  connection.onWorkspaceSymbol(
    fence.feature('workspaceSymbol', [], async ({ query }: { query: string }) => {
      const recipes = await recipesOf(host.folders, documents.all());
      return recipes.flatMap(({ uri, text }) =>
        symbolsNamed(parseRecipe(text).document, query).map((symbol) => toWorkspaceSymbol(uri, symbol)),
      );
    }),
  );
  connection.onFoldingRanges(onDocument('foldingRange', [], ({ document }) => foldingRanges(document).map(toFoldingRange)));
  connection.onSelectionRanges(
    onDocument('selectionRange', [], ({ document }, { positions }, text) =>
      positions.map((position) => toSelectionRange(selectionRanges(document, text.offsetAt(position)))),
    ),
  );
  connection.onDocumentLinks(onDocument('documentLink', [], ({ resolution }) => documentLinks(resolution).map(toDocumentLink)));

  connection.onDefinition(
    onDocument('definition', [], ({ resolution }, params, text) =>
      definitions(resolution, offsetOf(text, params)).map((found) => toLocation(params.textDocument.uri, found)),
    ),
  );
  connection.onReferences(
    onDocument('references', [], ({ resolution }, params, text) => {
      const ranges = references(resolution, offsetOf(text, params), params.context.includeDeclaration);
      return ranges.map((range) => ({ uri: params.textDocument.uri, range }));
    }),
  );
  connection.onPrepareRename(
    onDocument('prepareRename', null, ({ document }, params, text) => {
      const found = renamable(document, offsetOf(text, params));
      return found === null ? null : { range: found.range, placeholder: found.name };
    }),
  );
  connection.onRenameRequest(
    onDocument('rename', null, ({ document }, params, text) => {
      const answer = rename(document, offsetOf(text, params), params.newName);
      // The editor shows the sentence beside the input box.
      if ('refusal' in answer) throw new ResponseError(LSPErrorCodes.RequestFailed, answer.refusal);
      return { changes: { [params.textDocument.uri]: answer.edits } };
    }),
  );
  connection.onDocumentFormatting(
    onDocument('formatting', [], ({ document }) => {
      const newText = formatRecipe(document.text);
      const range = document.rangeOfSpan({ begin: 0, end: document.text.length });
      return newText === null || newText === document.text ? [] : [{ range, newText }];
    }),
  );
}
