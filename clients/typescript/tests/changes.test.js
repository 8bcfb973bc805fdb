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

test('a paused page stands still, but does what its reader chooses', async () => {
  const url = await made('paused');
  await end('paused', 1);
  for (const user of ['joan', 'ada']) await server.score('paused', user, user.length);
  const page = await watch(url);
  await users(page, 'joan,ada');
  await page.click('#pause');
  await server.score('paused', 'ada', 50);
  await until('it is told', async () => (await server.entries('paused')).entries[0].userId === 'ada');
  await page.type('#name-search', 'ada');
  await until('found', () => page.evaluate(() => document.querySelectorAll('#found button').length === 1));
  await page.keyboard.press('Enter');
  await until('the own row is marked', async () => (await seen(page)).mark === 'ada');
  assert.equal((await seen(page)).users, 'joan,ada', 'nobody has moved');
  await page.evaluate(() => document.querySelector('#seasons option[value="1"]').parentElement.value = '1');
  await page.evaluate(() => document.querySelector('#seasons').dispatchEvent(new Event('change')));
  await users(page, 'ada,grace');
  await page.evaluate(() => document.querySelector('#back').click());
  await users(page, 'joan,ada');
  await page.click('#pause');
  await users(page, 'ada,joan');
  await page.close();
});

test('what is deleted or private leaves a paused page, and one that was just loaded again', async () => {
  const page = await watch(await made('deleted'));
  await users(page, 'ada,grace');
  await page.click('#pause');
  await remove('deleted');
  await users(page, '');
  await page.goto(await made('secret', ['ada'], { name: 'Secret plans' }));
  await live(page);
  await page.reload();
  await live(page);
  await page.click('#pause');
  await server.api('PATCH', '/api/leaderboards/secret', { visibility: 'private' });
  await until('nothing is named', async () => {
    const { users: rows, connection } = await seen(page);
    return rows === '' && connection === 'refused' && !/Secret|ada/.test((await page.title()) + (await page.$eval('body', (body) => body.innerText)));
  });
  await page.close();
});

test('a leaderboard that was made again while the page was away has its own name and seasons', async () => {
  await made('again', ['ada'], { name: 'Old name' });
  await end('again', 1);
  await server.score('again', 'ada', 3);
  const proxy = await Proxy.before(server);
  const page = await watch(`${proxy.url}/boards/again`);
  await until('it has two seasons', async () => (await seen(page)).seasons === 2);
  proxy.still = true;
  proxy.cut();
  await remove('again');
  await made('again', ['bob'], { name: 'New name' });
  proxy.still = false;
  proxy.cut();
  await users(page, 'bob');
  await until('the name is new', async () => (await seen(page)).name === 'New name');
  await until('there is one season', async () => (await seen(page)).seasons === 1);
  assert.equal((await seen(page)).result, null);
  await page.close();
  await proxy.stop();
});

test('a window that follows another tells no old news', async () => {
  const url = await made('news');
  const [first, second] = [await watch(url), await watch(url)];
  await end('news', 1);
  await server.score('news', 'joan', 1);
  for (const page of [first, second]) {
    await until('the end is told', async () => /Season 1/.test((await seen(page)).result));
    await page.click('#see');
    await users(page, 'ada,grace');
    await page.evaluate(() => document.querySelector('#back').click());
    await until('it was looked at', async () => (await seen(page)).users === 'joan' && (await seen(page)).result === null);
  }
  for (const page of [first, second]) await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await second.reload();
  await live(second);
  await server.score('news', 'late', 6);
  for (const page of [first, second]) {
    await users(page, 'late,joan');
    assert.equal((await seen(page)).result, null);
  }
  await first.close();
  await second.close();
});

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

/** The device's clock can be set. */
const withClock = (fresh) => fresh.evaluateOnNewDocument(() => {
  const Present = Date;
  let ahead = Number(new URLSearchParams(location.search).get('ahead'));
  globalThis.Date = class extends Present {
    constructor(...given) { super(...(given.length ? given : [Present.now() + ahead])); }
    static now() { return Present.now() + ahead; }
  };
  globalThis.sleepADay = () => { ahead = 26 * 3_600_000; };
});

test('times of a day that is over are days', async () => {
  const page = await watch(await made('midnight'), withClock);
  const times = () => page.$$eval('#rows time, #feed time', (all) => all.map((time) => time.textContent));
  await until('times of today', async () => (await times()).length === 4 && (await times()).every((time) => time.includes(':')));
  await page.evaluate(() => globalThis.sleepADay());
  await until('days', async () => (await times()).every((time) => !time.includes(':')), 30_000);
  await page.close();
});

test('the countdown is by the server’s clock before the first heartbeat', async () => {
  const ends = new Date(Date.now() + 90 * 60_000).toISOString().replace(/\.\d+/, '');
  await made('ends', ['ada'], { resetSchedule: { dates: [ends] } });
  const proxy = await Proxy.before(server);
  proxy.change = (bytes) => (bytes.includes('event: heartbeat') ? null : bytes);
  const page = await watch(`${proxy.url}/boards/ends?ahead=${3_600_000}`, withClock);
  await until('an hour and half of one', async () => /^1 hr (29|30) min$/.test(await page.$eval('#countdown', (time) => time.textContent)));
  await page.close();
  await proxy.stop();
});
