// What a refusal means: for the score, the stream and the window that met it, and for no other.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import { build } from 'esbuild';

import { Server, client, follow, inSight, open, root, rows, shows, sideBySide, site, sleep, token, until } from './harness.js';

let server, Scoreboard;

before(async () => {
  server = await Server.start();
  ({ Scoreboard } = await client());
});
after(() => server.stop());

/** A host before the server: `answer` may say something in its place. It counts the requests for each path. */
async function host(answer) {
  const asked = {};
  const listener = http.createServer((request, response) => {
    const path = request.url.split('?')[0];
    asked[path] = (asked[path] ?? 0) + 1;
    if (answer(request, response, asked[path])) return;
    const upstream = http.request(server.url + request.url, { headers: request.headers, method: request.method }, (answered) => {
      response.writeHead(answered.statusCode, answered.headers);
      answered.pipe(response);
    });
    response.on('close', () => upstream.destroy());
    upstream.on('error', () => response.destroy());
    request.pipe(upstream);
  });
  await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  return {
    asked,
    url: `http://127.0.0.1:${listener.address().port}`,
    stop: () => new Promise((resolve) => {
      listener.close(resolve);
      listener.closeAllConnections();
    }),
  };
}

describe('scores', () => {
  test('the score of a run is submitted with its token alone', async () => {
    await server.board('runs');
    await server.api('POST', '/api/actions', { id: 'run', leaderboards: ['runs'], value: { min: 0, max: 1000 }, selfService: true, run: { minSeconds: 0, maxSeconds: 3600 } });
    const own = token('player', 'scores:self');
    const { runToken } = await server.api('POST', '/api/runs', { actionId: 'run' }, { authorization: `Bearer ${own}` });
    const { scores } = new Scoreboard({ url: server.url, token: () => own });
    const submission = { actionId: 'run', userId: 'player', value: 9, runToken };
    assert.equal((await scores.submit(submission)).newScore, 9);
    assert.equal((await scores.submit(submission)).newScore, 9, 'the token counts once');
  });

  test('one that a rule refuses for now is refused, one that comes too fast is sent again', async () => {
    await server.board('rules');
    await server.api('POST', '/api/actions', { id: 'slow', leaderboards: ['rules'], points: 5, cooldownSeconds: 1 });
    const limited = { status: 429, type: 'urn:scoreboard:problem:rate-limited', title: 'Too many requests' };
    const proxy = await host((request, response, time) => request.url === '/api/scores' && time === 1
      && response.writeHead(429, { 'content-type': 'application/problem+json', 'retry-after': '1' }).end(JSON.stringify(limited)));
    const { scores } = new Scoreboard({ url: proxy.url, token: () => token() });
    assert.equal((await scores.submit({ actionId: 'slow', userId: 'ada' })).newScore, 5);
    assert.equal(proxy.asked['/api/scores'], 2);
    await assert.rejects(scores.submit({ actionId: 'slow', userId: 'ada' }), ({ status, problem }) => status === 429 && problem.type.endsWith('too-soon'));
    assert.equal(proxy.asked['/api/scores'], 3);
    await proxy.stop();
  });
});

for (const [what, type] of [['pages', 'text/html'], ['streams that say nothing', 'text/event-stream']]) {
  test(`a host that answers everything with ${what} is asked less and less`, async () => {
    const proxy = await host((request, response) => response.writeHead(200, { 'content-type': type }).end('<p>Welcome</p>\n\n'));
    const followed = follow(new Scoreboard({ url: proxy.url }).leaderboard('main').top());
    await sleep(3_000);
    const asked = proxy.asked['/api/leaderboards/main/stream'];
    assert.ok(asked > 1 && asked < 12, `${asked} requests in 3 s`);
    assert.equal(followed.state.reason, 'network');
    followed.leave();
    await proxy.stop();
  });
}

describe('stores', () => {
  test('whoever is not in an ended season has no entry, and a result that is refused is not asked for again', async () => {
    await server.board('past');
    await server.score('past', 'ada', 5);
    await server.api('POST', '/api/leaderboards/past/seasons', { ends: 1 });
    let refused = false;
    const proxy = await host((request, response) => refused && request.url.includes('/entries')
      && response.writeHead(422, { 'content-type': 'application/problem+json' }).end(JSON.stringify({ status: 422, type: 'about:blank', title: 'No', detail: 'Not this one' })));
    const past = new Scoreboard({ url: proxy.url }).leaderboard('past');
    const ghost = follow(past.standing('ghost', { season: 1 }));
    await until('it is known', () => ghost.state.version !== null);
    const { entry, total, season, reason } = ghost.state;
    assert.deepEqual([entry, total, season, reason], [null, 1, 1, 'ended']);
    refused = true;
    const top = follow(past.top({ season: 1 }));
    await until('it is refused', () => top.state.reason === 'refused' && top.state.detail === 'Not this one');
    const asked = proxy.asked['/api/leaderboards/past/entries'];
    await sleep(6_000);
    assert.equal(proxy.asked['/api/leaderboards/past/entries'], asked);
    for (const followed of [ghost, top]) followed.leave();
    await proxy.stop();
  });

  test('one that nobody listens to is not live', async () => {
    await server.board('left');
    const store = new Scoreboard({ url: server.url }).leaderboard('left').top();
    const followed = follow(store);
    await until('live', () => store.getSnapshot().status === 'live');
    followed.leave();
    await until('not any more', () => store.getSnapshot().status === 'stale');
  });

  test('one that was refused asks anew for whoever listens next, at once', async () => {
    const store = new Scoreboard({ url: server.url }).leaderboard('soon').top();
    const first = follow(store);
    await until('not found', () => store.getSnapshot().reason === 'not-found');
    await server.board('soon');
    first.leave();
    const next = follow(store);
    await until('live', () => store.getSnapshot().status === 'live');
    next.leave();
  });

  test('latest scores that could not be read are asked for again', async () => {
    await server.board('again');
    await server.score('again', 'ada', 5);
    const proxy = await host((request, response, time) => request.url.includes('/scores?') && time === 1 && response.writeHead(429, { 'retry-after': '1' }).end());
    const followed = follow(new Scoreboard({ url: proxy.url }).leaderboard('again').top({ latest: 5 }));
    await until('they are there', () => followed.state.scores.length === 1);
    assert.ok(proxy.asked['/api/leaderboards/again/scores'] > 1);
    followed.leave();
    await proxy.stop();
  });
});

describe('windows', () => {
  let other, own, chromium;

  before(async () => {
    const { outputFiles } = await build({ absWorkingDir: root, entryPoints: ['src/index.ts'], bundle: true, format: 'esm', target: 'es2022', write: false });
    // Tokens go to the own origin.
    const pages = { '/client.js': ['text/javascript', outputFiles[0].text], '/client': ['text/html', '<!doctype html><title>client</title>'] };
    own = await host((request, response) => pages[request.url] && response.writeHead(200, { 'content-type': pages[request.url][0] }).end(pages[request.url][1]));
    other = await site({
      '/late': `<!doctype html><title>late</title><script type="module" src="${server.url}/embed/v1/score-board.js"></script><score-board board="late"></score-board>`,
    });
    chromium = await sideBySide();
    await server.api('POST', '/api/leaderboards', { id: 'vault', visibility: 'private' });
  });
  after(async () => {
    await chromium.close();
    await other.stop();
    await own.stop();
  });

  /** What a store of the private leaderboard comes to with this token. */
  const follows = async (page, bearer) => page.evaluate(async (bearer) => {
    const { Scoreboard } = await import('/client.js');
    const store = new Scoreboard({ url: location.origin, token: () => bearer }).leaderboard('vault').top();
    window.reasons ??= [];
    const seen = [];
    window.reasons.push(seen);
    store.subscribe(() => seen.push(store.getSnapshot().reason));
  }, bearer);
  const reasons = (page) => page.evaluate(() => window.reasons);

  test('what one window was refused, another asks for itself', async () => {
    const first = await open(chromium, `${other.url}/late`, inSight);
    const reason = (page) => page.evaluate(() => document.querySelector('score-board').state?.reason);
    await until('not found', async () => (await reason(first)) === 'not-found');
    await server.board('late');
    await server.score('late', 'ada', 5);
    const second = await open(chromium, `${other.url}/late`, inSight);
    await shows(second, server, 'late');
    // Also in the window that met it, for an element that comes later.
    await first.evaluate(() => document.body.append(document.createElement('score-board')));
    await first.evaluate(() => document.querySelectorAll('score-board')[1].setAttribute('board', 'late'));
    await until('the later one is live', () => first.evaluate(() => document.querySelectorAll('score-board')[1].state?.status === 'live'));
    // All that followed the one that led are told by themselves.
    await server.api('DELETE', '/api/leaderboards/late');
    for (const page of [first, second]) await until('deleted', async () => /deleted|not-found/.test(await reason(page)));
    assert.deepEqual(await rows(second), []);
    await first.close();
    await second.close();
  });

  test('a token that is refused refuses no other of its subject, and shows nothing of what another opens', async () => {
    const page = await open(chromium, `${own.url}/client`, inSight);
    await follows(page, token('reader', 'leaderboards:read', -60));
    await follows(page, token('reader', 'leaderboards:read'));
    await follows(page, token('reader', 'scores:write'));
    await until('all know', async () => (await reasons(page)).every((seen) => [null, 'token', 'refused'].includes(seen.at(-1))));
    await sleep(500);
    const [expired, good, less] = await reasons(page);
    assert.equal(expired.at(-1), 'token');
    assert.deepEqual(good.filter((reason) => reason && reason !== 'connecting'), []);
    assert.equal(good.at(-1), null);
    assert.equal(less.at(-1), 'refused');
    assert.ok(!less.includes(null), `${less}`);
    await page.close();
  });
});
