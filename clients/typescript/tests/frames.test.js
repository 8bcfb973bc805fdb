// Frames and the overlay, where names are long, scenes small and leaderboards gone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Server, browser, findings, inSight, open, shows, until } from './harness.js';

let server, chromium;

before(async () => {
  server = await Server.start();
  chromium = await browser();
});
after(async () => {
  await chromium.close();
  await server.stop();
});

for (const [width, scale] of [[1920, 1], [960, 8], [400, 3]]) {
  test(`long names leave scores their place on air: ${width} pixels, scale ${scale}`, async () => {
    const board = await server.board(`air-${width}`);
    for (const [index, user] of ['The Right Honourable Augusta Ada King, Countess of Lovelace', 'x'.repeat(100), 'Grace'].entries()) await server.score(board, user, 999_000 - index);
    const page = await open(chromium, `${server.url}/boards/${board}/overlay?scale=${scale}`, (fresh) => fresh.setViewport({ width, height: 800 }));
    await shows(page, server, board);
    const places = await page.$$eval('tr[data-user]', (lines) => lines.map((line) => ['bdi', '.sb-score'].map((part) => line.querySelector(part).getBoundingClientRect().toJSON())));
    for (const [name, score] of places) assert.ok(name.width > 20 && name.right <= score.left + 1 && score.right <= width, JSON.stringify([name, score]));
    await page.close();
  });
}

test('a frame of what may not be seen has no empty heading or link, and axe finds nothing', async () => {
  await server.board('vault', { visibility: 'private', name: 'Secret plans' });
  await server.board('gone', { name: 'Gone' });
  await server.score('gone', 'ada', 5);
  const pages = [];
  for (const board of ['vault', 'none', 'gone']) pages.push(await open(chromium, `${server.url}/boards/${board}/embed`, inSight));
  await shows(pages[2], server, 'gone');
  assert.equal(await pages[2].title(), 'Gone');
  await server.api('DELETE', '/api/leaderboards/gone');
  for (const page of pages) {
    await until('it is known', () => page.evaluate(() => document.querySelector('score-board').state?.status === 'offline'));
    await until('nothing is named', async () => (await page.title()) === 'Scoreboard');
    assert.deepEqual(await findings(page), []);
    await page.close();
  }
});
