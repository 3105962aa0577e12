// Our plain values → the types of LSP.
import {
  CodeActionKind,
  CompletionItemKind,
  DiagnosticSeverity,
  InsertTextFormat,
  InsertTextMode,
  MarkupKind,
  SymbolKind,
  type CodeAction,
  type CodeLens,
  type CompletionItem,
  type CompletionList,
  type Diagnostic,
  type DocumentSymbol,
  type FoldingRange,
  type Hover as LspHover,
  type Range,
} from 'vscode-languageserver/node';
import type { ProblemSeverity } from '../../../schemas/src/problem.js';
import type { ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';
import type { Completion } from '../features/completion.js';
import type { CompletionKind } from '../features/completion-entry.js';
import type { QuickFix } from '../features/code-actions.js';
import type { Lens } from '../features/code-lens.js';
import type { RecipeSymbol } from '../features/document-symbols.js';
import type { FoldingLines } from '../features/folding-ranges.js';
import type { Hover } from '../features/hover.js';

const severities: Record<ProblemSeverity, DiagnosticSeverity> = {
  error: DiagnosticSeverity.Error,
  warning: DiagnosticSeverity.Warning,
  information: DiagnosticSeverity.Information,
  hint: DiagnosticSeverity.Hint,
};

export function toDiagnostic(problem: ProblemWithRange): Diagnostic {
  const notes = (problem.notes ?? []).map((note) => `\n${note}`).join('');
  return {
    range: problem.range,
    severity: severities[problem.severity],
    code: problem.code,
    source: 'bitwright',
    message: problem.message + notes,
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

export interface CompletionStyle {
  /** The editor understands $1 and ${2:placeholder}. */
  snippets: boolean;
  /** The editor has VS Code's command that asks for completion again. */
  askAgainCommand: boolean;
}

export function toCompletionList({ entries }: Completion, range: Range, style: CompletionStyle): CompletionList {
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
  return { isIncomplete: false, items };
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

export function toCodeAction(uri: string, fix: QuickFix): CodeAction {
  return {
    title: fix.title,
    kind: CodeActionKind.QuickFix,
    isPreferred: fix.preferred,
    diagnostics: [toDiagnostic(fix.problem)],
    edit: { changes: { [uri]: fix.edits } },
  };
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

/** A lens without a command of its own shows the plan, when the host has that command. */
export const toCodeLens = ({ range, title }: Lens): CodeLens => ({ range, command: { title, command: '' } });
