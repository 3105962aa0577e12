// Our plain values → the types of LSP.
import { pathToFileURL } from 'node:url';
import {
  CodeActionKind,
  CompletionItemKind,
  DiagnosticSeverity,
  InlayHintKind,
  InsertTextFormat,
  InsertTextMode,
  MarkupKind,
  SemanticTokensBuilder,
  SymbolKind,
  type CodeAction,
  type CodeLens,
  type CompletionItem,
  type CompletionList,
  type Diagnostic,
  type DocumentLink,
  type DocumentSymbol,
  type FoldingRange,
  type Hover as LspHover,
  type InlayHint as LspInlayHint,
  type Location,
  type Range,
  type SelectionRange,
  type SemanticTokens,
  type SemanticTokensLegend,
  type WorkspaceSymbol,
} from 'vscode-languageserver/node';
import type { ProblemSeverity } from '../../../schemas/src/problem.js';
import type { ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';
import type { Completion } from '../features/completion.js';
import type { CompletionKind } from '../features/completion-entry.js';
import type { QuickFix } from '../features/code-actions.js';
import type { Lens } from '../features/code-lens.js';
import type { Definition } from '../features/definition.js';
import type { FileLink } from '../features/document-links.js';
import type { RecipeSymbol } from '../features/document-symbols.js';
import type { FoldingLines } from '../features/folding-ranges.js';
import type { Hover } from '../features/hover.js';
import type { InlayHint } from '../features/inlay-hints.js';
import type { TextReplacement } from '../features/recipe-edits.js';
import { tokenTypes, type SemanticToken } from '../features/semantic-tokens.js';
import type { Host } from './host.js';
import { problemPage } from './problem-page.js';

const severities: Record<ProblemSeverity, DiagnosticSeverity> = {
  error: DiagnosticSeverity.Error,
  warning: DiagnosticSeverity.Warning,
  information: DiagnosticSeverity.Information,
  hint: DiagnosticSeverity.Hint,
};

export function toDiagnostic(
  problem: ProblemWithRange,
  uri: string,
  { codeDescriptions, relatedInformation }: Pick<Host, 'codeDescriptions' | 'relatedInformation'>,
): Diagnostic {
  const page = codeDescriptions ? problemPage(problem.code) : null;
  const related = relatedInformation ? (problem.related ?? []) : [];
  const notes = (problem.notes ?? []).map((note) => `\n${note}`).join('');
  return {
    range: problem.range,
    severity: severities[problem.severity],
    code: problem.code,
    source: 'bitwright',
    message: problem.message + notes,
    ...(page === null ? {} : { codeDescription: { href: page } }),
    ...(related.length === 0 ? {} : { relatedInformation: related.map(({ range, message }) => ({ location: { uri, range }, message })) }),
  };
}

const completionKinds: Record<CompletionKind, CompletionItemKind> = {
  key: CompletionItemKind.Property,
  modifier: CompletionItemKind.Class,
  value: CompletionItemKind.Value,
  preset: CompletionItemKind.EnumMember,
  class: CompletionItemKind.Class,
  pattern: CompletionItemKind.Operator,
  layer: CompletionItemKind.Field,
  file: CompletionItemKind.File,
  folder: CompletionItemKind.Folder,
};

export function toCompletionList(
  { entries, isIncomplete }: Completion,
  range: Range,
  style: Pick<Host, 'snippets' | 'askAgainCommand'>,
): CompletionList {
  const items = entries.map((entry, index): CompletionItem => ({
    label: entry.label,
    kind: completionKinds[entry.kind],
    insertTextFormat: style.snippets ? InsertTextFormat.Snippet : InsertTextFormat.PlainText,
    insertTextMode: InsertTextMode.adjustIndentation,
    textEdit: { range, newText: style.snippets ? entry.snippet : withoutPlaceholders(entry.snippet) },
    filterText: entry.label,
    // The order of the list is meant: common things first.
    sortText: String(index).padStart(5, '0'),
    ...(entry.detail === undefined ? {} : { detail: entry.detail }),
    ...(entry.documentation === undefined ? {} : { documentation: { kind: MarkupKind.Markdown, value: entry.documentation } }),
    ...(entry.askAgain === true && style.askAgainCommand ? { command: { title: 'Suggest', command: 'editor.action.triggerSuggest' } } : {}),
  }));
  return { isIncomplete, items };
}

function withoutPlaceholders(snippet: string): string {
  return snippet.replace(
    /\\([\\$}])|\$\{\d+:([^}]*)\}|\$\d+/g,
    (_, escaped?: string, placeholder?: string) => escaped ?? placeholder ?? '',
  );
}

export function toHover({ markdown, range }: Hover): LspHover {
  return { contents: { kind: MarkupKind.Markdown, value: markdown }, range };
}

export function toCodeAction(uri: string, fix: QuickFix, host: Host): CodeAction {
  return {
    title: fix.title,
    kind: CodeActionKind.QuickFix,
    isPreferred: fix.preferred,
    diagnostics: [toDiagnostic(fix.problem, uri, host)],
    edit: { changes: { [uri]: fix.edits } },
  };
}

/** What opens is the start of another file. */
export function toLocation(uri: string, found: Definition): Location {
  const start = { line: 0, character: 0 };
  return 'file' in found ? { uri: pathToFileURL(found.file).href, range: { start, end: start } } : { uri, range: found.range };
}

const symbolKinds: Record<RecipeSymbol['kind'], SymbolKind> = {
  stage: SymbolKind.Namespace,
  modifiers: SymbolKind.Module,
  modifier: SymbolKind.Class,
  field: SymbolKind.Field,
};

export function toDocumentSymbol({ name, detail, kind, range, selectionRange, children }: RecipeSymbol): DocumentSymbol {
  return { name, detail, kind: symbolKinds[kind], range, selectionRange, children: children.map(toDocumentSymbol) };
}

export const toFoldingRange = ({ startLine, endLine }: FoldingLines): FoldingRange => ({ startLine, endLine });

const lensCommands = { quantize: 'bitwright.quantize', showPlan: 'bitwright.showPlan' } as const;

/** A lens that only tells has an empty command, as the protocol has no lens without one. */
export const toCodeLens = (uri: string, { range, title, action }: Lens): CodeLens => ({
  range,
  command: action === null ? { title, command: '' } : { title, command: lensCommands[action], arguments: [uri] },
});

export function toInlayHint({ position, label, tooltip }: InlayHint): LspInlayHint {
  return { position, label, tooltip, kind: InlayHintKind.Parameter, paddingLeft: true };
}

export function toSelectionRange(ranges: readonly Range[]): SelectionRange {
  return ranges.reduceRight<SelectionRange | undefined>(
    (parent, range) => (parent === undefined ? { range } : { range, parent }),
    undefined,
  ) as SelectionRange;
}

export const toDocumentLink = ({ range, file, tooltip }: FileLink): DocumentLink => ({ range, target: pathToFileURL(file).href, tooltip });

/** Five numbers a token, each place relative to the token before it (LSP 3.17, semantic tokens). */
export function toSemanticTokens(tokens: readonly SemanticToken[]): SemanticTokens {
  const builder = new SemanticTokensBuilder();
  for (const { range, type } of tokens)
    builder.push(range.start.line, range.start.character, range.end.character - range.start.character, tokenTypes.indexOf(type), 0);
  return builder.build();
}

export const semanticTokensLegend: SemanticTokensLegend = { tokenTypes: [...tokenTypes], tokenModifiers: [] };

export const fixAllKind = `${CodeActionKind.SourceFixAll}.bitwright`;

export function toFixAll(uri: string, edits: TextReplacement[]): CodeAction {
  return { title: 'Fix all that Bitwright can fix', kind: fixAllKind, edit: { changes: { [uri]: edits } } };
}

export const toWorkspaceSymbol = (uri: string, { name, kind, selectionRange }: RecipeSymbol): WorkspaceSymbol => ({
  name,
  kind: symbolKinds[kind],
  location: { uri, range: selectionRange },
});
