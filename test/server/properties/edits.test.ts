// Whatever is typed: after each of many random edits every feature answers, and the analysis of the edited document is that of a fresh one with the same text.
// A failure prints its seed, and the shortest start text and edits that fail. BITWRIGHT_PROPERTY_SEEDS=7-7 runs seed 7 alone; `npm run test:properties` runs all.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nothingSeen } from '../../support/changing-features.js';
import { editStories, tellStory } from '../../support/edit-story.js';

const editsOfSeed = 1000;
const [firstSeed = 1, lastSeed = 15] = (process.env['BITWRIGHT_PROPERTY_SEEDS'] ?? '').match(/\d+/g)?.map(Number) ?? [];
const seen = nothingSeen();

for (let seed = firstSeed; seed <= lastSeed; seed += 1)
  test(`${editsOfSeed} random edits, seed ${seed}`, async () => {
    let n_edits = 0;
    let hasFailed = false;
    const property = fc.asyncProperty(editStories(), async (story) => {
      // fast-check counts stories; what counts here are edits.
      if (n_edits >= editsOfSeed && !hasFailed) return;
      try {
        n_edits += await tellStory(story, seen);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    });
    await fc.assert(property, { seed, numRuns: editsOfSeed / 4, includeErrorInReport: true });
    assert.ok(n_edits >= editsOfSeed, `${n_edits} edits`);
  });

test('the edits left recipes in which each feature had something to say', () => {
  for (const [what, times] of Object.entries(seen)) assert.ok(times > lastSeed - firstSeed, `${what}: ${times}`);
});
