// What the canary saw, as pure values: a sentence, a line under its limit, a table.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toMarkup } from '../../client/webviews/plot/element.js';
import { drawCanary } from '../../client/webviews/report/canary-plot.js';
import { afterEvent } from '../../schemas/src/live-run.js';
import { canary } from '../support/canary-fixture.js';
import { liveRun } from '../support/live-run-fixture.js';
import { matchesSnapshot } from '../support/snapshot.js';

test('the picture of a canary that stopped its run', () => {
  matchesSnapshot('webviews/snapshots/canary.html', toMarkup(drawCanary(canary(6, 0.2), 480)));
});

test('before the first measure there is a sentence alone; below the limit nothing is marked', () => {
  const none = toMarkup(drawCanary(canary(0), 480));
  assert.match(none, /not measured yet; every block, 0\.5 nats at most\./);
  assert.doesNotMatch(none, /<svg|<table|worse/);
  const below = toMarkup(drawCanary(canary(3), 480));
  assert.match(below, /0\.081 ± 0\.02 nats behind block 2, of 0\.5 nats at most\./);
  assert.doesNotMatch(below, /worse|too far/);
});

test('a figure of zero lies at the lower end, and all of them may be zero', () => {
  const zeros = { ...canary(2), figures: canary(2).figures.map((figure) => ({ ...figure, mean_kld: 0 })) };
  assert.doesNotMatch(toMarkup(drawCanary(zeros, 480)), /NaN|Infinity/);
});

test('a run in progress gathers what its canary tells; one without a canary stays without', () => {
  const [figure] = canary(1).figures;
  const event = { kind: 'canary-measured', run_id: 'run', figure: figure! } as const;
  const watched = { ...liveRun(2), canary: { ...canary(0), figures: [] } };
  assert.deepEqual(afterEvent(watched, event).canary?.figures, [figure]);
  assert.equal(afterEvent(liveRun(2), event).canary, null);
});
