// What a user types to find names among many: words that a name holds, in any case, or a regular expression between slashes.

/** `error`: why the expression is none. */
export type NameFilter = { fits(text: string): boolean } | { error: string };

export function readNameFilter(text: string): NameFilter {
  const expression = /^\/(.+)\/(i?)$/.exec(text.trim());
  if (expression !== null)
    try {
      const compiled = new RegExp(expression[1] ?? '', expression[2]);
      return { fits: (name) => compiled.test(name) };
    } catch (error) {
      return { error: error instanceof Error ? error.message : String(error) };
    }
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return {
    fits: (name) => {
      const searched = name.toLowerCase();
      return words.every((word) => searched.includes(word));
    },
  };
}
