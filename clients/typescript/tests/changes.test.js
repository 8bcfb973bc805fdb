// What a page makes of changes that do not come one by one: paused, away, behind another window, or with a read that failed.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Proxy, Server, inSight, live, open, shows, sideBySide, until } from './harness.js';

let server, chromium;

before(async () => {
  server = await Server.start();
  chromium = await sideBySide();
});
after(async () => {
  await chromium.close();
  await server.stop();
});

/** A leaderboard with these users, the first one first. */
async function made(board, users = ['ada', 'grace'], settings = {}) {
  await server.board(board, settings);
  for (const [index, user] of users.entries()) await server.score(board, user, 10 - index);
  return `${server.url}/boards/${board}`;
}
const end = (board, season) => server.api('POST', `/api/leaderboards/${board}/seasons`, { ends: season });
const remove = async (board) => {
  await server.api('DELETE', `/api/actions/${board}-points`);
  await server.api('DELETE', `/api/leaderboards/${board}`);
};
const watch = async (url, prepare = async () => {}) => {
  const page = await open(chromium, url, async (fresh) => {
    await inSight(fresh);
    await prepare(fresh);
  });
  await live(page);
  return page;
};
const seen = (page) => page.evaluate(() => ({
  users: [...document.querySelectorAll('#rows tr')].map((row) => row.dataset.user).join(),
  mark: document.querySelector('#rows tr[data-mark]')?.dataset.user,
  name: document.getElementById('name').textContent,
  result: document.getElementById('result').hidden ? null : document.getElementById('result-words').textContent,
  seasons: document.getElementById('seasons').hidden ? 1 : document.getElementById('seasons').options.length,
  connection: document.body.dataset.connection,
}));
const users = async (page, wanted) => until(`rows: ${wanted}`, async () => (await seen(page)).users === wanted);

test('parts of the page that could not be read are read again', async () => {
  const url = await made('busy');
  await end('busy', 1);
  await server.score('busy', 'ada', 3);
  const failed = [];
  const page = await watch(`${url}?user=ada`, async (fresh) => {
    await fresh.setRequestInterception(true);
    fresh.on('request', (request) => {
      const { pathname } = new URL(request.url());
      const part = /^\/api\/leaderboards$|\/(seasons|scores|search|entries\/ada)$/.exec(pathname)?.[0];
      if (!part || failed.includes(part)) return void request.continue();
      failed.push(part);
      return void request.respond({ status: 429, contentType: 'application/problem+json', headers: { 'retry-after': '2' }, body: '{"status":429,"title":"slow"}' });
    });
  });
  const parts = () => page.evaluate(() => [!document.getElementById('boards').hidden, !document.getElementById('seasons').hidden, !document.getElementById('mine').hidden, document.querySelectorAll('#feed li').length > 0]);
  await until('all parts are there', async () => (await parts()).every(Boolean), 25_000).catch(async (error) => assert.fail(`${error.message} ${await parts()}`));
  await page.type('#name-search', 'ada');
  await until('it is said that the search failed', () => page.evaluate(() => /tries again/.test(document.getElementById('found').textContent)));
  await until('it is tried again', () => page.evaluate(() => document.querySelectorAll('#found button').length === 1));
  assert.equal(failed.length, 5);
  await page.close();
});

test('times of a day that is over are days', async () => {
  const page = await watch(await made('midnight'), (fresh) => fresh.evaluateOnNewDocument(() => {
    const Present = Date;
    let ahead = 0;
    globalThis.Date = class extends Present {
      constructor(...given) { super(...(given.length ? given : [Present.now() + ahead])); }
      static now() { return Present.now() + ahead; }
    };
    globalThis.sleepADay = () => { ahead = 26 * 3_600_000; };
  }));
  const times = () => page.$$eval('#rows time, #feed time', (all) => all.map((time) => time.textContent));
  await until('times of today', async () => (await times()).length === 4 && (await times()).every((time) => time.includes(':')));
  await page.evaluate(() => globalThis.sleepADay());
  await until('days', async () => (await times()).every((time) => !time.includes(':')), 30_000);
  await page.close();
});
