// Frames and the overlay, where names are long, scenes small and leaderboards gone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Server, browser, open, shows } from './harness.js';

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
