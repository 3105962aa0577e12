// A text as a YAML scalar that is read as this text: plain where that is safe in block and flow style, else quoted.

/** Words and numbers that YAML 1.1 reads as something else than text. */
const otherwiseRead = /^(?:null|true|false|yes|no|on|off|y|n|~|[-+.\d].*)?$/i;

export const yamlScalar = (text: string): string =>
  /^\w[\w.-]*$/.test(text) && !otherwiseRead.test(text)
    ? text
    : /[\u0000-\u001f]/.test(text)
      ? JSON.stringify(text)
      : `'${text.replaceAll("'", "''")}'`;

export function flowText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flowText).join(', ')}]`;
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .map(([key, part]) => `${yamlScalar(key)}: ${flowText(part)}`)
      .join(', ')}}`;
  return typeof value === 'string' ? yamlScalar(value) : String(value);
}
