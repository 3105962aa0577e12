// A report as one file that any browser opens: page, figures and arrays in it, no network, and a policy that lets only these scripts run.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { RunReport, SidecarArray } from '../../../schemas/src/generated/report.js';
import { HostError } from './processes.js';

const pagesDir = path.join(__dirname, '..', 'webviews');

/** `reportDir` holds the arrays that the report names. */
export async function standalonePage(reportDir: string, report: RunReport): Promise<string> {
  const [baseStyle, style, first, script] = await Promise.all(['standalone.css', 'report.css', 'standalone.js', 'report.js'].map(pageFile));
  const styles = [`${baseStyle}\n${style}`];
  const scripts = [first ?? '', script ?? ''].map(withoutMapping);
  const embedded = JSON.stringify({ report, base64: await arrayFiles(reportDir, report) });
  const policy = [
    "default-src 'none'",
    `script-src ${scripts.map(hashSource).join(' ')}`,
    `style-src ${styles.map(hashSource).join(' ')}`,
    'img-src data: blob:',
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(titleOf(report))}</title>
${styles.map((text) => `<style>${text}</style>`).join('\n')}
</head>
<body>
<main id="page" aria-live="polite"></main>
<script type="application/json" id="embedded">${embedded.replaceAll('<', '\\u003c')}</script>
${scripts.map((text) => `<script>${text}</script>`).join('\n')}
</body>
</html>
`;
}

const titleOf = ({ recipe, model }: RunReport): string => `Report: ${path.basename(recipe.path ?? model.dir)}`;
const escapeText = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const hashSource = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** A page of its own has no file beside it that the mapping could name. */
const withoutMapping = (script: string): string => script.replace(/\n\/\/# .*\s*$/, '\n').replaceAll('</script', '<\\/script');

async function pageFile(name: string): Promise<string> {
  const file = path.join(pagesDir, name);
  try {
    return (await readFile(file, 'utf8')).replace(/\n\/\*# .*\s*$/, '\n');
  } catch (error) {
    throw new HostError(`${file} is missing (${(error as Error).message}). Install Bitwright again.`);
  }
}

/** Names of the files that the arrays in a part of a report lie in. */
function filesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const { file, dtype } = value as Partial<SidecarArray>;
  return file !== undefined && dtype !== undefined ? [file] : Object.values(value).flatMap(filesIn);
}

async function arrayFiles(reportDir: string, { layers, depth }: RunReport): Promise<Record<string, string>> {
  const names = [...new Set(filesIn([layers, depth]))];
  const read = names.map(async (name): Promise<[string, string]> => {
    const file = path.join(reportDir, name);
    try {
      return [name, (await readFile(file)).toString('base64')];
    } catch (error) {
      throw new HostError(
        `${file}, which the report names, cannot be read: ${(error as Error).message}. Keep the folder of a report together.`,
      );
    }
  });
  return Object.fromEntries(await Promise.all(read));
}
