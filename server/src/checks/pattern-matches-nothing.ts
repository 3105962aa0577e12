// What target-matches-nothing and ignore-matches-nothing share: the entry, why it matches nothing, and the real name that was probably meant.
import type { Problem, ProblemFix, ProblemSeverity } from '../../../schemas/src/problem.js';
import { compileTarget } from '../../../schemas/src/model/match-targets.js';
import type { NamedModule } from '../../../schemas/src/model/match-targets.js';
import type { PatternMatch, Resolution } from '../plan/resolution.js';
import { nearestName } from '../recipe/did-you-mean.js';

export function patternMatchesNothing(
  { quantization, model }: Resolution,
  kind: 'target' | 'ignore',
  severity: ProblemSeverity,
): Problem[] {
  if (model === null) return [];
  const modules = Object.entries(model.modules).map(([name, moduleClass]) => ({ name, class: moduleClass }));
  return quantization.flatMap(({ patterns }) =>
    patterns
      .filter((pattern) => pattern.kind === kind && pattern.error === null && pattern.matches?.length === 0)
      .map((pattern) => {
        const meant = probablyMeant(pattern.entry, modules);
        const fixes: ProblemFix[] =
          meant === null
            ? []
            : [
                {
                  title: `Change to ${meant.text}`,
                  preferred: true,
                  edits: [{ kind: 'replace-value', path: pattern.path, text: quoted(meant.text) }],
                },
              ];
        const effect = kind === 'target' ? 'it quantizes nothing' : 'it spares nothing';
        return {
          code: `${kind}-matches-nothing`,
          severity,
          path: pattern.path,
          at: 'value' as const,
          message: `${pattern.entry} matches none of the ${modules.length} modules of the model, so ${effect}.${why(pattern)}${meant === null ? '' : ` Did you mean ${meant.text} (${meant.count} ${meant.count === 1 ? 'module' : 'modules'})?`}`,
          fixes,
        };
      }),
  );
}

/** YAML needs quotes around a text with a colon in it. */
const quoted = (text: string): string => (text.includes(':') ? `'${text}'` : text);

function why({ entry }: PatternMatch): string {
  if (entry.startsWith('re:')) return ' A pattern is compared from the start of the full name.';
  if (entry.includes('*')) return ' An entry without re: is no pattern; * stands for itself.';
  if (!entry.includes('.')) return ' An entry without re: is a class name or a full name; the end of a name alone matches nothing.';
  return ' An entry without re: is a class name or a full name.';
}

/** A pattern on the end of names, the entry with `.*` before it, or the nearest name. */
function probablyMeant(entry: string, modules: readonly NamedModule[]): { text: string; count: number } | null {
  const body = entry.replace(/^re:/, '').replace(/^\.?\*\.?/, '');
  const escaped = entry.startsWith('re:') ? body.replace(/^\^/, '') : body.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*');
  for (const text of [`re:.*${escaped}$`, `re:.*${escaped}`]) {
    const compiled = compileTarget(text);
    if (escaped !== '' && 'matcher' in compiled) {
      const count = modules.filter(compiled.matcher).length;
      if (count > 0) return { text: text.replace(/\$\$$/, '$'), count };
    }
  }
  const classes = [...new Set(modules.map((module) => module.class))].filter((name) => name !== 'Other');
  const roles = [...new Set(modules.map((module) => module.name.slice(module.name.lastIndexOf('.') + 1)))];
  const near = nearestName(body, [...classes, ...modules.map((module) => module.name).slice(0, 2000), ...roles]);
  if (near === null) return null;
  const exact = modules.filter((module) => module.name === near || module.class === near).length;
  if (exact > 0) return { text: near, count: exact };
  const text = `re:.*${near}$`;
  return { text, count: modules.filter((module) => module.name.endsWith(near)).length };
}
