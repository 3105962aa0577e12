// A safetensors file as text, whose tensors have names that would be markup or code where they are not shown as data.
export const weirdNames = [
  '<img src=x onerror="document.title=\'run\'">',
  '"><script>document.title="run"</script>',
  'javascript:alert(1).weight',
  '$(sync~spin) [link](command:workbench.action.closeWindow)',
] as const;

/** Each tensor is four zeros of 32 bits. */
export function weirdSafetensors(): string {
  const entries = weirdNames.map((name, i) => [name, { dtype: 'F32', shape: [4], data_offsets: [16 * i, 16 * (i + 1)] }] as const);
  const header = JSON.stringify({ __metadata__: { '<b>key</b>': '<b>value</b>' }, ...Object.fromEntries(entries) });
  // The bytes of the length are kept below 128, where text and bytes are the same.
  const high = Math.ceil((header.length + 1) / 256);
  const length = 256 * high;
  return `\0${String.fromCharCode(high)}\0\0\0\0\0\0${header.padEnd(length)}${'\0'.repeat(16 * weirdNames.length)}`;
}
