// `bitwright report RUN`: what came of a run, as text, as JSON, or as one file for a browser.
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { exitCode, jsonOption, type Command } from '../command.js';
import { HostError } from '../processes.js';
import { readReport, runFolder } from '../report-file.js';
import { standalonePage } from '../report-page.js';
import { reportLines } from '../report-text.js';

export const reportCommand: Command = {
  name: 'report',
  synopsis: 'RUN',
  summary: 'Show the report of a run again, or write it as one HTML file.',
  description: `RUN is the folder of a run (OUTPUT.run, or one of an earlier run in OUTPUT.history) or that of its checkpoint. The HTML file holds all that it shows: it opens
in any browser, anywhere, and loads nothing.`,
  operands: { least: 1, most: 1 },
  options: { html: { value: 'FILE', description: 'write a page to this file instead of text' }, json: jsonOption },
  run: async (invocation, terminal) => {
    const dir = runFolder(invocation.operands[0] ?? '');
    const report = await readReport(dir);
    const html = invocation.text('html');
    if (html !== undefined) {
      await writePage(path.resolve(html), await standalonePage(dir, report));
      terminal.err(`${html} was written.`);
    } else if (invocation.flag('json')) terminal.json(report);
    else for (const line of reportLines(report, { output_dir: report.output_dir, report_dir: dir })) terminal.out(line);
    return exitCode.success;
  },
};

async function writePage(file: string, text: string): Promise<void> {
  try {
    await writeFile(`${file}.new`, text);
    await rename(`${file}.new`, file);
  } catch (error) {
    throw new HostError(`${file} cannot be written: ${(error as Error).message}. Choose another file for --html.`);
  }
}
