// The HTML of a webview as text: strict content policy with a nonce, no inline script, no network. What is put into it is escaped: titles hold names of files.

export interface WebviewHtmlParts {
  /** What the policy lets scripts, styles and pictures come from. */
  source: string;
  nonce: string;
  style: string;
  script: string;
  title: string;
  /** What changes on the page is read aloud; else the page has a place of its own for what is. */
  live: boolean;
}

const escaped: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escape = (text: string): string => text.replace(/[&<>"]/g, (character) => escaped[character] ?? character);

export function webviewHtml({ source, nonce, style, script, title, live }: WebviewHtmlParts): string {
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
<link rel="stylesheet" href="${escape(style)}">
<title>${escape(title)}</title>
</head>
<body>
<main id="page"${live ? ' aria-live="polite"' : ''}></main>
<script nonce="${nonce}" src="${escape(script)}"></script>
</body>
</html>`;
}
