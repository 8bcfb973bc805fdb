// The stores against the real server: whatever happens, the table equals what a read answers.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Proxy, Server, client, follow, settles, sleep, token, until } from './harness.js';

/** On PostgreSQL and Redis, where tests/run says so. */
const { FACES_DATABASE_URL, FACES_REDIS_URL } = process.env;
const SHARED = FACES_DATABASE_URL ? { DATABASE_URL: FACES_DATABASE_URL, REDIS_URL: FACES_REDIS_URL } : {};

let server, proxy, Scoreboard;

before(async () => {
  server = await Server.start(SHARED);
  proxy = await Proxy.before(server);
  ({ Scoreboard } = await client());
});
after(async () => {
  await proxy.stop();
  await server.stop();
});

const scoreboard = (options = {}) => new Scoreboard({ url: proxy.url, ...options });

/** Numbers that are the same in every run. */
function random(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

for (const seed of [7, 1234]) {
  test(`a window equals the read after random scores, cuts, renames, corrections, seasons and restarts (seed ${seed})`, async () => {
    const dice = random(seed);
    const board = await server.board(`random-${seed}`);
    const followed = follow(scoreboard().leaderboard(board).top({ limit: 7, hz: 20 }));
    const user = () => `u-${dice(15)}`;
    let hidden = [];
    const kicks = [
      ...Array(6).fill(() => server.score(board, user(), dice(200) - 60)),
      () => server.api('PATCH', `/api/users/${user()}`, { displayName: `Name ${dice(1000)}` }).catch(() => {}),
      () => proxy.cut(),
      async () => {
        const made = await server.api('POST', '/api/moderation/decisions', { decisions: [{ type: 'hide', userId: user(), leaderboardId: board, reason: 'test' }] });
        hidden.push(...made.results.map((result) => result.body?.id ?? result.id).filter(Boolean));
      },
      async () => {
        for (const id of hidden.splice(0)) await server.api('DELETE', `/api/moderation/decisions/${id}`).catch(() => {});
      },
    ];
    for (let round = 0; round < 8; round += 1) {
      for (let kick = 0; kick < 25; kick += 1) await kicks[dice(kicks.length)]();
      if (round === 3) await server.api('POST', `/api/leaderboards/${board}/seasons`, { ends: 1 });
      if (round === 5 && seed === 7) await server.restart('SIGKILL');
      await settles(followed, server, board, 7);
    }
    assert.equal(followed.state.season, 2);
    followed.leave();
    // What an instance that was killed had reported to Redis counts for 30 s.
    await until('nobody watches', async () => (await server.watchers(board)) === 0, 45_000);
  });
}

test('an event that is missing is noticed by the next one, and the window is made good', async () => {
  const board = await server.board('holes');
  await server.score(board, 'ada', 1);
  const followed = follow(scoreboard().leaderboard(board).top({ limit: 5, hz: 20 }));
  await settles(followed, server, board, 5);
  let dropped = 0;
  proxy.change = (bytes) => {
    if (dropped === 0 && bytes.includes('leaderboard-patch') && bytes.includes('"holes"')) {
      dropped += 1;
      return null;
    }
    return bytes;
  };
  await server.score(board, 'grace', 5);
  await until('a patch was dropped', () => dropped === 1);
  await server.score(board, 'joan', 3);
  await settles(followed, server, board, 5, 5_000);
  proxy.change = (bytes) => bytes;
  followed.leave();
});

test('the latest scores come with the window, in order, each once, and corrected ones go', async () => {
  const board = await server.board('latest');
  const receipts = [];
  for (let value = 1; value <= 4; value += 1) receipts.push(await server.score(board, `u-${value}`, value));
  const followed = follow(scoreboard().leaderboard(board).top({ limit: 2, hz: 10, latest: 5 }));
  const shown = () => followed.state.scores.map(({ eventId }) => eventId);
  const wanted = () => receipts.map(({ eventId }) => eventId).reverse().slice(0, 5);
  await until('the history is there', () => JSON.stringify(shown()) === JSON.stringify(wanted()));
  // Below the window as well.
  for (let value = 1; value <= 3; value += 1) receipts.push(await server.score(board, `low-${value}`, -value));
  await until('the newest are there', () => JSON.stringify(shown()) === JSON.stringify(wanted()));
  proxy.cut();
  receipts.push(await server.score(board, 'u-1', 9));
  await until('none is missing after a cut', () => JSON.stringify(shown()) === JSON.stringify(wanted()));
  await server.api('PATCH', '/api/users/u-1', { displayName: 'Ada' });
  await until('a new name is shown', () => followed.state.scores[0].displayName === 'Ada');
  await server.api('POST', '/api/moderation/decisions', { decisions: [{ type: 'hide', userId: 'low-2', reason: 'test' }] });
  await until('who is hidden is gone', () => followed.state.scores.length > 0 && !followed.state.scores.some(({ userId }) => userId === 'low-2'));
  followed.leave();
});

test('a standing follows its user, and is empty where there is none', async () => {
  const board = await server.board('standing');
  for (let value = 1; value <= 6; value += 1) await server.score(board, `u-${value}`, value);
  const followed = follow(scoreboard().leaderboard(board).standing('u-2', { around: 1, hz: 20 }));
  await until('the fifth', () => followed.state.entry?.rank === 5 && followed.state.around.length === 3);
  await server.score(board, 'u-2', 100);
  await until('the first', () => followed.state.entry.rank === 1 && followed.state.percentile === 100);
  const nobody = follow(scoreboard().leaderboard(board).standing('nobody'));
  await until('known to be nobody', () => nobody.state.version !== null && nobody.state.entry === null);
  followed.leave();
  nobody.leave();
});

test('an ended season is shown as it ended', async () => {
  const board = await server.board('past');
  await server.score(board, 'ada', 5);
  const bound = follow(scoreboard().leaderboard(board).top({ season: 1 }));
  await until('season 1 is fed', () => bound.state.status === 'live' && bound.state.entries.length === 1);
  await server.api('POST', `/api/leaderboards/${board}/seasons`, { ends: 1 });
  await server.score(board, 'grace', 7);
  await until('its stream has ended', () => bound.state.reason === 'ended');
  await until('with its result', () => bound.state.entries[0]?.userId === 'ada' && bound.state.season === 1);
  for (const season of [1, 'previous']) {
    const past = follow(scoreboard().leaderboard(board).top({ season }));
    await until(`season ${season} is read`, () => past.state.reason === 'ended' && past.state.entries[0]?.userId === 'ada');
    past.leave();
  }
  bound.leave();
});

test('a leaderboard may be called leaderboard', async () => {
  const board = await server.board('leaderboard');
  await server.score(board, 'ada', 5);
  assert.deepEqual((await scoreboard().leaderboard(board).entries()).entries.map(({ userId }) => userId), ['ada']);
  await server.api('POST', `/api/leaderboards/${board}/seasons`, { ends: 1 });
  const past = follow(scoreboard().leaderboard(board).top({ season: 1 }));
  await until('season 1 is read', () => past.state.reason === 'ended' && past.state.entries[0]?.userId === 'ada');
  past.leave();
});

describe('reasons', () => {
  test('a private leaderboard without a token, one that does not exist, one that is deleted', async () => {
    const board = await server.board('secret', { visibility: 'private' });
    const refused = follow(scoreboard().leaderboard(board).top());
    await until('private', () => refused.state.reason === 'private' && refused.state.status === 'offline');
    const missing = follow(scoreboard().leaderboard('missing').top());
    await until('not found', () => missing.state.reason === 'not-found');
    const gone = await server.board('gone');
    const deleted = follow(scoreboard().leaderboard(gone).top());
    await until('live', () => deleted.state.status === 'live');
    await server.api('DELETE', `/api/leaderboards/${gone}`);
    await until('deleted', () => deleted.state.reason === 'deleted' && deleted.state.status === 'offline');
    for (const followed of [refused, missing, deleted]) followed.leave();
  });

  test('a season that ends is not a key that ends', async () => {
    const board = await server.board('kept', { visibility: 'private' });
    await server.score(board, 'ada', 5);
    const keeper = { authorization: `Bearer ${token('keeper', 'keys:admin leaderboards:read')}` };
    const { id, key } = await server.api('POST', '/api/keys', { name: 'a dashboard', scopes: ['leaderboards:read'] }, keeper);
    const keyed = scoreboard({ token: () => key }).leaderboard(board);
    const [first, live] = [follow(keyed.top({ season: 1 })), follow(keyed.top())];
    const failed = (async () => { for await (const _ of keyed.events()); })().then(() => null, (error) => error);
    await until('all are fed', async () => first.state.entries.length === 1 && live.state.entries.length === 1 && (await server.watchers(board)) === 3);
    await server.api('POST', `/api/leaderboards/${board}/seasons`, { ends: 1 });
    await until('season 1 has ended', () => first.state.reason === 'ended' && first.state.entries[0]?.userId === 'ada');
    await server.score(board, 'grace', 7);
    await until('the next one goes on', () => live.state.entries[0]?.userId === 'grace');
    await server.api('DELETE', `/api/keys/${id}`, undefined, keeper);
    await until('nothing is left to who may not see it', () => live.state.reason === 'token' && live.state.entries.length === 0 && live.state.version === null);
    assert.match((await failed).message, /has ended/);
    for (const followed of [first, live]) followed.leave();
  });
});

test('every event comes once and in order, also through cuts', async () => {
  const board = await server.board('events');
  const stop = new AbortController();
  const seen = [];
  const reading = (async () => {
    for await (const { event, data, id } of scoreboard().leaderboard(board).events({ signal: stop.signal })) {
      if (event === 'score-updated') seen.push([data.userId, data.since, id]);
    }
  })();
  const sent = [];
  await until('the stream is open', async () => (await server.watchers(board)) === 1);
  for (let number = 0; number < 60; number += 1) {
    await server.score(board, `u-${number}`, 1);
    sent.push(`u-${number}`);
    if (number % 9 === 5) proxy.cut();
  }
  await until('all have come', () => seen.length >= sent.length, 30_000);
  assert.deepEqual(seen.map(([user]) => user), sent);
  for (const [index, [, since]] of seen.entries()) if (index > 0) assert.equal(since, seen[index - 1][2]);
  stop.abort();
  await reading;
});

test('a position that is no longer known is answered by a snapshot that says so', async () => {
  const board = await server.board('position');
  await server.score(board, 'ada', 1);
  const stop = new AbortController();
  for await (const { event, data } of scoreboard().leaderboard(board).events({ lastEventId: 'gone-7', signal: stop.signal })) {
    assert.deepEqual([event, data.reset, data.entries.length], ['leaderboard', true, 1]);
    stop.abort();
  }
});

test('a score whose answer was lost is sent again and counts once', async () => {
  const board = await server.board('once');
  let lost = 0;
  proxy.change = (bytes, { client: socket, asked }) => {
    if (lost < 2 && asked.startsWith('POST /api/scores')) {
      lost += 1;
      socket.destroy();
      return null;
    }
    return bytes;
  };
  const { scores } = scoreboard({ token: () => token() });
  const receipt = await scores.submit({ actionId: 'once-points', userId: 'ada', value: 5 });
  proxy.change = (bytes) => bytes;
  assert.equal(lost, 2);
  assert.equal(receipt.newScore, 5);
  assert.equal((await server.entries(board)).entries[0].score, 5);
  await assert.rejects(scores.submit({ actionId: 'nothing', userId: 'ada' }), ({ status, problem }) => status === 422 && problem.errors[0].field === 'actionId');
  await server.end();
  setTimeout(() => void server.run(), 1500);
  const late = await scores.submit({ actionId: 'once-points', userId: 'ada', value: 1 });
  assert.equal(late.newScore, 6);
  await sleep(100);
});
