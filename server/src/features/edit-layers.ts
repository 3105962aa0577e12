// An action on chosen layers (other bits, another scheme, kept as they are) → the recipe that says so, with the reason as a comment. Within each modifier the
// layers move between groups by the names that are written there; all else of the recipe stays as its author wrote it.
import { isDeepStrictEqual } from 'node:util';
import { compileTarget, targetRank, type NamedModule } from '../../../schemas/src/model/match-targets.js';
import type { RecipeEdit } from '../../../schemas/src/problem.js';
import type { LayerEdit } from '../../../schemas/src/protocol/client-server.js';
import type { SchemeGroup } from '../plan/expand-scheme.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import type { Resolution, ResolvedModifier } from '../plan/resolution.js';
import { textsOf } from '../recipe/coerce.js';
import { EditRefused, movesOf, schemeArgs, type Move, type SchemeArgs } from './layer-moves.js';
import { ModifierWriter, type NewGroup } from './modifier-writer.js';
import { appliedTo, textReplacements, type TextReplacement } from './recipe-edits.js';

/** `wanted`: the scheme of each edited layer, null where it stays as it is. A reason is a sentence. */
export type EditedLayers = { text: string; wanted: ReadonlyMap<string, SchemeArgs | null> } | { reason: string };

/** `compact`: many layers are written as patterns; who asks must see whether the patterns give each layer what it should get, and else ask for names. */
export function editLayers(resolution: Resolution, edits: readonly LayerEdit[], compact: boolean): EditedLayers {
  try {
    const moves = edits.flatMap((edit) => movesOf(resolution, edit));
    const modifiers = [...new Set(moves.map(({ resolved }) => resolved))];
    const changes = modifiers.flatMap((resolved) =>
      modifierEdits(
        resolution,
        resolved,
        moves.filter((move) => move.resolved === resolved),
        compact,
      ),
    );
    const replacements = textReplacements(resolution.document, changes);
    if (replacements === null)
      return { reason: 'The modifier stands in an anchor or a merge key, where it cannot be changed alone. Write it out.' };
    const tidy = replacements.map((replacement) => withoutSpaces(resolution, replacement));
    const wanted = new Map(moves.map(({ layer, to }) => [layer.name, to === null ? null : to.scheme]));
    return { text: appliedTo(resolution.document, tidy), wanted };
  } catch (error) {
    if (error instanceof EditRefused) return { reason: error.message };
    throw error;
  }
}

function modifierEdits(resolution: Resolution, resolved: ResolvedModifier, moves: readonly Move[], compact: boolean): RecipeEdit[] {
  const { modifier, groups } = resolved;
  const names = new Set(moves.map(({ layer }) => layer.name));
  const ignored = textsOf(modifier.body['ignore']);
  const kept = groups.map((group) => group.targets.filter((entry) => !names.has(entry)));
  const unignored = ignored.filter((entry) => moves.some(({ layer, to }) => to !== null && layer.name === entry));
  const additions = new Map<SchemeGroup, Move[]>();
  const added: NewGroup[] = [];
  for (const move of moves) {
    const { layer, module, to } = move;
    if (to === null) continue;
    const blocking = ignored.find((entry) => !unignored.includes(entry) && matches(entry, module));
    if (blocking !== undefined)
      throw new EditRefused(
        `${layer.name} is left out by ${blocking} in ignore of ${modifier.name}, which is no name of one layer. Change that entry first.`,
      );
    const fits = (group: SchemeGroup): boolean => group.scheme !== null && isDeepStrictEqual(schemeArgs(group.scheme), to.scheme);
    const falls = bestGroup(groups, kept, module);
    if (falls !== null && fits(falls)) continue;
    const group = groups.find((candidate, at) => fits(candidate) && (kept[at]?.length ?? 0) > 0);
    const known = added.find(({ body }) => isDeepStrictEqual(body, to.body));
    if (group !== undefined) additions.set(group, [...(additions.get(group) ?? []), move]);
    else if (known !== undefined) known.moves.push(move);
    else added.push({ title: to.title, body: to.body, moves: [move] });
  }
  const newlyIgnored = moves.filter(({ to, module }) => to === null && !ignored.some((entry) => matches(entry, module)));
  const changes = { groups, kept, additions, added };
  const write = new ModifierWriter(resolution, modifier, compact);
  return [
    ...write.ignore(unignored, newlyIgnored),
    ...(additions.size === 0 && added.length === 0 && groups.every((group, at) => kept[at]?.length === group.targets.length)
      ? []
      : isListed(groups[0], modifier) || groups.length === 0
        ? write.changedGroups(changes)
        : write.newGroups(changes)),
  ];
}

/** Whether the group stands in config_groups, where another can stand beside it. */
const isListed = (group: SchemeGroup | undefined, { path }: RecipeModifier): boolean => group?.path[path.length] === 'config_groups';

const matches = (entry: string, module: NamedModule): boolean => {
  const compiled = compileTarget(entry);
  return 'matcher' in compiled && compiled.matcher(module);
};

/** The group whose remaining targets claim the module, by the order of plan/assign-layers.ts. */
function bestGroup(groups: readonly SchemeGroup[], kept: readonly (readonly string[])[], module: NamedModule): SchemeGroup | null {
  const claims = groups.flatMap((group, at) =>
    (kept[at] ?? []).filter((entry) => matches(entry, module)).map((entry) => ({ group, entry, rank: targetRank(entry, module) })),
  );
  const best = claims.reduce<(typeof claims)[number] | null>(
    (a, b) => (a === null || b.rank < a.rank || (b.rank === a.rank && b.entry <= a.entry) ? b : a),
    null,
  );
  return best?.group ?? null;
}

/** A text that goes on in the next line leaves no space before its break. */
function withoutSpaces({ document }: Resolution, { range, newText }: TextReplacement): TextReplacement {
  const text = newText.replace(/[ \t]+(?=\n)/g, '');
  if (!text.startsWith('\n')) return { range, newText: text };
  const begin = document.offsetAt(range.start);
  const n_spaces = /[ \t]*$/.exec(document.text.slice(0, begin))?.[0].length ?? 0;
  return { range: { start: document.positionAt(begin - n_spaces), end: range.end }, newText: text };
}
