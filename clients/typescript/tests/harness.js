// What the tests have in common: the real server, another origin, connections that go wrong, a real browser.
//
// SCOREBOARD names the program, CHROMIUM the browser.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';

import { build } from 'esbuild';
import puppeteer from 'puppeteer-core';

export const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, '..');
const PROGRAM = process.env.SCOREBOARD ?? join(root, '../../target/debug/scoreboard');
const SECRET = 'a secret of these tests, which nobody else has';
const EVERYTHING = 'scores:write leaderboards:admin leaderboards:read moderation:write users:write';

export { sleep };

/** A token of this server's: `ttl` in seconds. */
export function token(sub = 'tests', scope = EVERYTHING, ttl = 3600) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub, scope, iat: now, exp: now + ttl })}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

/** Waits until `condition` gives something true, and answers with it. */
export async function until(what, condition, within = 15_000, every = 25) {
  const deadline = Date.now() + within;
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    assert.ok(Date.now() < deadline, `not within ${within} ms: ${what}; last: ${last instanceof Error ? last.stack : JSON.stringify(last)}`);
    await sleep(every);
  }
}

const freePort = () =>
  new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** The server, with data of its own. It comes back on the same port with the same data. */
export class Server {
  static async start(settings = {}) {
    const server = new Server();
    server.data = await mkdtemp(join(tmpdir(), 'scoreboard-faces-'));
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    server.settings = settings;
    await server.run();
    return server;
  }

  async run() {
    const environment = {
      PATH: process.env.PATH, DATA_DIR: this.data, DATABASE_URL: `sqlite://${this.data}/scoreboard.db`, JWT_SECRET: SECRET,
      LISTEN_ADDR: `127.0.0.1:${this.port}`, STREAMS_PER_IP: '2000', RATE_LIMIT_PER_SECOND: '100000', RATE_LIMIT_BURST: '100000', ...this.settings,
    };
    this.process = spawn(PROGRAM, ['serve'], { env: environment, stdio: ['ignore', 'ignore', 'pipe'] });
    this.said = '';
    this.process.stderr.on('data', (text) => { this.said = (this.said + text).slice(-4000); });
    this.ended = new Promise((resolve) => { this.process.on('exit', resolve); });
    await until('the server is ready', async () => (await fetch(`${this.url}/readyz`)).ok, 30_000).catch((error) => {
      throw new Error(`${error.message}\n${this.said}`);
    });
  }

  async end(signal = 'SIGTERM') {
    this.process.kill(signal);
    await this.ended;
  }

  async restart(signal) {
    await this.end(signal);
    await this.run();
  }

  async stop() {
    await this.end('SIGKILL');
    await rm(this.data, { recursive: true, force: true });
  }

  async api(method, path, body, headers = {}) {
    const answer = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${token()}`, ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** A leaderboard of its own, with an action of this name that takes values. */
  async board(id, settings = {}) {
    if (id !== 'main') await this.api('POST', '/api/leaderboards', { id, ...settings });
    await this.api('POST', '/api/actions', { id: `${id}-points`, leaderboards: [id], value: { min: -1_000_000, max: 1_000_000 } });
    return id;
  }

  score(board, userId, value, more = {}) {
    return this.api('POST', '/api/scores', { actionId: `${board}-points`, userId, value, ...more });
  }

  async entries(board, limit = 10, season = '') {
    return this.api('GET', `/api/leaderboards/${board}/entries?limit=${limit}${season && `&season=${season}`}`);
  }

  async watchers(board) {
    return (await this.api('GET', `/api/leaderboards/${board}`)).watchers;
  }
}

/** A TCP proxy whose connections can be cut, held still, or changed. */
export class Proxy {
  static async before(server) {
    const proxy = new Proxy();
    proxy.connections = new Set();
    proxy.still = false;
    /** What becomes of the bytes from the server; `null` keeps them back. */
    proxy.change = (bytes) => bytes;
    proxy.listener = net.createServer((client) => proxy.#connect(client, server.port));
    await new Promise((resolve) => { proxy.listener.listen(0, '127.0.0.1', resolve); });
    proxy.url = `http://127.0.0.1:${proxy.listener.address().port}`;
    return proxy;
  }

  #connect(client, port) {
    const upstream = net.connect(port, '127.0.0.1');
    const pair = { client, upstream };
    this.connections.add(pair);
    const end = () => {
      this.connections.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      socket.on('error', end);
      socket.on('close', end);
    }
    client.on('data', (bytes) => {
      pair.asked = bytes.toString('latin1').split('\r\n')[0];
      if (!this.still) upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      const changed = this.still ? null : this.change(bytes, pair);
      if (changed) client.write(changed);
    });
  }

  cut() {
    for (const { client, upstream } of this.connections) {
      client.destroy();
      upstream.destroy();
    }
  }

  async stop() {
    this.cut();
    await new Promise((resolve) => { this.listener.close(resolve); });
  }
}

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8' };

/** Another origin: `pages` by path, each a text or a file's name, with these headers. */
export async function site(pages, headers = {}) {
  const listener = http.createServer(async (request, response) => {
    const path = request.url.split('?')[0];
    if (path === '/favicon.ico') return void response.writeHead(204).end();
    const page = pages[path];
    if (page === undefined) return void response.writeHead(404).end();
    const text = page.file ? await readFile(page.file, 'utf8') : page;
    response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? TYPES['.html'], ...headers }).end(text);
  });
  await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    stop: () => new Promise((resolve) => {
      listener.close(resolve);
      listener.closeAllConnections();
    }),
  };
}

/** The client as programs load it, made of the sources. */
export async function client() {
  const folder = await mkdtemp(join(tmpdir(), 'scoreboard-client-'));
  const outfile = join(folder, 'client.mjs');
  await build({ absWorkingDir: root, entryPoints: ['src/index.ts'], bundle: true, format: 'esm', target: 'es2022', outfile, logLevel: 'error' });
  return import(pathToFileURL(outfile));
}

export function browser(...flags) {
  return puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking', ...flags],
    protocolTimeout: 120_000,
  });
}

/** All tabs are looked at, as side by side on large screens: what is hidden sleeps. */
export const sideBySide = () => browser('--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding', '--disable-background-timer-throttling');

/** A page goes on as if it were looked at, whichever tab is in front. */
export const inSight = async (page) => {
  const session = await page.createCDPSession();
  await session.send('Emulation.setFocusEmulationEnabled', { enabled: true });
};

/** A page that keeps what its console says, errors of scripts included. */
export async function open(from, url, prepare = async () => {}) {
  const page = await from.newPage();
  page.said = [];
  page.on('console', (message) => { if (['error', 'warn', 'warning'].includes(message.type())) page.said.push(message.text()); });
  page.on('pageerror', (error) => page.said.push(String(error.stack ?? error)));
  await prepare(page);
  await page.goto(url, { waitUntil: 'load' });
  return page;
}

/** The rows of a page's table, or of the first element's: rank, user and score as they are written. */
export const rows = (page) =>
  page.evaluate(() => {
    const root = document.querySelector('score-board')?.shadowRoot ?? document;
    return [...root.querySelectorAll('tr[data-user]')].map((row) => [
      Number(row.querySelector('.sb-rank').textContent), row.dataset.user, Number(row.querySelector('.sb-score').textContent.replace(/[^\d−-]/g, '').replace('−', '-')),
    ]);
  });

export const expected = ({ entries }) => entries.map(({ rank, userId, score }) => [rank, userId, score]);

/** Waits until the page shows what `GET …/entries` answers. */
export async function shows(page, server, board, limit = 10, within = 15_000) {
  let seen, wanted;
  await until(`the page shows ${board}`, async () => {
    [seen, wanted] = [await rows(page), expected(await server.entries(board, limit))];
    return JSON.stringify(seen) === JSON.stringify(wanted);
  }, within).catch((error) => {
    throw new Error(`${error.message}\nseen ${JSON.stringify(seen)}\nwant ${JSON.stringify(wanted)}\nsaid ${page.said?.join('\n')}`);
  });
}

/** Follows a store; notes every state, and whether any contradicts itself. */
export function follow(store) {
  const states = [];
  const leave = store.subscribe(() => {
    const state = store.getSnapshot();
    const ranks = state.entries?.map(({ rank }) => rank) ?? [];
    assert.deepEqual(ranks, ranks.map((_, index) => index + 1), 'ranks have no gaps');
    assert.notEqual(states.at(-1), state, 'a state that nothing was changed in is not told');
    states.push(state);
  });
  return { states, leave, get state() { return store.getSnapshot(); } };
}

export async function settles(followed, server, board, limit, within = 20_000) {
  await until(`the store of ${board} is live and equal to a read`, async () => {
    const wanted = await server.entries(board, limit);
    const { status, entries, season } = followed.state;
    if (status !== 'live') return false;
    // Where nothing in the window moves, nothing is sent: the total may lag.
    return JSON.stringify([entries, season]) === JSON.stringify([wanted.entries, wanted.season]) ;
  }, within).catch(async (error) => {
    throw new Error(`${error.message}\nstore ${JSON.stringify(followed.state)}\nread ${JSON.stringify(await server.entries(board, limit))}`);
  });
}

export const live = (page) => until('the page is live', () => page.evaluate(() => document.body.dataset.connection === 'live'));

/** What axe finds, in short. Its script goes in through the protocol, which no policy of the page refuses. */
export async function findings(page) {
  // A row that is just fading in has the contrast of neither end.
  await page.evaluate(() => Promise.allSettled([document, ...[...document.querySelectorAll('*')].flatMap(({ shadowRoot }) => shadowRoot ?? [])]
    .flatMap((root) => root.getAnimations()).filter(({ effect }) => effect.getComputedTiming().endTime < Infinity).map(({ finished }) => finished)));
  await page.evaluate(await readFile(join(root, 'node_modules/axe-core/axe.min.js'), 'utf8'));
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ''}`).join(' | ')}`);
}

/** What is measured may be spoilt by what else this machine does: it has three tries. */
export async function atLeastOnce(measure) {
  for (let tries = 3; ; tries -= 1) {
    try {
      return await measure();
    } catch (error) {
      if (tries === 1) throw error;
    }
  }
}
