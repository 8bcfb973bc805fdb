// Where pages end up: in frames that may store nothing, many on one page, behind proxies that answer in the server's place, offline for a moment.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';

import { Server, client, expected, follow, inSight, open, settles, shows, sideBySide, site, sleep, until } from './harness.js';

const BOARDS = Array.from({ length: 8 }, (_, number) => `many-${number}`);

let server, other, chromium;

before(async () => {
  server = await Server.start();
  for (const board of ['main', 'tabs', ...BOARDS]) {
    await server.board(board);
    await server.score(board, 'ada', 5);
  }
  const page = (body, head = '') => `<!doctype html><meta charset="utf-8"><title>other</title>${head}
    <script type="module" src="${server.url}/embed/v1/score-board.js"></script>${body}`;
  other = await site({
    '/sandbox': page(`<iframe id="frame" sandbox="allow-scripts" src="${server.url}/boards/main/embed"></iframe>`),
    '/many': page(BOARDS.map((board) => `<score-board board="${board}"></score-board>`).join('')),
    '/tabs': page('<score-board board="tabs"></score-board>'),
    '/wrong': page(`<score-board id="src" src="http://["></score-board><score-board id="limit" limit="1000"></score-board>
      <score-board id="season" season="99"></score-board><score-board id="view" view="user"></score-board><score-board id="board" board=""></score-board>
      <div id="host"></div>`),
    '/pictures': page('<score-board board="main" avatars></score-board>'),
    '/wide': page('<score-board board="wide"></score-board>', '<meta name="viewport" content="width=device-width">'),
  });
  chromium = await sideBySide();
});
after(async () => {
  await chromium.close();
  await other.stop();
  await server.stop();
});

const states = (page) => page.evaluate(() => [...document.querySelectorAll('score-board')].map(({ state }) => state?.status));

test('a frame without an origin of its own is live', async () => {
  const page = await open(chromium, `${other.url}/sandbox`);
  const frame = await (await page.$('#frame')).contentFrame();
  await until('it is live', () => frame.evaluate(() => document.querySelector('score-board')?.state?.status === 'live'));
  await server.score('main', 'grace', 9);
  await until('it goes on', () => frame.evaluate(() => document.querySelector('score-board').state.entries[0].userId === 'grace'));
  assert.deepEqual(page.said, []);
  await page.close();
});

test('where pages may store nothing, each has a connection of its own', async () => {
  const page = await open(chromium, `${other.url}/tabs`, (page) => page.evaluateOnNewDocument(() => {
    LockManager.prototype.request = () => Promise.reject(new DOMException('access is denied', 'SecurityError'));
  }));
  await shows(page, server, 'tabs');
  assert.deepEqual(await states(page), ['live']);
  await page.close();
});

test('more leaderboards than a browser has connections are all followed, and requests get through', { timeout: 60_000 }, async () => {
  const page = await open(chromium, `${other.url}/many`, inSight);
  await until('all are live', async () => (await states(page)).every((status) => status === 'live'));
  const took = await page.evaluate(async (url) => {
    const began = performance.now();
    await (await fetch(`${url}/api/leaderboard`)).json();
    return performance.now() - began;
  }, server.url);
  assert.ok(took < 3_000, `${took} ms`);
  for (const board of BOARDS) await server.score(board, 'grace', 9);
  const firsts = () => page.evaluate(() => [...document.querySelectorAll('score-board')].map(({ state }) => state.entries[0].userId));
  await until('all have the newest', async () => (await firsts()).every((user) => user === 'grace'), 15_000);
  assert.ok((await states(page)).every((status) => status === 'live'), 'whoever takes turns is as good as live');
  // Whoever has waited gets the place of one that goes.
  await page.evaluate(() => { for (const board of [...document.querySelectorAll('score-board')].slice(0, 4)) board.remove(); });
  await until('the others stay connected', async () => {
    const counts = await Promise.all(BOARDS.slice(4).map((board) => server.watchers(board)));
    return counts.every((count) => count === 1);
  }, 20_000);
  await page.close();
});

test('tabs that share a connection are live again after a moment without a network', async () => {
  const tabs = [];
  for (let number = 0; number < 3; number += 1) tabs.push(await open(chromium, `${other.url}/tabs`, inSight));
  for (const tab of tabs) await shows(tab, server, 'tabs');
  const all = async (wanted) => (await Promise.all(tabs.map(states))).flat().every((status) => status === wanted);
  // A blip: the connection survives it.
  for (const tab of tabs) await tab.evaluate(() => dispatchEvent(new Event('offline')));
  for (const tab of tabs) await tab.evaluate(() => dispatchEvent(new Event('online')));
  await server.score('tabs', 'blip', 50);
  await until('all are live after a blip', () => all('live'), 20_000);
  for (const tab of tabs) await tab.setOfflineMode(true);
  await sleep(1_000);
  for (const tab of tabs) await tab.setOfflineMode(false);
  await server.score('tabs', 'back', 60);
  for (const tab of tabs) await shows(tab, server, 'tabs');
  await until('all are live after an outage', () => all('live'), 20_000);
  for (const tab of tabs) await tab.close();
});

test('an answer that is not the server’s is no refusal', async () => {
  let foreign = 0;
  const proxy = http.createServer((request, response) => {
    if (foreign > 0) {
      foreign -= 1;
      return void response.writeHead(404, { 'content-type': 'text/plain' }).end('default backend - 404');
    }
    request.pipe(http.request(server.url + request.url, { headers: request.headers, method: request.method }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    }));
  });
  await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', resolve); });
  const { Scoreboard } = await client();
  foreign = 2;
  const followed = follow(new Scoreboard({ url: `http://127.0.0.1:${proxy.address().port}` }).leaderboard('main').top());
  await settles(followed, server, 'main', 10);
  assert.ok(followed.states.some(({ reason }) => reason === 'network'), 'it was met');
  followed.leave();
  proxy.closeAllConnections();
  await new Promise((resolve) => { proxy.close(resolve); });
});

test('what is asked for wrongly is said, and mended', async () => {
  const page = await open(chromium, 'about:blank', (page) => page.evaluateOnNewDocument(() => {
    globalThis.told = [];
    addEventListener('scoreboard-error', ({ target, detail }) => told.push([target.id, detail.reason]));
  }));
  await page.goto(`${other.url}/wrong`, { waitUntil: 'load' });
  const empty = (id) => page.evaluate((id) => document.getElementById(id).shadowRoot.querySelector('[part=empty]').textContent, id);
  await until('all is told', () => page.evaluate(() => told.length === 3));
  assert.deepEqual(await page.evaluate(() => told.sort().map(String)), ['limit,refused', 'season,not-found', 'src,refused']);
  await until('the reason is shown', async () => /limit/.test(await empty('limit')));
  assert.match(await empty('season'), /Not found/);
  for (const id of ['view', 'board']) {
    await until(`${id} shows the leaderboard`, () => page.evaluate((id) => document.getElementById(id).state?.status === 'live', id));
  }
  await page.evaluate((url) => document.getElementById('src').setAttribute('src', url), server.url);
  await until('a right address mends it', () => page.evaluate(() => document.getElementById('src').state?.status === 'live'));
  // The language is the page's, also inside other elements.
  await page.evaluate(() => {
    document.documentElement.lang = 'de';
    document.getElementById('host').attachShadow({ mode: 'open' }).innerHTML = '<score-board></score-board>';
  });
  const inside = () => page.evaluate(() => document.getElementById('host').shadowRoot.querySelector('score-board').shadowRoot?.querySelector('th')?.textContent);
  await until('it speaks German', async () => (await inside()) === 'Rang');
  await page.close();
});

test('the largest scores leave names their room on the smallest screen', async () => {
  const ids = { wide: 9_007_199_254_740_991, phone: 1_234_567_890 };
  for (const [board, value] of Object.entries(ids)) {
    await server.api('POST', '/api/leaderboards', { id: board });
    await server.api('POST', '/api/actions', { id: `${board}-points`, leaderboards: [board], value: { min: -value, max: value } });
    await server.score(board, 'Ada Lovelace', value);
    await server.score(board, 'Grace Hopper', 7);
  }
  const page = await open(chromium, 'about:blank', (page) => page.setViewport({ width: 320, height: 640, deviceScaleFactor: 2 }));
  for (const path of [`${other.url}/wide`, ...Object.keys(ids).flatMap((board) => ['', '/embed', '/overlay'].map((rest) => `${server.url}/boards/${board}${rest}`))]) {
    await page.goto(path, { waitUntil: 'load' });
    const measured = await until(`${path} has rows`, () => page.evaluate(() => {
      const root = document.querySelector('score-board')?.shadowRoot ?? document;
      const rows = [...root.querySelectorAll('tr[data-user]')];
      return rows.length === 2 && {
        names: rows.map((row) => row.querySelector('bdi').getBoundingClientRect().width),
        ends: rows.map((row) => row.querySelector('.sb-score').getBoundingClientRect().right),
        overflows: rows.map((row) => { const cell = row.querySelector('.sb-score'); return cell.scrollWidth - cell.clientWidth; }),
        page: document.documentElement.scrollWidth,
      };
    }));
    assert.ok(measured.names.every((width) => width >= 40), `${path}: ${JSON.stringify(measured)}`);
    assert.ok(measured.ends.every((end) => end <= 320) && measured.overflows.every((more) => more <= 1) && measured.page <= 320, `${path}: ${JSON.stringify(measured)}`);
  }
  await page.close();
});

test('a scene that is there before its leaderboard shows it once it is made', { timeout: 60_000 }, async () => {
  const page = await open(chromium, `${server.url}/boards/late/overlay`, inSight);
  await sleep(500);
  await server.board('late');
  await server.score('late', 'ada', 5);
  await shows(page, server, 'late', 10, 40_000);
  await page.close();
});

test('what has become private is no longer in the page', async () => {
  await server.api('POST', '/api/leaderboards', { id: 'open', name: 'Secret plans', description: 'Of Ada' });
  await server.api('POST', '/api/actions', { id: 'open-points', leaderboards: ['open'], value: { min: 0, max: 10 } });
  await server.score('open', 'ada', 5);
  const page = await open(chromium, `${server.url}/boards/open`, inSight);
  await shows(page, server, 'open');
  const { Scoreboard } = await client();
  const followed = follow(new Scoreboard({ url: server.url }).leaderboard('open').top());
  await settles(followed, server, 'open', 10);
  await server.api('PATCH', '/api/leaderboards/open', { visibility: 'private' });
  await until('it asks for a sign-in', () => page.evaluate(() => document.body.dataset.connection === 'refused' && !document.getElementById('sign-in').hidden));
  const html = await until('it names nothing', async () => {
    const html = await page.content();
    return !/Secret|Of Ada|data-user/.test(html) && html;
  });
  assert.ok(!html.includes('ada'), html);
  // Nor in a store, which would show it again while it asks.
  await until('the store knows', () => followed.state.reason === 'private');
  assert.deepEqual([followed.state.entries, followed.state.version, followed.state.status], [[], null, 'offline']);
  followed.leave();
  await page.close();
});

test('latest scores that a restored ledger never had are not shown', async () => {
  const { Scoreboard } = await client();
  const own = await Server.start();
  await own.board('main');
  await own.score('main', 'ada', 5);
  await own.end();
  const { cp, rm } = await import('node:fs/promises');
  await cp(own.data, `${own.data}-older`, { recursive: true });
  await own.run();
  const followed = follow(new Scoreboard({ url: own.url }).leaderboard('main').top({ latest: 5 }));
  await own.score('main', 'lost', 7);
  const seen = () => followed.state.scores.map(({ userId }) => userId);
  await until('both are told', () => String(seen()) === 'lost,ada');
  await own.end('SIGKILL');
  await rm(own.data, { recursive: true });
  await cp(`${own.data}-older`, own.data, { recursive: true });
  await own.run();
  await settles(followed, own, 'main', 10, 40_000);
  assert.deepEqual(expected(followed.state), [[1, 'ada', 5]]);
  await until('only what is there is told', () => String(seen()) === 'ada');
  followed.leave();
  await rm(`${own.data}-older`, { recursive: true });
  await own.stop();
});

test('a picture that cannot be had leaves no trace', async () => {
  await server.api('PATCH', '/api/users/ada', { avatarUrl: `${server.url}/assets/favicon.svg` });
  await server.score('main', 'grace', 1);
  await server.api('PATCH', '/api/users/grace', { avatarUrl: `${server.url}/assets/none.svg` });
  const page = await open(chromium, `${other.url}/pictures`);
  const pictures = () => page.evaluate(() => [...document.querySelector('score-board').shadowRoot?.querySelectorAll('tr[data-user]') ?? []]
    .map((row) => [row.dataset.user, row.querySelector('img')?.complete]));
  await until('ada has one', async () => String(await pictures()).includes('ada,true'));
  await until('grace has none', async () => /grace,(?!true|false)/.test(String(await pictures())));
  await page.close();
});
