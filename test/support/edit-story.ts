// One story of an edited recipe: the document as the server holds it, and beside it a server that sees each text for the first time.
import assert from 'node:assert/strict';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { TextDocument } from 'vscode-languageserver-textdocument';
import { createAnalyses, type Analysis } from '../../server/src/lsp/analyses.js';
import type { Seen } from './changing-features.js';
import { askEverything } from './every-feature.js';
import { writePageFolder } from './problem-page-folder.js';
import { noise, randomEdits, splicesOf, type RandomEdit } from './random-edits.js';
import { seededRandom } from './random.js';
import { startTexts } from './start-texts.js';
import { temporaryFolder } from './tiny-llama-folder.js';

export interface EditStory {
  start: string;
  where: 'with models' | 'unsaved';
  edits: RandomEdit[];
  /** Of the random places that features are asked about. */
  look: number;
}

const mostEdits = 24;

export const editStories = (): fc.Arbitrary<EditStory> =>
  fc.record<EditStory>({
    start: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...startTexts().map(({ text }) => text)) }, { weight: 1, arbitrary: noise() }),
    where: fc.oneof(
      { weight: 4, arbitrary: fc.constant('with models' as const) },
      { weight: 1, arbitrary: fc.constant('unsaved' as const) },
    ),
    edits: randomEdits(mostEdits),
    look: fc.nat(),
  });

let folder: string | undefined;

/** Beside the models and data that the start texts name, or where there is nothing. */
function uriOf(where: EditStory['where']): string {
  if (where === 'unsaved') return 'untitled:edited.quant.yaml';
  if (folder === undefined) {
    folder = temporaryFolder('edits');
    writePageFolder(folder);
  }
  return pathToFileURL(path.join(folder, 'edited.quant.yaml')).href;
}

const said = ({ problems, plan, document, model }: Analysis): unknown => [problems, plan, document.value, model];

/** The number of edits that changed the text. */
export async function tellStory({ start, where, edits, look }: EditStory, seen: Seen): Promise<number> {
  const uri = uriOf(where);
  const random = seededRandom(look);
  const edited = createAnalyses();
  const fresh = createAnalyses();
  const analyse = (content: string): Promise<Analysis> => {
    fresh.forget(uri);
    return fresh.of(TextDocument.create(uri, 'bitwright-recipe', 1, content));
  };
  let text = TextDocument.create(uri, 'bitwright-recipe', 1, start);
  await edited.of(text);
  const history: string[] = [];
  let unread: { content: string; analysis: Promise<Analysis> } | null = null;
  for (const edit of edits) {
    const before = text.getText();
    for (const { begin, end, newText } of splicesOf(edit, before, history)) {
      const range = { start: text.positionAt(begin), end: text.positionAt(end) };
      text = TextDocument.update(text, [{ range, text: newText }], text.version + 1);
    }
    const content = text.getText();
    if (content === before) continue;
    history.push(before);
    const analysis = edited.of(text);
    if (unread === null && random.next() < 0.15) {
      // As in fast typing: nobody waits for this version before the next comes.
      unread = { content, analysis };
      continue;
    }
    const current = await analysis;
    try {
      assert.equal(current.document.text, content.replace(/\r(?!\n)/g, '\n'));
      assert.ok(
        isDeepStrictEqual(said(current), said(await analyse(content))),
        'the analysis of the edited document is not that of a fresh one',
      );
      if (unread !== null) {
        const overtaken = await unread.analysis;
        assert.ok(
          isDeepStrictEqual(said(overtaken), said(await analyse(unread.content))),
          'the analysis of an overtaken version is not that of its text',
        );
        unread = null;
      }
      await askEverything({ text, analysis: current, random, analyse }, seen);
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : String(error)}\nwith the text ${JSON.stringify(content)}`, {
        cause: error,
      });
    }
  }
  return history.length;
}
