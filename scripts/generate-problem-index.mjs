// Writes docs/problems/README.md from the pages beside it; a repository test compares the committed index with a fresh run.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'docs', 'problems');
const indexFile = path.join(folder, 'README.md');

const form =
  /^# (?<title>.+)\n\nSeverity: (?<severity>\w+)\n\n(?<sentence>.+)\n\n## Why it matters\n(?<why>[^]+?)\n\n## Example\n(?<example>[^]+?)\n\n## Mended\n(?<mended>[^]+?)\n\n## Quick fix\n(?<fix>[^]+)\n$/;

/** Every page by its parts; a page of another form is an error. */
export function problemPages() {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.md') && name !== 'README.md')
    .sort()
    .map((name) => {
      const text = readFileSync(path.join(folder, name), 'utf8');
      const parts = form.exec(text)?.groups;
      if (parts === undefined) throw new Error(`docs/problems/${name} has not the parts of a problem page, in their order`);
      const { title, severity, sentence, why, fix } = parts;
      return {
        code: name.slice(0, -3),
        text,
        title,
        severity,
        sentence,
        why,
        fix,
        example: recipeIn(parts.example),
        mended: recipeIn(parts.mended),
      };
    });
}

/** The text of the one yaml block; null where there is none. */
const recipeIn = (part) => /```yaml\n([^]*?)```/.exec(part)?.[1] ?? null;

export function problemIndex() {
  const rows = problemPages().map(
    ({ code, severity, sentence }) => `| [${code}](${code}.md) | ${severity} | ${sentence.replaceAll('|', '\\|')} |`,
  );
  return `# Problems

What Bitwright can say about a recipe, one page for each code. Generated from the pages by \`scripts/generate-problem-index.mjs\`.

The examples stand beside these: \`model/\`, a Llama of two blocks (layers of 128 and 384 columns, a context of 128 tokens) and \`rows.jsonl\`, 8 texts;
besides, \`questions.jsonl\`, \`chats.jsonl\`, \`doubled.jsonl\` and \`broken.jsonl\` are files of other rows, \`deep/\` has twelve blocks, \`phantom/\` is a model that cannot be run, \`model-w8a16/\` is quantized, \`tied/\` shares head and embedding, \`cut-off/\` and \`half/\` are damaged. A test runs every recipe of these pages: the example shows the problem, what is mended shows no error and no warning
(at most that a modifier or scheme cannot be run yet).

| code | severity | what it means |
| --- | --- | --- |
${rows.join('\n')}
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(indexFile, problemIndex());
