// Tabs and phones: one connection for all of an origin, and what sleeps is there again at once.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Server, expected, inSight, open, rows, shows, sideBySide, site, sleep, until } from './harness.js';

/** Milliseconds. */
const HEARTBEAT = 15_000;
const TABS = 6;

let server, other, chromium;

before(async () => {
  server = await Server.start();
  for (const board of ['main', 'six', 'frozen', 'phone', 'hidden']) {
    await server.board(board);
    await server.score(board, 'ada', 5);
  }
  const page = (board) => `<!doctype html><meta charset="utf-8"><title>${board}</title>
    <script type="module" src="${server.url}/embed/v1/score-board.js"></script><score-board board="${board}" hz="10"></score-board>`;
  other = await site(Object.fromEntries(['six', 'frozen', 'phone', 'hidden'].map((board) => [`/${board}`, page(board)])));
  chromium = await sideBySide();
});
after(async () => {
  await chromium.close();
  await other.stop();
  await server.stop();
});

const watch = (board) => open(chromium, `${other.url}/${board}`, inSight);
const watchers = async (board, wanted, within) => until(`${wanted} watch ${board}`, async () => (await server.watchers(board)) === wanted, within, 100);

test('six tabs share one connection, and another takes over at once from one that is closed', async () => {
  const tabs = [];
  for (let number = 0; number < TABS; number += 1) tabs.push(await watch('six'));
  for (const tab of tabs) await shows(tab, server, 'six');
  await watchers('six', 1);
  await server.score('six', 'grace', 7);
  for (const tab of tabs) await shows(tab, server, 'six');
  // One of the six leads; each in turn is closed, so the one that does is among them.
  while (tabs.length > 1) {
    await tabs.shift().close();
    await server.score('six', `u-${tabs.length}`, tabs.length);
    for (const tab of tabs) await shows(tab, server, 'six', 10, 3_000);
    await watchers('six', 1, 5_000);
  }
  await tabs[0].close();
  await watchers('six', 0);
});

test('a tab that leads and is frozen is replaced within two and a half heartbeats, and nothing is missed', { timeout: 90_000 }, async () => {
  const tabs = [await watch('frozen'), await watch('frozen'), await watch('frozen')];
  for (const tab of tabs) await shows(tab, server, 'frozen');
  await watchers('frozen', 1);
  const [first, ...others] = tabs;
  // The one that came first leads: it took the lock when nobody else wanted it.
  const session = await first.createCDPSession();
  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  const began = Date.now();
  for (let number = 0; number < 3; number += 1) await server.score('frozen', `late-${number}`, 10 + number);
  for (const tab of others) await shows(tab, server, 'frozen', 10, 2.5 * HEARTBEAT);
  assert.ok(Date.now() - began < 2.5 * HEARTBEAT);
  await session.send('Page.setWebLifecycleState', { state: 'active' });
  await shows(first, server, 'frozen', 10, 5_000);
  await watchers('frozen', 1);
  for (const tab of tabs) await tab.close();
});

test('a leader whose script stands still is replaced, and follows when it goes on', { timeout: 90_000 }, async () => {
  const leader = await watch('frozen');
  await shows(leader, server, 'frozen');
  const follower = await watch('frozen');
  await shows(follower, server, 'frozen');
  await watchers('frozen', 1);
  const session = await leader.createCDPSession();
  await session.send('Debugger.enable');
  const paused = new Promise((resolve) => { session.once('Debugger.paused', resolve); });
  await session.send('Debugger.pause');
  await paused;
  const began = Date.now();
  await server.score('frozen', 'meanwhile', 99);
  await shows(follower, server, 'frozen', 10, 2.5 * HEARTBEAT);
  const took = Date.now() - began;
  assert.ok(took < 2.5 * HEARTBEAT, `${took} ms`);
  await server.score('frozen', 'later', 98);
  await shows(follower, server, 'frozen', 10, 3_000);
  await session.send('Debugger.resume');
  await session.detach();
  await shows(leader, server, 'frozen', 10, 5_000);
  await watchers('frozen', 1);
  await leader.close();
  await follower.close();
});

test('a phone that slept for a minute is live within a second of waking', { timeout: 120_000 }, async () => {
  const page = await watch('phone');
  await shows(page, server, 'phone');
  const session = await page.createCDPSession();
  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  await sleep(1_000);
  for (let number = 0; number < 4; number += 1) await server.score('phone', `u-${number}`, 10 * number);
  await sleep(59_000);
  await session.send('Page.setWebLifecycleState', { state: 'active' });
  const woke = Date.now();
  const wanted = JSON.stringify(expected(await server.entries('phone')));
  await until('the table is the one that is read', async () => JSON.stringify(await rows(page)) === wanted, 1_000, 20);
  await until('live', () => page.evaluate(() => document.querySelector('score-board').state.status === 'live'), 1_000, 20);
  const took = Date.now() - woke;
  console.log(`live ${took} ms after waking`);
  assert.ok(took < 1_000, `${took} ms`);
  await page.close();
});

test('a page that nobody looks at gives its connection back after ten seconds, and has it again at once', { timeout: 60_000 }, async () => {
  const page = await open(chromium, `${other.url}/hidden`);
  await page.bringToFront();
  await shows(page, server, 'hidden');
  await watchers('hidden', 1);
  const front = await chromium.newPage();
  await front.bringToFront();
  const hidden = await page.evaluate(() => document.hidden);
  // Headless browsers show every tab at once: then the page is told.
  if (!hidden) {
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { value: true, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    });
  }
  const left = Date.now();
  await watchers('hidden', 0, 20_000);
  assert.ok(Date.now() - left > 8_000, 'not at once: tabs are changed often');
  await server.score('hidden', 'grace', 9);
  await page.bringToFront();
  if (!hidden) {
    await page.evaluate(() => {
      delete document.hidden;
      document.dispatchEvent(new Event('visibilitychange'));
    });
  }
  await shows(page, server, 'hidden', 10, 1_500);
  await page.close();
  await front.close();
});
