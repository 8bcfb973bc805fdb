// What people see, in a real browser: the page, the element on other origins, frames, the overlay.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Server, atLeastOnce, browser, findings, live, open, rows, shows, site, sleep, token, until } from './harness.js';

const HOSTILE = ['<img src=x onerror="window.caught=1">', '\u202eevil', '</script><script>window.caught=1</script>', 'a'.repeat(128), '𝒜𝒹𝒶 🏆', '__proto__'];
const PICTURES = process.env.PICTURES;

let server, chromium;

before(async () => {
  server = await Server.start();
  await server.board('main');
  for (let number = 1; number <= 25; number += 1) await server.score('main', `player-${number}`, number * 37);
  await server.api('PATCH', '/api/leaderboards/main', { name: 'Winter Cup', description: 'The best of the winter', unit: 'points' });
  chromium = await browser();
  if (PICTURES) await mkdir(PICTURES, { recursive: true });
});
after(async () => {
  await chromium.close();
  await server.stop();
});

const picture = async (page, name, options = {}) => { if (PICTURES) await page.screenshot({ path: join(PICTURES, `${name}.png`), ...options }); };

describe('the page of a leaderboard', () => {
  test('its first rows can be read without a script, in the language that the reader wants', async () => {
    const page = await open(chromium, `${server.url}/boards/main`, async (fresh) => {
      await fresh.setJavaScriptEnabled(false);
      await fresh.setExtraHTTPHeaders({ 'accept-language': 'de-AT, en;q=0.5' });
    });
    const answer = await (await fetch(`${server.url}/boards/main`, { headers: { 'accept-language': 'de' } })).text();
    assert.match(answer, /<html lang="de" dir="ltr">/);
    assert.match(answer, /<meta property="og:title" content="Winter Cup">/);
    assert.equal((answer.match(/<tr role="row" part="row"/g) ?? []).length, 20);
    await page.setJavaScriptEnabled(true);
    const shown = await page.$$eval('tr[data-user]', (lines) => lines.filter((line) => line.checkVisibility()).length).catch(() => null);
    assert.equal(shown ?? 20, 20);
    await picture(page, 'no-script');
    await page.close();
  });

  test('something is painted within 300 ms', async () => atLeastOnce(async () => {
    const times = [];
    for (let round = 0; round < 5; round += 1) {
      const page = await open(chromium, `${server.url}/boards/main`);
      const paint = await until('the first paint', () => page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null));
      times.push(paint);
      await page.close();
    }
    times.sort((one, other) => one - other);
    console.log(`first contentful paint ${times.map(Math.round).join(' ')} ms`);
    assert.ok(times[2] < 300, `${times}`);
  }));

  for (const [name, width, height, scheme, lang] of [
    ['desktop-light', 1280, 900, 'light', 'en'], ['desktop-dark', 1280, 900, 'dark', 'en'], ['phone-light', 390, 844, 'light', 'de'],
    ['phone-dark', 360, 740, 'dark', 'ja'], ['rtl', 1280, 900, 'light', 'ar'], ['phone-rtl', 390, 844, 'dark', 'ar'], ['zoomed', 640, 450, 'light', 'fr'],
  ]) {
    test(`axe finds nothing, nothing is wider than the window: ${name}`, async () => {
      const page = await open(chromium, `${server.url}/boards/main?lang=${lang}&user=player-3`, async (fresh) => {
        await fresh.setViewport({ width, height, deviceScaleFactor: name === 'zoomed' ? 2 : 1, isMobile: name.startsWith('phone'), hasTouch: name.startsWith('phone') });
        await fresh.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      });
      await live(page);
      await shows(page, server, 'main', 20);
      await until('the own place is shown', () => page.evaluate(() => !document.querySelector('#mine').hidden));
      assert.equal(await page.evaluate(() => document.documentElement.lang), lang);
      assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('#table')).direction), lang === 'ar' ? 'rtl' : 'ltr');
      assert.deepEqual(await findings(page), []);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${wide} pixels too wide`);
      assert.deepEqual(page.said, []);
      await picture(page, name);
      await page.close();
    });
  }

  test('it keeps one stream', async () => {
    const page = await open(chromium, `${server.url}/boards/main`);
    await live(page);
    await until('one watcher', async () => (await server.watchers('main')) === 1);
    await server.score('main', 'player-1', 1);
    await until('the newest score is told', () => page.evaluate(() => document.querySelector('#feed li .name')?.textContent === 'player-1'));
    assert.equal(await server.watchers('main'), 1);
    await page.close();
  });

  test('hostile names are text', async () => {
    await server.board('hostile');
    for (const [index, user] of HOSTILE.entries()) await server.score('hostile', user, 100 - index);
    const page = await open(chromium, `${server.url}/boards/hostile`);
    await live(page);
    await shows(page, server, 'hostile', 20);
    const found = await page.evaluate(() => ({
      names: [...document.querySelectorAll('#rows bdi')].map((name) => name.textContent), caught: 'caught' in window, images: document.querySelectorAll('main img').length,
      wide: document.documentElement.scrollWidth <= document.documentElement.clientWidth,
    }));
    assert.deepEqual(found, { names: HOSTILE, caught: false, images: 0, wide: true });
    assert.deepEqual(page.said, []);
    await page.type('#name-search', '\u202e');
    await until('found', () => page.evaluate(() => document.querySelector('#found .name')?.textContent === '\u202eevil'));
    await page.close();
  });

  test('a name is searched, and the reader finds their own place', async () => {
    const page = await open(chromium, `${server.url}/boards/main`);
    await live(page);
    const focused = () => page.evaluate(() => document.activeElement.textContent || document.activeElement.id);
    await page.type('#name-search', 'player-9');
    await until('the one is found', () => page.evaluate(() => document.querySelectorAll('#found button').length === 1));
    await page.keyboard.press('ArrowDown');
    assert.match(await focused(), /player-9/);
    await page.keyboard.press('Escape');
    assert.equal(await focused(), 'name-search');
    assert.ok(await page.evaluate(() => document.querySelector('#found').hidden));
    await page.click('#find-me');
    assert.match(await page.evaluate(() => document.querySelector('#found:not([hidden])').textContent), /choose yourself/);
    await page.type('#name-search', 'PLAYER-24');
    await page.keyboard.press('Enter');
    await until('the row is marked', () => page.evaluate(() => document.querySelector('tr[data-mark]')?.dataset.user === 'player-24'));
    assert.match(page.url(), /user=player-24/);
    await page.evaluate(() => document.querySelector('#forget').click());
    await until('nobody is marked', () => page.evaluate(() => !document.querySelector('tr[data-mark]') && document.querySelector('#mine').hidden));
    await page.close();
  });

  test('nothing moves for who does not want it', async () => {
    await server.board('calm');
    await server.score('calm', 'a', 2);
    await server.score('calm', 'b', 1);
    const page = await open(chromium, `${server.url}/boards/calm`, (fresh) => fresh.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: 'reduce' }]));
    await live(page);
    await page.evaluate(() => {
      window.moved = 0;
      const watch = () => {
        window.moved += document.getAnimations().length;
        requestAnimationFrame(watch);
      };
      watch();
    });
    await server.score('calm', 'b', 5);
    await shows(page, server, 'calm', 20);
    await sleep(400);
    assert.equal(await page.evaluate(() => window.moved), 0);
    await page.close();
    const moving = await open(chromium, `${server.url}/boards/calm`);
    await live(moving);
    await sleep(300);
    await server.score('calm', 'a', 5);
    await until('for others it does', () => moving.evaluate(() => document.getAnimations().length > 0), 5_000, 10);
    await moving.close();
  });

  test('a private one asks for a sign-in and names nothing, and opens with a token', async () => {
    await server.board('vault', { visibility: 'private', name: 'Secret plans' });
    await server.score('vault', 'ada', 5);
    const answer = await fetch(`${server.url}/boards/vault`);
    assert.equal(answer.status, 401);
    assert.doesNotMatch((await answer.text()).replaceAll('vault', 'vault'), /Secret plans|ada"/);
    const page = await open(chromium, `${server.url}/boards/vault`);
    await page.waitForSelector('#token', { visible: true });
    assert.deepEqual(await findings(page), []);
    await page.type('#token', token('reader', 'leaderboards:read'));
    await page.click('#sign-in button');
    await live(page);
    await shows(page, server, 'vault', 20);
    await page.close();
  });
});

describe('on other origins', () => {
  const element = (attributes = '', inside = '') => `<!doctype html><html lang="en"><meta charset="utf-8"><title>My game</title>
<script type="module" src="${server.url}/embed/v1/score-board.js"></script>
<main><score-board board="main" hz="10" ${attributes}>${inside}</score-board></main></html>`;

  test('five lines of HTML show a live board, under a strict policy', async () => {
    const policy = `default-src 'none'; script-src ${server.url}; connect-src ${server.url}; style-src 'self'; require-trusted-types-for 'script'`;
    const other = await site({ '/': element('', '<h1 slot="header">Winter Cup</h1>') }, { 'content-security-policy': policy });
    const page = await open(chromium, other.url);
    await shows(page, server, 'main');
    await server.score('main', 'player-7', 5_000);
    await shows(page, server, 'main');
    assert.deepEqual(page.said, []);
    assert.deepEqual(await findings(page), []);
    assert.ok(await page.evaluate(() => parseFloat(getComputedStyle(document.querySelector('score-board').shadowRoot.querySelector('tbody')).height) > 300), 'its styles are there');
    await picture(page, 'element', { clip: { x: 0, y: 0, width: 800, height: 600 } });
    await page.close();
    await other.stop();
  });

  test('attributes, parts, variables, slots, events, texts', async () => {
    const other = await site({
      '/': element('limit="3" user="player-20" locale="de" theme="dark" compact', '<b slot="header">Kopf</b><i slot="empty">leer</i>')
        + '<style>score-board { --sb-accent: rgb(1, 2, 3); --sb-bg: rgb(4, 5, 6); --sb-radius: 0 } score-board::part(row) { outline: 1px solid rgb(7, 8, 9) }</style>',
    });
    const page = await open(chromium, `${other.url}/`, (fresh) => fresh.evaluateOnNewDocument(() => {
      window.told = [];
      for (const name of ['scoreboard-update', 'scoreboard-rank', 'scoreboard-error']) addEventListener(name, ({ detail }) => window.told.push([name, detail]));
    }));
    await until('the user and neighbours are shown below', async () => (await rows(page)).some(([, user]) => user === 'player-20') && (await rows(page)).length > 4);
    const found = await page.evaluate(() => {
      const host = document.querySelector('score-board');
      const row = host.shadowRoot.querySelector('[part=row]');
      return {
        head: host.shadowRoot.querySelector('.sb-rank').textContent, background: getComputedStyle(host).backgroundColor, outline: getComputedStyle(row).outlineColor,
        mark: host.shadowRoot.querySelector('tr[data-mark]').dataset.user, scheme: getComputedStyle(host).colorScheme,
        rank: window.told.find(([name]) => name === 'scoreboard-rank')[1].userId, update: window.told.some(([name]) => name === 'scoreboard-update'),
      };
    });
    assert.deepEqual(found, {
      head: 'Rang', background: 'rgb(4, 5, 6)', outline: 'rgb(7, 8, 9)', mark: 'player-20', scheme: 'dark', rank: 'player-20', update: true,
    });
    await page.evaluate(() => { document.querySelector('score-board').texts = { rank: 'Pl.' }; });
    await until('texts are replaced', () => page.evaluate(() => document.querySelector('score-board').shadowRoot.querySelector('.sb-rank').textContent === 'Pl.'));
    await page.evaluate(() => document.querySelector('score-board').setAttribute('board', 'missing'));
    await until('an error is told', () => page.evaluate(() => window.told.some(([name, detail]) => name === 'scoreboard-error' && detail.reason === 'not-found')));
    await page.evaluate(() => document.querySelector('score-board').remove());
    await page.close();
    await other.stop();
  });

  test('a server that restarts, and a season that ends, leave it equal to a read', async () => {
    await server.board('stormy');
    for (let number = 1; number <= 12; number += 1) await server.score('stormy', `u-${number}`, number);
    const other = await site({ '/': element('').replace('board="main"', 'board="stormy"') });
    const page = await open(chromium, other.url);
    await shows(page, server, 'stormy');
    await server.restart('SIGKILL');
    await server.score('stormy', 'u-1', 50);
    await shows(page, server, 'stormy', 10, 20_000);
    await server.api('POST', '/api/leaderboards/stormy/seasons', { ends: 1 });
    await until('the new season is empty', async () => (await rows(page)).length === 0);
    await server.score('stormy', 'new', 3);
    await shows(page, server, 'stormy');
    await page.close();
    await other.stop();
  });

  test('a frame tells its height, where frames are allowed', async () => {
    const other = await site({
      '/': `<!doctype html><html lang="en"><title>Frame</title><iframe title="Leaderboard" src="${server.url}/boards/main/embed?limit=5" width="400"></iframe>
        <script>addEventListener('message', ({ data }) => { if (data.type === 'scoreboard-height') document.querySelector('iframe').height = window.height = data.height; })</script></html>`,
    });
    const page = await open(chromium, other.url);
    await until('the frame is as high as what is in it', () => page.evaluate(() => window.height > 200));
    const frame = page.frames()[1];
    await until('five rows', () => frame.evaluate(() => document.querySelector('score-board').shadowRoot.querySelectorAll('tr[data-user]').length === 5));
    assert.deepEqual(page.said, []);
    await picture(page, 'frame', { clip: { x: 0, y: 0, width: 480, height: 420 } });
    await page.close();
    await other.stop();
    const direct = await open(chromium, `${server.url}/boards/main/embed?limit=5&theme=light`);
    await shows(direct, server, 'main', 5);
    assert.deepEqual(await findings(direct), []);
    await direct.close();
  });

  test('the overlay is transparent, and shows no error on air', async () => {
    const page = await open(chromium, `${server.url}/boards/main/overlay?rows=4&scale=1.5`, (fresh) => fresh.setViewport({ width: 960, height: 540 }));
    await shows(page, server, 'main', 4);
    const shot = await page.screenshot({ omitBackground: true, encoding: 'base64' });
    const alphas = await page.evaluate(async (png) => {
      const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
      const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
      context.drawImage(image, 0, 0);
      return [[950, 530], [950, 10], [60, 60]].map(([x, y]) => context.getImageData(x, y, 1, 1).data[3]);
    }, shot).catch(() => null);
    // The policy of the page forbids to fetch data: then another page decodes it.
    const decoder = alphas ? null : await chromium.newPage();
    const seen = alphas ?? await decoder.evaluate(async (png) => {
      const bytes = Uint8Array.from(atob(png), (char) => char.charCodeAt(0));
      const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
      const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
      context.drawImage(image, 0, 0);
      return [[950, 530], [950, 10], [60, 60]].map(([x, y]) => context.getImageData(x, y, 1, 1).data[3]);
    }, shot);
    await decoder?.close();
    assert.deepEqual(seen.slice(0, 2), [0, 0]);
    assert.ok(seen[2] > 100, 'rows are there');
    await picture(page, 'overlay', { omitBackground: true });
    assert.deepEqual(await findings(page), []);
    await server.end();
    await sleep(1_500);
    assert.equal((await rows(page)).length, 4, 'the last state stays');
    await server.run();
    await server.score('main', 'player-2', 9_000);
    await shows(page, server, 'main', 4, 20_000);
    await page.close();
    for (const path of ['/boards/nothing/overlay', '/boards/vault/overlay?rows=x&scale=NaN&side=up']) {
      const silent = await open(chromium, server.url + path);
      await sleep(500);
      assert.equal(await silent.evaluate(() => [...document.body.querySelectorAll('*')].filter((part) => part.checkVisibility() && !part.matches('.sb-unseen')).length), 0);
      await silent.close();
    }
  });
});

for (const place of ['page', 'element']) {
  test(`a row that moves ten times a second among a hundred keeps sixty frames a second, without a layout of the page: ${place}`, { timeout: 90_000 }, async () => {
    const board = await server.board(`busy-${place}`);
    const submissions = Array.from({ length: 100 }, (_, index) => ({ actionId: `${board}-points`, userId: `u-${index}`, value: 1000 - index * 10 }));
    await server.api('POST', '/api/scores/batch', { submissions });
    const other = await site({
      '/': `<!doctype html><title>Busy</title><script type="module" src="${server.url}/embed/v1/score-board.js"></script>
        <p>Around it</p><score-board board="${board}" limit="100" hz="10"></score-board><p>and below</p>`,
    });
    const address = place === 'page' ? `${server.url}/boards/${board}?limit=100` : other.url;
    const page = await open(chromium, address, (fresh) => fresh.setViewport({ width: 1280, height: 900 }));
    await shows(page, server, board, 100);
    await sleep(1_000);
    await atLeastOnce(async () => {
      await page.evaluate(() => {
        const count = (time) => {
          window.painted.push(time);
          requestAnimationFrame(count);
        };
        if (!window.painted) requestAnimationFrame(count);
        window.painted = [];
      });
      await page.tracing.start({ categories: ['devtools.timeline', 'disabled-by-default-devtools.timeline'] });
      const start = await page.evaluate(() => performance.now());
      const began = Date.now();
      // From the fifth place to the first, and back.
      for (let step = 0; Date.now() - began < 5_000; step += 1) {
        await server.score(board, 'u-4', step % 2 ? -45 : 45);
        await sleep(Math.max(0, began + (step + 1) * 100 - Date.now()));
      }
      const frames = await page.evaluate((from) => window.painted.filter((time) => time > from), start);
      const trace = JSON.parse(Buffer.from(await page.tracing.stop()).toString());
      const gaps = frames.slice(1).map((time, index) => time - frames[index]).sort((one, two) => one - two);
      const rate = (1000 * gaps.length) / gaps.reduce((sum, gap) => sum + gap, 0);
      const layouts = trace.traceEvents.filter(({ name, args }) => name === 'Layout' && args?.beginData);
      const whole = layouts.filter(({ args }) => args.beginData.partialLayout === false);
      const slow = gaps[Math.floor(gaps.length * 0.99)].toFixed(1);
      console.log(`${place}: ${rate.toFixed(1)} frames a second, slowest 1 in 100 ${slow} ms; ${layouts.length} layouts, ${whole.length} of the whole page`);
      assert.ok(rate > 55, `${rate} frames a second`);
      assert.ok(layouts.length > 10, 'the row has moved');
      assert.ok(whole.length <= 2, `${whole.length} of ${layouts.length} layouts were of the whole page`);
    });
    await shows(page, server, board, 100);
    await page.close();
    await other.stop();
  });
}
