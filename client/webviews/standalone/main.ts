// A report outside of VS Code: what the editor gives a page, its theme and its messages, from the file itself. Runs before the report's own script.
import './standalone.css';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import type { FromWebview, ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import type { SaveFile } from '../../../schemas/src/protocol/message-shape.js';

/** Put into the file by `bitwright report --html`. */
interface Embedded {
  report: RunReport;
  /** File of the report folder → its bytes. */
  base64: Record<string, string>;
}

const dark = matchMedia('(prefers-color-scheme: dark)');
const contrast = matchMedia('(prefers-contrast: more)');

/** The names that VS Code gives the body of a page. */
function followTheme(): void {
  const high = dark.matches ? 'vscode-high-contrast' : 'vscode-high-contrast-light';
  document.body.className = contrast.matches ? high : dark.matches ? 'vscode-dark' : 'vscode-light';
}

function answer(message: FromWebview): void {
  if (message.kind === 'copy-text') void navigator.clipboard.writeText(message.text);
  if (message.kind === 'save-file') download(message);
  if (message.kind === 'page-error') console.error(message.message);
  if (message.kind !== 'ready') return;
  const { report, base64 } = JSON.parse(document.getElementById('embedded')?.textContent ?? '') as Embedded;
  const data: ToWebview = { kind: 'show-report', report, arrays: { base64 }, saved: null };
  // As in VS Code the answer comes when the page's script has run.
  setTimeout(() => window.dispatchEvent(new MessageEvent('message', { data })));
}

/** There is no extension that asks where: the browser does. */
function download({ name, content, encoding }: SaveFile): void {
  const bytes = encoding === 'utf8' ? content : Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes]));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

let state: unknown = null;
Object.assign(window, {
  acquireVsCodeApi: () => ({ postMessage: answer, getState: () => state, setState: (next: unknown) => (state = next) }),
});
followTheme();
for (const query of [dark, contrast]) query.addEventListener('change', followTheme);
