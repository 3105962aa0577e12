// Where the page of a problem code stands in the installed bundle: docs/problems beside dist/.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = path.join(__dirname, '..', '..', 'docs', 'problems');

let pages: ReadonlySet<string> | undefined;

/** file: URI; null for a code without a page, and where the pages were not installed. */
export function problemPage(code: string): string | null {
  pages ??= new Set(listed());
  return pages.has(`${code}.md`) ? pathToFileURL(path.join(folder, `${code}.md`)).href : null;
}

function listed(): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // the server alone was copied elsewhere: diagnostics then have no link
  }
}
