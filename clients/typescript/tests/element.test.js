// <score-board> in the hands of pages and frameworks: attributes as they write them, slots, events, documents.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Server, browser, open, site, sleep, until } from './harness.js';

let server, chromium, other;

before(async () => {
  server = await Server.start();
  await server.board('main');
  for (let value = 1; value <= 3; value += 1) await server.score('main', `u-${value}`, value);
  await server.api('PATCH', '/api/users/u-1', { avatarUrl: `${server.url}/assets/favicon.svg` });
  await server.board('past');
  await server.score('past', 'ada', 5);
  await server.api('POST', '/api/leaderboards/past/seasons', { ends: 1 });
  const slot = '<i slot="empty">Nobody has scored yet</i>';
  other = await site({
    '/': `<!doctype html><html lang="de"><meta charset="utf-8"><title>element</title><script type="module" src="${server.url}/embed/v1/score-board.js"></script>
      <score-board id="false" board="main" avatars="false" compact="false"></score-board>
      <score-board id="set" board="main" avatars compact="true"></score-board>
      <score-board id="french" board="main" locale="fr_CA"></score-board>
      <score-board id="german" board="main" locale=""></score-board>
      <score-board id="own" board="main" user="u-1"></score-board>
      <score-board id="missing" board="missing">${slot}</score-board>
      <score-board id="ghost" board="main" view="user" user="ghost">${slot}</score-board>
      <score-board id="late" board="past" season="1" view="user" user="ghost"></score-board>
      <score-board id="empty" board="past">${slot}</score-board></html>`,
  });
  chromium = await browser();
});
after(async () => {
  await chromium.close();
  await other.stop();
  await server.stop();
});

test('frameworks write false and nothing as texts, and locales with an underscore', async () => {
  const page = await open(chromium, other.url);
  const seen = (id) => page.evaluate((id) => {
    const { shadowRoot } = document.getElementById(id);
    const rows = shadowRoot?.querySelectorAll('tr[data-user]') ?? [];
    return { rows: rows.length, pictures: shadowRoot?.querySelectorAll('img').length, height: rows[0]?.offsetHeight, head: shadowRoot?.querySelector('.sb-rank')?.textContent };
  }, id);
  for (const id of ['false', 'set', 'french', 'german']) await until(`${id} has rows`, async () => (await seen(id)).rows === 3);
  const [plain, set] = [await seen('false'), await seen('set')];
  assert.deepEqual([plain.pictures, set.pictures], [0, 1]);
  assert.ok(plain.height > set.height, `${plain.height} ${set.height}`);
  assert.deepEqual([(await seen('french')).head, (await seen('german')).head], ['Rang', 'Rang']);
  assert.equal(await page.evaluate(() => document.getElementById('french').shadowRoot.querySelector('[lang]').lang), 'fr-CA');
  await page.close();
});

test('what is wrong is said in place of what a page says of an empty leaderboard', async () => {
  const page = await open(chromium, other.url);
  /** The text that is seen. */
  const said = (id) => page.evaluate((id) => {
    const empty = document.getElementById(id).shadowRoot?.querySelector('[part=empty]');
    const slot = empty?.querySelector('slot');
    return empty && !empty.hidden ? slot.assignedNodes()[0]?.textContent ?? slot.textContent : null;
  }, id);
  for (const id of ['missing', 'ghost', 'late']) await until(`${id} is not found`, async () => (await said(id)) === 'Nicht gefunden').catch(async (error) => assert.fail(`${error.message}: ${await said(id)}`));
  await until('the empty one says what the page wants', async () => (await said('empty')) === 'Nobody has scored yet');
  await page.close();
});

test('a rank is told when it changes, not with each attribute', async () => {
  const page = await open(chromium, other.url, (fresh) => fresh.evaluateOnNewDocument(() => {
    window.ranks = [];
    addEventListener('scoreboard-rank', ({ target, detail: { rank, previousRank } }) => { if (target.id === 'own') window.ranks.push([rank, previousRank]); });
  }));
  await until('the first', () => page.evaluate(() => window.ranks.length === 1));
  await page.evaluate(() => document.getElementById('own').setAttribute('limit', '2'));
  await until('another number of rows', () => page.evaluate(() => document.getElementById('own').state?.entries.length === 2));
  await sleep(500);
  await server.score('main', 'u-1', 50);
  await until('the second', () => page.evaluate(() => window.ranks.length === 2));
  assert.deepEqual(await page.evaluate(() => window.ranks), [[3, null], [1, 3]]);
  await page.close();
});

test('an element that is moved into the document of a frame is live there, with its styles', async () => {
  const page = await open(chromium, other.url);
  await page.evaluate(() => {
    const frame = document.createElement('iframe');
    document.body.append(frame);
    frame.contentDocument.body.append(document.getElementById('set'));
  });
  await until('it has rows of a known height', () => page.evaluate(() => {
    const { shadowRoot } = document.querySelector('iframe').contentDocument.getElementById('set');
    return shadowRoot.querySelectorAll('tr[data-user]').length === 3 && parseFloat(getComputedStyle(shadowRoot.querySelector('tbody')).height) > 60;
  }));
  // Of one leaderboard on this page it is said that it is missing.
  assert.deepEqual(page.said.filter((line) => !line.includes('404')), []);
  await page.close();
});
