// What a page keeps over a reload, and how much of it can be believed: it may be of another version.

/** The first state with those fields of the saved one that are of the same kind as at first; what is null at first may become anything. */
export function restoredFields<State extends object>(initial: State, saved: unknown): State {
  if (typeof saved !== 'object' || saved === null) return initial;
  const fields = Object.entries(saved).filter(([key, value]) => {
    const first = (initial as Record<string, unknown>)[key];
    if (first === undefined) return false;
    return first === null || (kindOf(value) === kindOf(first) && value !== null);
  });
  return { ...initial, ...(Object.fromEntries(fields) as Partial<State>) };
}

const kindOf = (value: unknown): string => (Array.isArray(value) ? 'list' : typeof value);
