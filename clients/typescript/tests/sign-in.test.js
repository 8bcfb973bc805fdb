// Private leaderboards: a session of an account opens them, for as long as it is wanted.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';

import { Server, browser, findings, live, open, token, until } from './harness.js';

describe('the sign-in of a private leaderboard', () => {
  let accounts, chromium;
  const password = 'correct horse battery';
  const post = (path, body, method = 'POST') => accounts.api(method, path, body, { authorization: `Bearer ${token('tests', 'accounts:admin')}` });
  const shown = (page) => page.evaluate(() => ({
    connection: document.body.dataset.connection, rows: document.querySelectorAll('#rows tr').length, form: document.querySelector('#sign-in').checkVisibility(),
    out: document.querySelector('#sign-out').checkVisibility(), name: document.querySelector('h1').textContent,
  }));
  const signIn = async (page, login, typed = password) => {
    await page.waitForSelector('#login', { visible: true });
    await page.evaluate(() => document.querySelector('#sign-in').reset());
    await page.type('#login', login);
    await page.type('#password', typed);
    await page.click('#sign-in button');
  };

  before(async () => {
    chromium = await browser();
    accounts = await Server.start({ ACCOUNTS: 'open' });
    await accounts.board('vault', { visibility: 'private', name: 'Secret plans' });
    await accounts.score('vault', 'ada', 5);
    for (const login of ['player', 'moderator']) {
      const { userId } = await post('/api/auth/sign-up', { login, password });
      await post(`/api/accounts/${userId}`, { roles: [login] }, 'PATCH');
    }
  });
  after(async () => {
    await chromium.close();
    await accounts.stop();
  });

  test('opens what the account may see, stays open over a reload, and is given back', async () => {
    const page = await open(chromium, `${accounts.url}/boards/vault`);
    assert.deepEqual(await findings(page), []);
    await signIn(page, 'moderator', 'a wrong horse battery');
    await until('what was typed is refused', () => page.evaluate(() => /did not work/.test(document.querySelector('#notice').textContent)));
    await signIn(page, 'moderator');
    await live(page);
    const opened = { connection: 'live', rows: 1, form: false, out: true, name: 'Secret plans' };
    await until('the rows are shown', async () => isDeepStrictEqual(await shown(page), opened));
    await page.reload();
    await until('the session goes on', async () => isDeepStrictEqual(await shown(page), opened));
    await page.click('#sign-out');
    await until('it is over', async () => {
      const { rows, form, name } = await shown(page);
      return rows === 0 && form && name !== 'Secret plans';
    });
    await page.reload();
    await page.waitForSelector('#login', { visible: true });
    await page.close();
  });

  test('clears the page when the account may not see it any more', async () => {
    const { userId } = await post('/api/auth/sign-up', { login: 'former', password });
    await post(`/api/accounts/${userId}`, { roles: ['moderator'] }, 'PATCH');
    const page = await open(chromium, `${accounts.url}/boards/vault`);
    await signIn(page, 'former');
    await until('the rows are shown', async () => (await shown(page)).rows === 1 && (await shown(page)).name === 'Secret plans');
    await post(`/api/accounts/${userId}`, { roles: ['player'] }, 'PATCH');
    const forgotten = () => page.evaluate(() => !/Secret plans|ada/.test(document.documentElement.outerHTML) && document.querySelector('#login').checkVisibility());
    await until('nothing private is left, and a sign-in is asked for', forgotten);
    assert.equal(await page.evaluate(() => document.querySelector('.feed').checkVisibility()), false, 'no heading of what is not shown');
    await page.close();
  });

  test('says to an account that it may not see it', async () => {
    const page = await open(chromium, `${accounts.url}/boards/vault`);
    await signIn(page, 'player');
    await until('it is told so', () => page.evaluate(() => /may not see/.test(document.querySelector('#notice').textContent)));
    assert.equal((await shown(page)).rows, 0);
    assert.equal(await page.evaluate(() => document.querySelector('.feed').checkVisibility()), false, 'no heading of what is not shown');
    await page.close();
  });
});
