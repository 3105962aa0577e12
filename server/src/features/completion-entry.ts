// What completion offers, as plain values.

export type CompletionKind = 'key' | 'modifier' | 'value' | 'preset' | 'class' | 'pattern' | 'layer' | 'file' | 'folder';

export interface CompletionEntry {
  label: string;
  kind: CompletionKind;
  /** One line beside the label. */
  detail?: string;
  /** Markdown. */
  documentation?: string;
  /** A snippet with $1, ${2:placeholder} and $0; `$` and `}` of the text itself are escaped. */
  snippet: string;
  /** What follows can be completed too: ask again when it is inserted. */
  askAgain?: boolean;
}

/** Text that is no snippet. */
export const literal = (text: string): string => text.replace(/[\\$}]/g, '\\$&');
