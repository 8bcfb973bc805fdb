// What takes as long as a heartbeat: connections that say nothing, tokens that expire.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Proxy, Server, client, follow, settles, token, until } from './harness.js';

let server, Scoreboard;

before(async () => {
  server = await Server.start();
  ({ Scoreboard } = await client());
});
after(() => server.stop());

describe('waiting', { concurrency: true }, () => {
  test('a connection that says nothing any more is left after two and a half heartbeats', { timeout: 60_000 }, async () => {
    const board = await server.board('silence');
    await server.score(board, 'ada', 1);
    const own = await Proxy.before(server);
    const followed = follow(new Scoreboard({ url: own.url }).leaderboard(board).top());
    await settles(followed, server, board, 10);
    const began = Date.now();
    own.still = true;
    await server.score(board, 'grace', 2);
    await until('the store says that it is not fed', () => followed.state.status === 'stale', 45_000);
    assert.ok(Date.now() - began > 20_000, 'not before a heartbeat could have come');
    own.still = false;
    own.cut();
    await settles(followed, server, board, 10);
    followed.leave();
    await own.stop();
  });

  test('a token is asked for anew before it expires, after a 401, and when the server closes the stream because of it', { timeout: 60_000 }, async () => {
    const board = await server.board('secret', { visibility: 'private' });
    let asked = 0;
    const source = () => {
      asked += 1;
      return asked === 1 ? token('reader', 'leaderboards:read', -10) : token('reader', 'leaderboards:read', 33);
    };
    const followed = follow(new Scoreboard({ url: server.url, token: source }).leaderboard(board).top());
    await until('live with the second token', () => followed.state.status === 'live' && followed.state.version !== null);
    assert.ok(asked >= 2);
    const [before, start] = [asked, Date.now()];
    await server.score(board, 'ada', 1);
    await until('the server has closed the stream of the second one', () => asked > before, 40_000);
    await server.score(board, 'ada', 1);
    await settles(followed, server, board, 10);
    assert.ok(Date.now() - start < 45_000);
    followed.leave();
  });

  test('the previous season goes on to the next one that ends', { timeout: 120_000 }, async () => {
    const board = await server.board('turns');
    const end = async (season, user) => {
      await server.score(board, user, 1);
      await server.api('POST', `/api/leaderboards/${board}/seasons`, { ends: season });
    };
    await end(1, 'ada');
    const followed = follow(new Scoreboard({ url: server.url }).leaderboard(board).top({ season: 'previous' }));
    await until('the first', () => followed.state.entries[0]?.userId === 'ada');
    await end(2, 'grace');
    await until('the second', () => followed.state.season === 2 && followed.state.entries[0]?.userId === 'grace', 90_000);
    followed.leave();
  });
});
