// The settings that the language server reads, and their defaults where the host has none.
import type { ProblemSeverity } from '../../../schemas/src/problem.js';
import type { ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';
import { inlayHintKinds, type InlayHintKind } from '../features/inlay-hints.js';

export interface ServerSettings {
  inlayHints: ReadonlySet<InlayHintKind>;
  /** Problem code → severity that the user gives it; off hides it. */
  severities: ReadonlyMap<string, ProblemSeverity | 'off'>;
}

const severityNames: readonly unknown[] = ['error', 'warning', 'information', 'hint', 'off'];

/** Reads the `bitwright` section as a host sends it; what is no setting is left out. */
export function readServerSettings(section: unknown): ServerSettings {
  const fields = mapping(section);
  const switches = mapping(fields['inlayHints']);
  const severities = Object.entries(mapping(mapping(fields['problems'])['severity'])).filter(([, severity]) =>
    severityNames.includes(severity),
  );
  return {
    inlayHints: new Set(inlayHintKinds.filter((kind) => switches[kind] !== false)),
    severities: new Map(severities as [string, ProblemSeverity | 'off'][]),
  };
}

const mapping = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

/** An error stays an error: with it there is no plan, whatever its colour. */
export function withSeverities(problems: readonly ProblemWithRange[], { severities }: ServerSettings): ProblemWithRange[] {
  if (severities.size === 0) return [...problems];
  return problems.flatMap((problem) => {
    const severity = severities.get(problem.code);
    if (severity === undefined || problem.severity === 'error') return [problem];
    return severity === 'off' ? [] : [{ ...problem, severity }];
  });
}
