// A finding about a recipe, as data: what is wrong, why and what to do, with the place it belongs to. Never thrown.

export type ProblemSeverity = 'error' | 'warning' | 'information' | 'hint';

/** Keys and indices from the root of the recipe to a node. */
export type RecipePath = readonly (string | number)[];

/** A zero-based, end-exclusive range of UTF-16 positions, as LSP counts them. */
export interface TextRange {
  start: { line: number; character: number };
  end: { line: number; character: number };
}

/** A text edit that removes the cause. `title` is what the light bulb shows. */
export interface ProblemFix {
  title: string;
  /** True for the one fix that a user would nearly always want. */
  preferred: boolean;
  edits: readonly RecipeEdit[];
}

/** Edits name places by path, not by offset: the document turns them into text edits. */
export type RecipeEdit =
  | { kind: 'replace-value'; path: RecipePath; text: string }
  | { kind: 'replace-key'; path: RecipePath; text: string }
  | { kind: 'remove'; path: RecipePath }
  | { kind: 'insert-key'; path: RecipePath; key: string; text: string }
  | { kind: 'append-item'; path: RecipePath; text: string }
  /** For what no path leads to, such as comments. */
  | { kind: 'replace-range'; range: TextRange; text: string };

/** Another place of the recipe that a problem speaks of. */
export interface RelatedPlace {
  path: RecipePath;
  at: 'key' | 'value';
  /** What stands there, as a sentence without an end. */
  message: string;
  /** Overrides the range that `path` gives: of equal keys the path leads to the last. */
  range?: TextRange;
}

export interface Problem {
  /** Kebab-case statement of the fault; equals the file name of the check that finds it. */
  code: string;
  severity: ProblemSeverity;
  /** Where in the recipe it belongs; ranges are attached late, by the document. */
  path: RecipePath;
  /** Which part of the node at `path` to underline. */
  at: 'key' | 'value';
  /** What is wrong, why, and what to do, with the names and numbers of the case. */
  message: string;
  /** Facts that help: the layers affected, versions, links. */
  notes?: readonly string[];
  /** Overrides the range that `path` gives, for findings inside a scalar and YAML syntax errors. */
  range?: TextRange;
  fixes?: readonly ProblemFix[];
  /** The other places that take part. */
  related?: readonly RelatedPlace[];
}
