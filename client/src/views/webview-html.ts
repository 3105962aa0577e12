// The HTML of a webview as text: strict content policy with a nonce, no inline script, no network. What is put into it is escaped: titles hold names of files.

export interface WebviewHtmlParts {
  /** What the policy lets scripts, styles and pictures come from. */
  source: string;
  nonce: string;
  styles: readonly string[];
  script: string;
  title: string;
  /** What changes on the page is read aloud; else the page has a place of its own for what is. */
  live: boolean;
}

/** Style sheets of a page, in their order: what the pages that draw layers have alike is that of the report. */
export const stylesOf = (bundle: string): string[] =>
  (['sensitivity', 'comparison', 'run'].includes(bundle) ? ['report', bundle] : [bundle]).map((name) => `${name}.css`);

const escaped: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escape = (text: string): string => text.replace(/[&<>"]/g, (character) => escaped[character] ?? character);

export function webviewHtml({ source, nonce, styles, script, title, live }: WebviewHtmlParts): string {
  const policy = [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src ${source}`,
    `img-src ${source} data: blob:`,
    `connect-src ${source}`,
    `font-src ${source}`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<meta http-equiv="Content-Security-Policy" content="${escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
${styles.map((style) => `<link rel="stylesheet" href="${escape(style)}">`).join('\n')}
<title>${escape(title)}</title>
</head>
<body>
<main id="page"${live ? ' aria-live="polite"' : ''}></main>
<script type="module" nonce="${nonce}" src="${escape(script)}"></script>
</body>
</html>`;
}
