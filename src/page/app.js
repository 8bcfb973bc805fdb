// The live page: one leaderboard and its latest scores, each followed over an EventSource of its own.
// Whatever comes from the server is put into the page as text, never as markup: user ids are anybody's.

// Everything is addressed from where this file lies, so that the page works below any path that a proxy strips.

const root = new URL('..', import.meta.url);
const query = new URLSearchParams(location.search);
const wanted = query.get('leaderboard');
const limit = Math.min(100, Math.max(1, Number.parseInt(query.get('limit') ?? '', 10) || 20));
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const $ = (id) => document.getElementById(id);

// Milliseconds. The server sends a heartbeat every 15 s; two missed ones and some slack mean a dead connection.
const SILENCE = 40_000;
const STALE = 20_000;
const BUSY_PATIENCE = 300_000;
const SLEEP_AFTER = 10_000;
const SPEAK_EVERY = 10_000;
const ARROW_STAYS = 8_000;
const FEED_EVERY = 250;
const FEED_LENGTH = 30;

const whole = new Intl.NumberFormat('en');
const signed = new Intl.NumberFormat('en', { signDisplay: 'exceptZero' });
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const calendar = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
const number = (value) => whole.format(value).replace('-', '−');
const plural = new Intl.PluralRules('en', { type: 'ordinal' });
const ordinal = (value) => number(value) + { one: 'st', two: 'nd', few: 'rd', other: 'th' }[plural.select(value)];
const change = (value) => signed.format(value).replace('-', '−');

function moment(at) {
  const date = new Date(at);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : calendar.format(date);
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/* Name in its own direction, so that right-to-left text or override characters disturb nothing around it. */
function nameOf(entry, className) {
  const name = element('bdi', className, entry.displayName || entry.userId);
  name.dir = 'auto';
  name.title = entry.userId;
  return name;
}

/* The server's API. A token for a private leaderboard stands in the fragment, which browsers never send. */

const token = () => new URLSearchParams(location.hash.slice(1)).get('access_token');
const url = (path) => new URL(path, root);

function streamUrl(parameters) {
  const address = url(wanted ? `api/leaderboards/${encodeURIComponent(wanted)}/stream` : 'api/leaderboard/stream');
  address.search = new URLSearchParams(parameters);
  if (token()) address.searchParams.set('access_token', token());
  return address;
}

async function get(path) {
  const headers = token() ? { authorization: `Bearer ${token()}` } : {};
  const answer = await fetch(url(path), { headers, signal: AbortSignal.timeout(10_000) });
  return { status: answer.status, body: answer.ok ? await answer.json() : null };
}

/* An EventSource that does not give up before it is told to. The browser's own one ends for good at any status but 200 and does not
   notice a connection that died silently, as on a phone that slept. */

class Stream {
  #parameters;
  #events;
  #notify;
  #source = null;
  #seen = 0;
  #busy = false;
  #failures = 0;
  #retry = 0;

  /* parameters() gives the query of the next connection; notify(state, detail) hears of its fate. */
  constructor(parameters, events, notify = () => {}) {
    this.#parameters = parameters;
    this.#events = events;
    this.#notify = notify;
  }

  open() {
    this.close();
    this.#seen = Date.now();
    const source = new EventSource(streamUrl(this.#parameters()));
    this.#source = source;
    for (const [name, handle] of Object.entries(this.#events)) {
      source.addEventListener(name, (event) => {
        this.#seen = Date.now();
        this.#busy = false;
        handle(JSON.parse(event.data), event.lastEventId);
      });
    }
    source.addEventListener('heartbeat', () => { this.#failures = 0; });
    source.addEventListener('busy', (event) => {
      this.#seen = Date.now();
      this.#busy = true;
      this.#notify('busy', JSON.parse(event.data).reason);
    });
    source.addEventListener('closed', (event) => this.#notify('ended', JSON.parse(event.data).reason));
    source.addEventListener('error', () => this.#lost(source));
  }

  close() {
    clearTimeout(this.#retry);
    this.#retry = 0;
    this.#source?.close();
    this.#source = null;
  }

  /* Open anew after a pause that grows with each failure and differs between pages. */
  reopen() {
    this.close();
    const pause = Math.min(30_000, 500 * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    this.#failures = Math.min(this.#failures + 1, 10);
    this.#retry = setTimeout(() => this.open(), pause);
  }

  /* After sleep, or when the network is back: open unless the connection has given a sign of life of late. */
  wake() {
    if (!this.#source || Date.now() - this.#seen > STALE) this.open();
  }

  check() {
    if (!this.#source || Date.now() - this.#seen <= (this.#busy ? BUSY_PATIENCE : SILENCE)) return;
    this.#notify('reconnecting');
    this.open();
  }

  #lost(source) {
    if (source !== this.#source) return;
    if (!this.#busy) this.#notify(navigator.onLine ? 'reconnecting' : 'offline');
    if (source.readyState !== EventSource.CLOSED) return;
    this.reopen();
    this.#notify('closed');
  }
}

/* Movement: run a change to the children of a container, then let each glide from where it was to where it is.
   What glides out of sight would cost as much as what is seen, so it jumps. */

const gliding = new WeakMap();

function glide(container, alter) {
  if (calm.matches) return alter();
  const before = new Map([...container.children].map((child) => [child, child.getBoundingClientRect().top]));
  alter();
  const children = [...container.children];
  for (const child of children) gliding.get(child)?.cancel();
  const after = children.map((child) => child.getBoundingClientRect().top);
  const visible = (top) => top > -100 && top < innerHeight;
  children.forEach((child, index) => {
    const from = before.get(child);
    if (!visible(after[index]) && !visible(from ?? -Infinity)) return;
    if (from === undefined) {
      gliding.set(child, child.animate({ opacity: [0, 1] }, { duration: 320, easing: 'ease-out' }));
    } else if (Math.abs(from - after[index]) > 0.5) {
      const way = from - after[index];
      child.style.zIndex = way > 0 ? 2 : 1;
      gliding.set(child, child.animate(
        { transform: [`translateY(${way}px)`, 'none'] },
        { duration: 480, easing: 'cubic-bezier(0.2, 0, 0, 1)' },
      ));
    }
  });
}

/* What the page knows. */

const board = { id: wanted, window: [], version: null, season: null, total: 0, watchers: null, definition: null };
let paused = false;
let lastNews = null;

/* The table. */

const rows = new Map();
const inSight = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) target.toggleAttribute('data-seen', isIntersecting);
});
let drawing = 0;

function draw() {
  if (!paused && !drawing) drawing = requestAnimationFrame(() => { drawing = 0; render(); });
}

function render() {
  const known = board.version !== null;
  const empty = known && board.total === 0;
  if (empty && $('empty').hidden) showFirstSteps();
  $('empty').hidden = !empty;
  $('table').hidden = $('ties').hidden = !known || board.window.length === 0;
  $('total').textContent = known ? number(board.total) : '–';
  $('season').textContent = known ? board.season : '–';
  $('caption').textContent = known ? `Top ${board.window.length} of ${number(board.total)}` : '';
  $('watchers').textContent = board.watchers === null ? '–' : number(board.watchers);
  const longest = Math.max(0, ...board.window.map((entry) => number(entry.score).length));
  $('table').toggleAttribute('data-long', longest > 10);
  glide($('rows'), arrangeRows);
  document.body.dataset.version = board.version ?? '';
}

function arrangeRows() {
  const body = $('rows');
  const first = rows.size === 0;
  const users = new Set(board.window.map((entry) => entry.userId));
  for (const [user, row] of rows) {
    if (users.has(user)) continue;
    inSight.unobserve(row.line);
    row.line.remove();
    rows.delete(user);
  }
  let place = body.firstElementChild;
  for (const entry of board.window) {
    let row = rows.get(entry.userId);
    if (!row) {
      row = makeRow(entry);
      rows.set(entry.userId, row);
      inSight.observe(row.line);
      if (!first) showMove(row, Infinity, entry.rank);
    }
    fillRow(row, entry);
    if (row.line === place) place = place.nextElementSibling;
    else body.insertBefore(row.line, place);
  }
}

function makeRow(entry) {
  const line = element('tr');
  const rank = element('td', 'rank').appendChild(element('b'));
  const move = element('td', 'move');
  const name = nameOf(entry, 'name');
  const user = element('th', 'user');
  user.scope = 'row';
  user.append(name);
  const since = element('td', 'since').appendChild(element('time'));
  const points = element('span', 'points');
  const score = element('td', 'score');
  const value = element('span');
  const delta = element('span', 'delta');
  delta.setAttribute('aria-hidden', 'true');
  points.append(delta, value);
  score.append(points);
  line.append(rank.parentNode, move, user, since.parentNode, score);
  line.dataset.user = entry.userId;
  return { line, rank, move, name, since, value, delta, entry: null, from: null, arrow: 0, flashes: [] };
}

function fillRow(row, entry) {
  const past = row.entry;
  row.entry = entry;
  row.line.dataset.rank = entry.rank;
  row.line.dataset.score = entry.score;
  row.rank.textContent = entry.rank;
  row.name.textContent = entry.displayName || entry.userId;
  if (past?.at !== entry.at) {
    row.since.textContent = moment(entry.at);
    row.since.dateTime = entry.at;
  }
  row.value.textContent = number(entry.score);
  row.line.style.setProperty('--share', `${share(entry.score)}%`);
  if (!past) return;
  if (past.rank !== entry.rank) showMove(row, past.rank, entry.rank);
  if (past.score !== entry.score) showDelta(row, entry.score - past.score);
}

/* Only where more is better can a score be a part of the leader's. */
function share(score) {
  const best = board.window[0].score;
  const measurable = (board.definition?.order ?? 'desc') === 'desc' && best > 0 && score > 0;
  return measurable ? (100 * score) / best : 0;
}

/* Moves add up while their arrow is shown; a newcomer comes from beyond counting. */
function showMove(row, from, to) {
  if (!Number.isFinite(row.from)) row.from = from;
  const places = row.from - to;
  row.move.replaceChildren();
  if (places !== 0) row.move.append(arrow(places));
  clearTimeout(row.arrow);
  row.arrow = setTimeout(() => {
    row.from = null;
    row.move.replaceChildren();
  }, ARROW_STAYS);
}

function arrow(places) {
  const up = places > 0;
  const made = element('span');
  made.dataset.way = up ? 'up' : 'down';
  made.append(element('span', 'unseen', up ? 'up ' : 'down '), Number.isFinite(places) ? number(Math.abs(places)) : '');
  return made;
}

function showDelta(row, delta) {
  const better = (board.definition?.order ?? 'desc') === 'desc' ? delta > 0 : delta < 0;
  row.delta.textContent = change(delta);
  row.delta.dataset.way = better ? 'up' : 'down';
  for (const flash of row.flashes) flash.cancel();
  if (!row.line.hasAttribute('data-seen')) return;
  row.flashes = [
    row.delta.animate(
      [{ opacity: 0 }, { opacity: 1, offset: 0.08 }, { opacity: 1, offset: 0.65 }, { opacity: 0 }],
      { duration: 2600 },
    ),
    row.value.animate([{ color: `var(--${better ? 'up' : 'down'})` }, {}], { duration: 2600, easing: 'ease-in' }),
  ];
}

/* The feed: the newest scores, a bounded number of them, however fast they come. Those from before its stream began are asked for when it has
   begun, so that none falls between, and the event's id, which is in the order of time, tells which are known already. */

let news = [];
let latest = null;
let feeding = 0;

function hear(score, id) {
  latest = id;
  take([score]);
}

async function recall({ leaderboardId }) {
  const path = `api/leaderboards/${encodeURIComponent(leaderboardId)}/scores?limit=${FEED_LENGTH}`;
  const { body } = await get(path).catch(() => ({ body: null }));
  if (body && !over) take(body.scores);
}

function take(scores) {
  const known = new Set(news.map((item) => item.score.eventId));
  const fresh = scores.filter((score) => !known.has(score.eventId)).map((score) => ({ score, line: null }));
  if (fresh.length === 0) return;
  news = [...fresh, ...news].sort((a, b) => (a.score.eventId < b.score.eventId ? 1 : -1)).slice(0, FEED_LENGTH);
  drawFeed();
}

function rename({ userId, displayName }, id) {
  latest = id;
  for (const { score, line } of news.filter((item) => item.score.userId === userId)) {
    score.displayName = displayName;
    if (line) line.querySelector('.name').textContent = displayName;
  }
  for (const entry of board.window.filter((shown) => shown.userId === userId)) entry.displayName = displayName;
  draw();
}

function drawFeed() {
  if (paused || feeding) return;
  feeding = setTimeout(() => {
    feeding = 0;
    glide($('feed'), () => {
      for (const item of news) item.line ??= tell(item.score);
      $('feed').replaceChildren(...news.map((item) => item.line));
    });
    $('feed-empty').hidden = news.length > 0 || over;
  }, FEED_EVERY);
}

function tell(score) {
  const line = element('li');
  line.dataset.event = score.eventId;
  const story = element('span', 'story');
  const place = element('span', 'change');
  if (score.rank === null) place.textContent = score.previousScore === null ? 'new' : '';
  else if (score.previousRank === null) place.textContent = `new, ${ordinal(score.rank)}`;
  else if (score.previousRank === score.rank) place.textContent = `stays ${ordinal(score.rank)}`;
  else place.append(arrow(score.previousRank - score.rank), `to ${ordinal(score.rank)}`);
  story.append(element('bdi', '', score.actionId));
  if (place.hasChildNodes()) story.append('·', place);
  const time = element('time', '', moment(score.at));
  time.dateTime = score.at;
  line.append(nameOf(score, 'name'), element('span', 'gain', change(score.delta)), story, time);
  return line;
}

/* The definition: name, unit, order; and the other leaderboards. */

let definedAt = 0;

async function define() {
  if (Date.now() - definedAt < 60_000) return;
  definedAt = Date.now();
  try {
    const { body } = await get(`api/leaderboards/${encodeURIComponent(board.id)}`);
    if (body) adopt(body);
  } catch {
    definedAt = 0;
  }
}

function adopt(definition) {
  board.definition = definition;
  board.watchers ??= definition.watchers ?? null;
  $('name').textContent = definition.name || definition.id;
  $('description').textContent = definition.description ?? '';
  $('description').hidden = !definition.description;
  $('unit').textContent = definition.unit || 'Score';
  $('closed').hidden = !definition.closed;
  document.title = `${definition.name || definition.id} · Scoreboard`;
  draw();
}

async function listBoards() {
  const { body } = await get('api/leaderboards').catch(() => ({ body: null }));
  const others = body?.leaderboards ?? [];
  $('boards').hidden = others.length < 2;
  $('boards').replaceChildren(...others.map(({ id, name }) => {
    const link = element('a', '', name || id);
    const search = new URLSearchParams(query);
    search.set('leaderboard', id);
    link.href = `?${search}${location.hash}`;
    link.dir = 'auto';
    link.dataset.leaderboard = id;
    return link;
  }));
  markBoard();
}

function markBoard() {
  for (const link of $('boards').children) {
    if (link.dataset.leaderboard === board.id) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
}

/* An empty leaderboard says how to fill it, with an action that really feeds it where there is one. */
async function showFirstSteps() {
  const { body } = await get('api/actions').catch(() => ({ body: null }));
  const action = body?.actions?.find((rule) => rule.leaderboards?.includes(board.id) && rule.enabled !== false);
  const call = (path, content) => `curl ${url(path)} \\\n  -H "Authorization: Bearer $TOKEN" \\\n`
    + `  -H "Content-Type: application/json" \\\n  -d '${JSON.stringify(content)}'`;
  const scope = action ? 'scores:write' : 'scores:write leaderboards:admin';
  const steps = [`TOKEN=$(scoreboard token --sub me --scope "${scope}" --ttl 1h)`];
  if (!action) steps.push(call('api/actions', { id: 'goal', name: 'Goal', leaderboards: [board.id], points: 10 }));
  const submission = { actionId: action?.id ?? 'goal', userId: 'ada' };
  if (action?.value) submission.value = action.value.max ?? action.value.min ?? 1;
  steps.push(call('api/scores', submission));
  $('command').textContent = steps.join('\n\n');
  $('copy').hidden = !navigator.clipboard;
}

/* The connection, for the eye. */

const WORDS = {
  connecting: 'Connecting', live: 'Live', reconnecting: 'Reconnecting', offline: 'Offline', busy: 'Busy',
  deleted: 'Deleted', refused: 'No access', ended: 'Ended', asleep: 'Asleep',
};
const PRIVATE = 'This leaderboard is private. Open it with a token that may read it: add #access_token=… to the address.';
/* Why the server ends a stream for good: the connection's state, and what to say. */
const FAREWELLS = {
  'token-expired': ['refused', 'The token that opened this private leaderboard has expired. Put a new one into the address: #access_token=…'],
  private: ['refused', PRIVATE],
  deleted: ['deleted', 'This leaderboard has been deleted.'],
  ended: ['ended', 'The server has ended the live updates. Reload the page to go on.'],
};

function connection(state, notice = '') {
  if (document.body.dataset.connection !== state) document.body.dataset.connection = state;
  const stale = lastNews && state !== 'live' ? `, as of ${clock.format(lastNews)}` : '';
  $('connection').textContent = WORDS[state] + stale;
  $('notice').textContent = notice;
  $('notice').hidden = notice === '';
}

function fate(state, detail) {
  if (over) return;
  if (state === 'ended') end(...(FAREWELLS[detail] ?? FAREWELLS.ended));
  else if (state === 'closed') diagnose();
  else if (state === 'busy') connection('busy', `The server takes no more watchers just now: ${detail}. The page tries again by itself.`);
  else if (!['deleted', 'refused'].includes(document.body.dataset.connection)) connection(state);
}

/* Coming back alike would be in vain: nothing is opened any more until the address holds another token, or the page is loaded anew. What may
   not be seen any more is not left on the screen. */
let over = false;

function end(state, notice) {
  over = true;
  for (const stream of streams) stream.close();
  if (state === 'deleted' || notice === PRIVATE) clear();
  connection(state, notice);
}

function begin() {
  [over, definedAt] = [false, 0];
  connection('connecting');
  for (const stream of streams) stream.open();
  listBoards();
}

function clear() {
  Object.assign(board, { window: [], version: null, watchers: null });
  [news, latest] = [[], null];
  draw();
  drawFeed();
}

function gone() {
  clear();
  connection('deleted', 'There is no such leaderboard any more.');
}

/* EventSource does not tell which status closed it; a plain request does. */
async function diagnose() {
  const path = wanted ? `api/leaderboards/${encodeURIComponent(wanted)}` : 'api/leaderboard';
  const { status } = await get(path).catch(() => ({ status: 0 }));
  if (over || document.body.dataset.connection === 'live') return;
  if (status === 404) gone();
  else if (status === 401 || status === 403) end('refused', PRIVATE);
  else if (document.body.dataset.connection !== 'offline') connection('reconnecting');
}

/* The connection and the standing, for the ear: at most one sentence now and then, and only about the top. */

let spokenTop = null;
let spokenLive = true;

function speak() {
  if (paused || document.hidden) return;
  const top = board.window.slice(0, 3);
  const line = top.map((entry) => `${entry.displayName || entry.userId}, ${number(entry.score)}`);
  const now = top.map((entry) => entry.userId);
  const live = document.body.dataset.connection === 'live';
  let words = '';
  if (live !== spokenLive) words = live ? 'Live again.' : `Connection: ${$('connection').textContent}.`;
  else if (!spokenTop || now.length === 0) words = '';
  else if (now[0] !== spokenTop[0]) words = `New leader: ${line[0]} ${board.definition?.unit ?? ''}.`;
  else if (now.join('\n') !== spokenTop.join('\n')) words = `Top three: ${line.join('; ')}.`;
  spokenLive = live;
  spokenTop = now;
  if (words) $('status').textContent = words;
}

/* Putting it together. */

const boardStream = new Stream(() => ({ view: 'top', limit, hz: 5 }), {
  leaderboard(snapshot) {
    Object.assign(board, { id: snapshot.leaderboardId, window: [...snapshot.entries] });
    follow(snapshot);
    markBoard();
    define();
  },
  'leaderboard-patch'(patch) {
    if (patch.since !== board.version) return boardStream.reopen();
    for (const row of patch.rows) board.window[row.rank - 1] = row;
    board.window.length = patch.size;
    if (board.window.includes(undefined)) return boardStream.reopen();
    follow(patch);
  },
  'leaderboard-changed'(definition) {
    if (definition.deleted) return gone();
    adopt(definition);
    listBoards();
  },
  heartbeat({ watchers }) {
    board.watchers = watchers;
    lastNews = Date.now();
    draw();
  },
}, fate);

/* A stream of its own, though it makes two watchers of one visitor: it goes on after its last score, and the table's position, which is ahead of
   it within a tick, would move the browser's `Last-Event-ID` past scores that have not come yet. */
const feedStream = new Stream(() => (latest ? { view: 'events', lastEventId: latest } : { view: 'events' }), {
  leaderboard: recall,
  'score-updated': hear,
  'score-removed': (_, id) => { latest = id; },
  'user-changed': rename,
  heartbeat() {},
});

const streams = [boardStream, feedStream];

function follow({ version, season, total }) {
  Object.assign(board, { version, season, total });
  lastNews = Date.now();
  if (document.body.dataset.connection !== 'live') connection('live');
  draw();
}

/* Browsers open six connections to a host over HTTP/1.1: a page that nobody looks at gives its own back. */
let sleeping = 0;

function sleep() {
  if (over) return;
  for (const stream of streams) stream.close();
  latest = null;
  connection('asleep');
}

function wake() {
  if (over) return;
  if (document.body.dataset.connection === 'asleep') connection('connecting');
  for (const stream of streams) stream.wake();
}

function look() {
  clearTimeout(sleeping);
  if (document.hidden) sleeping = setTimeout(sleep, SLEEP_AFTER);
  else wake();
}

document.addEventListener('visibilitychange', look);
addEventListener('pageshow', (event) => { if (event.persisted) look(); });
addEventListener('pagehide', sleep);
addEventListener('online', wake);
addEventListener('offline', () => fate('offline'));
addEventListener('hashchange', begin);

$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').textContent = paused ? 'Resume' : 'Pause';
  document.body.toggleAttribute('data-paused', paused);
  draw();
  drawFeed();
});
$('copy').addEventListener('click', async () => {
  await navigator.clipboard.writeText($('command').textContent);
  $('copy').textContent = 'Copied';
});

setInterval(() => { for (const stream of streams) stream.check(); }, 5_000);
setInterval(speak, SPEAK_EVERY);
begin();
look();
