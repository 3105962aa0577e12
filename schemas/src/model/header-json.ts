// JSON text of a safetensors header → its entries, with what JSON.parse lets pass: the same tensor twice, a field twice, 4.0 for 4.
// The format forbids duplicate keys (huggingface/safetensors, "Format"); a reader that keeps the last of them would hide a tensor.

export type HeaderJson = { entries: [name: string, entry: unknown][] } | { error: string };

export function readHeaderJson(text: string): HeaderJson {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { error: `the header is not JSON (${error instanceof Error ? error.message : String(error)})` };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { error: 'the header is not a JSON object' };
  const found = isPlain(text, value as Record<string, unknown>) ? null : ambiguity(text);
  return found === null ? { entries: Object.entries(value) } : { error: found };
}

/**
 * Whether nothing can be ambiguous: as many keys stand in the text as in what was read of it, and all numbers are in digits. Two searches without an
 * allocation, as the headers of a large model are 13 million characters; a text that does not pass, such as one with `":` in a name, is looked at closely.
 */
function isPlain(text: string, value: Record<string, unknown>): boolean {
  let n_keys = 0;
  for (let at = text.indexOf('":'); at >= 0; at = text.indexOf('":', at + 2)) n_keys += 1;
  for (const entry of Object.values(value)) n_keys -= 1 + (typeof entry === 'object' && entry !== null ? Object.keys(entry).length : 0);
  return n_keys === 0 && !/\[[^\]"]*[^\d,\s\]"]/.test(text);
}

/** Strings, brackets, colons and numbers; the text is known to be JSON. */
const tokens = /"[^"\\]*(?:\\[^][^"\\]*)*"|[[\]{}:]|-?\d[\d.eE+-]*/g;

/** Objects that are open: the keys seen in each, and the one being read. */
interface Open {
  keys: Set<string>;
  key: string;
}

function ambiguity(text: string): string | null {
  const open: Open[] = [];
  let lastString = '';
  for (const [token] of text.matchAll(tokens)) {
    const here = open.at(-1);
    if (token === '{') open.push({ keys: new Set(), key: '' });
    else if (token === '}') open.pop();
    else if (token.startsWith('"')) lastString = token;
    else if (token === ':' && here !== undefined) {
      const key = lastString.includes('\\') ? (JSON.parse(lastString) as string) : lastString.slice(1, -1);
      const tensor = open[0]?.key ?? '';
      if (here.keys.has(key)) {
        if (open.length === 1)
          return key === '__metadata__' ? '__metadata__ stands in the header twice' : `the tensor ${key} stands in the header twice`;
        // Of the free texts under __metadata__ every reader keeps the last.
        if (open.length === 2 && tensor !== '__metadata__') return `${tensor} has the field ${key} twice`;
      }
      here.keys.add(key);
      here.key = key;
    } else if (open.length === 2 && /^[-\d]/.test(token) && (here?.key === 'shape' || here?.key === 'data_offsets') && !/^\d+$/.test(token))
      return `${open[0]?.key ?? ''} has ${token} in its ${here.key}, which is not a whole number in digits`;
  }
  return null;
}
