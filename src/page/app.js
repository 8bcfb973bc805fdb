// The live page: one leaderboard and its latest scores, each followed over an EventSource of its own, and its past seasons.
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
const TRY_AGAIN = 5_000;

// Seasons in one request for more of them, and the choice that makes it.
const SEASONS = 50;
const EARLIER = 'earlier';

const whole = new Intl.NumberFormat('en');
const signed = new Intl.NumberFormat('en', { signDisplay: 'exceptZero' });
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const DAY = { day: 'numeric', month: 'short', year: 'numeric' };
const calendar = new Intl.DateTimeFormat('en-GB', DAY);
const exact = new Intl.DateTimeFormat('en-GB', { ...DAY, hour: '2-digit', minute: '2-digit' });
const number = (value) => whole.format(value).replace('-', '−');
const plural = new Intl.PluralRules('en', { type: 'ordinal' });
const ordinal = (value) => number(value) + { one: 'st', two: 'nd', few: 'rd', other: 'th' }[plural.select(value)];
const change = (value) => signed.format(value).replace('-', '−');
const amount = (value, unit) => new Intl.NumberFormat('en', { style: 'unit', unit, unitDisplay: 'short' }).format(value);
const sameDay = (one, other) => one.toDateString() === other.toDateString();

function moment(at) {
  const date = new Date(at);
  return sameDay(date, new Date()) ? clock.format(date) : calendar.format(date);
}

function span(startsAt, endsAt) {
  const [from, to] = [new Date(startsAt), new Date(endsAt)];
  return (sameDay(from, to) ? exact : calendar).formatRange(from, to);
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
const pathOf = (id) => `api/leaderboards/${encodeURIComponent(id)}`;

function streamUrl(parameters) {
  const address = url(wanted ? `${pathOf(wanted)}/stream` : 'api/leaderboard/stream');
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
/* The ended season that is shown instead of the live one, as the address asks for it. */
let past = null;
const shown = () => past ?? board;
const ascending = () => (past?.order ?? board.definition?.order) === 'asc';
let paused = false;
let lastNews = null;

/* The table. */

const rows = new Map();
const inSight = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) target.toggleAttribute('data-seen', isIntersecting);
});
let drawing = 0;
/* The season that the rows are of: between two of them nobody moves. */
let drawn = null;

function draw() {
  if (!paused) redraw();
}

function redraw() {
  drawing ||= requestAnimationFrame(() => { drawing = 0; render(); });
}

function render() {
  const { window, version, total } = shown();
  const known = version !== null;
  const empty = known && total === 0;
  if (empty) showEmpty();
  $('empty').hidden = !empty;
  $('table').hidden = $('ties').hidden = !known || window.length === 0;
  $('total').textContent = known ? number(total) : '–';
  $('caption').textContent = known ? `${past ? 'Final top' : 'Top'} ${window.length} of ${number(total)}` : '';
  $('watchers').textContent = board.watchers === null ? '–' : number(board.watchers);
  const longest = Math.max(0, ...window.map((entry) => number(entry.score).length));
  $('table').toggleAttribute('data-long', longest > 10);
  glide($('rows'), arrangeRows);
  showSeasons();
  document.body.dataset.version = version ?? '';
}

function arrangeRows() {
  const { window, season } = shown();
  const body = $('rows');
  const users = new Set(season === drawn ? window.map((entry) => entry.userId) : []);
  drawn = season;
  const first = users.size === 0 || rows.size === 0;
  for (const [user, row] of rows) {
    if (users.has(user)) continue;
    inSight.unobserve(row.line);
    row.line.remove();
    rows.delete(user);
  }
  let place = body.firstElementChild;
  for (const entry of window) {
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
  const best = shown().window[0].score;
  const measurable = !ascending() && best > 0 && score > 0;
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
  const better = ascending() ? delta < 0 : delta > 0;
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

/* Seasons. The streams tell of the turn from one to the next; the list is asked for where they have not. */

const seasons = new Map();
let earlier = null;
/* The last season with a result whose end this page has met, until that result has been looked at. */
let turned = null;

async function listSeasons(cursor = null) {
  const parameters = new URLSearchParams({ limit: SEASONS, ...(cursor && { cursor }) });
  const { body } = await get(`${pathOf(board.id)}/seasons?${parameters}`).catch(() => ({ body: null }));
  if (!body || over) return;
  earlier = body.nextCursor;
  learn(...body.seasons);
}

function learn(...told) {
  for (const season of told) {
    const known = seasons.get(season.season);
    // What was asked for before the season's end may come after it.
    seasons.set(season.season, { ...known, ...season, endsAt: season.endsAt ?? known?.endsAt });
  }
  const newest = [...seasons.values()].sort((one, other) => other.season - one.season);
  const choices = newest.map((season) => new Option(choiceOf(season), season.season));
  if (earlier !== null) choices.push(new Option('Earlier seasons…', EARLIER));
  $('seasons').replaceChildren(...choices);
  $('seasons').value = shown().season ?? '';
  draw();
}

/* More to choose from. The choice stays where it was, and opens again where the browser can do that. */
async function listEarlier() {
  $('seasons').value = shown().season ?? '';
  await listSeasons(earlier);
  $('status').textContent = `${seasons.size} seasons to choose from.`;
  try {
    $('seasons').showPicker();
  } catch {
    // Not known to older browsers, and refused where the answer took long.
  }
}

/* A choice holds text alone: without its own marks of direction and between two others, a name turns nothing around it. */
function choiceOf({ season, name, endsAt }) {
  const tame = name && `\u2068${name.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '')}\u2069`;
  const story = [season, tame ?? (endsAt && `ended ${moment(endsAt)}`)].filter(Boolean).join(' · ');
  return endsAt ? story : `${story} (live)`;
}

function called(season) {
  const name = seasons.get(season)?.name;
  if (!name) return [`Season ${season}`];
  const called = element('bdi', '', name);
  called.dir = 'auto';
  return [`Season ${season} (`, called, ')'];
}

function showSeasons() {
  const { season } = shown();
  const several = seasons.size > 1;
  $('seasons').hidden = !several;
  $('seasons').value = season ?? '';
  $('season').hidden = several;
  $('season').textContent = [season ?? '–', seasons.get(season)?.name].filter(Boolean).join(' · ');
  document.body.toggleAttribute('data-past', past !== null);
  const result = past ? null : turned ?? lastResult();
  say('past', past && pastWords());
  say('result', result && resultWords(result));
  lead('back', null);
  lead('see', result?.season ?? null);
  const { id, name } = board.definition ?? {};
  document.title = [past?.season && `Season ${past.season}`, name || id, 'Scoreboard'].filter(Boolean).join(' · ');
}

/* What a season without scores has to show: how the last one with scores ended. */
function lastResult() {
  if (board.version === null || board.total > 0) return null;
  const ended = [...seasons.values()].filter(({ endsAt, total }) => endsAt && total !== 0);
  return ended.sort((one, other) => other.season - one.season)[0] ?? null;
}

function resultWords({ season, winner }) {
  const ended = [...called(season), ' has ended.'];
  if (!winner) return ended;
  const unit = board.definition?.unit;
  const score = number(winner.score);
  return [...ended, ' ', nameOf(winner, 'name'), ` won with ${unit ? `${score} ${unit}` : `a score of ${score}`}.`];
}

function pastWords() {
  if (past.missing) return ['There is no season ', element('bdi', '', past.asked), '.'];
  if (past.failed) return ['The result cannot be loaded just now. The page tries again by itself.'];
  if (!past.about) return ['Loading'];
  const { season, startsAt, endsAt } = past.about;
  return [...called(season), `: final result. ${span(startsAt, endsAt)}.`];
}

/* Says this above the table, or nothing. What is said already stays as it is, for whoever is marking it. */
function say(id, words) {
  $(id).hidden = !words;
  const told = element('span');
  told.append(...(words ?? []));
  if ($(`${id}-words`).textContent !== told.textContent) $(`${id}-words`).replaceChildren(...told.childNodes);
}

/* Links to seasons have an address, for a tab of their own, and turn this page where it is. */
function lead(id, season) {
  $(id).href = addressOf(season);
  $(id).dataset.season = season ?? '';
}

function addressOf(season) {
  const search = new URLSearchParams(location.search);
  search.delete('season');
  if (season) search.set('season', season);
  return (search.toString() && `?${search}` || './') + location.hash;
}

function visit(season) {
  history.pushState(null, '', addressOf(season));
  choose();
}

/* Shows the season that the address asks for. */
function choose() {
  const asked = new URLSearchParams(location.search).get('season') || null;
  if (asked === (past?.asked ?? null)) return;
  past = asked === null ? null : { asked, season: null, window: [], version: null, total: 0 };
  if (past) load(past);
  redraw();
}

async function load(chosen) {
  const [about, window] = await ask(chosen.asked).catch(() => []);
  if (past !== chosen || over) return;
  chosen.missing = about?.status === 404;
  chosen.failed = !chosen.missing && !(about?.body && window?.body);
  if (chosen.failed) setTimeout(() => { if (past === chosen) load(chosen); }, TRY_AGAIN);
  else if (about.body?.state === 'open') stayLive();
  else if (about.body) showPast(about.body, window.body);
  redraw();
}

async function ask(season) {
  const id = board.id ?? (await get('api/leaderboard?limit=1')).body?.leaderboardId;
  if (!id) return [];
  const entries = new URLSearchParams({ season, limit });
  return Promise.all([get(`${pathOf(id)}/seasons/${encodeURIComponent(season)}`), get(`${pathOf(id)}/entries?${entries}`)]);
}

function showPast(about, { season, version, total, entries }) {
  Object.assign(past, { about, order: about.order, season, version: version ?? '', total, window: entries });
  if (turned?.season === season) turned = null;
  learn(about);
}

/* The address asks for the season that goes on. */
function stayLive() {
  past = null;
  history.replaceState(null, '', addressOf(null));
}

/* The feed: the newest scores of the season, a bounded number of them, however fast they come. Those from before its stream began are asked for
   when it has begun, so that none falls between, and the event's id, which is in the order of time, tells which are known already. */

let news = [];
let newsOf = null;
let latest = null;
let feeding = 0;

function hear(score, id) {
  latest = id;
  // Other corrections are no scores; they change which of them are shown.
  if (score.cause && score.cause !== 'adjust') forget(score);
  else take([score], score.season);
}

/* Somebody was corrected: what is still shown of their scores is asked for again. */
function forget({ leaderboardId, season, userId }) {
  const left = news.filter((item) => item.score.userId !== userId);
  if (left.length < news.length) {
    news = left;
    drawFeed();
  }
  recall({ leaderboardId, season });
}

async function recall({ leaderboardId, season }) {
  take([], season);
  const { body } = await get(`${pathOf(leaderboardId)}/scores?limit=${FEED_LENGTH}`).catch(() => ({ body: null }));
  if (body && !over) take(body.scores, body.season);
}

function take(scores, season) {
  if (season < newsOf) return;
  if (season > newsOf) {
    [news, newsOf] = [[], season];
    drawFeed();
  }
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
  story.append(element('bdi', '', score.actionId ?? 'adjusted'));
  if (place.hasChildNodes()) story.append('·', place);
  const time = element('time', '', moment(score.at));
  time.dateTime = score.at;
  line.append(nameOf(score, 'name'), element('span', 'gain', change(score.delta)), story, time);
  return line;
}

/* The definition: name, unit, order; and the other leaderboards. */

let definedAt = 0;
/* When the season began and will end, as told at its beginning. */
let begun = null;

async function define() {
  if (Date.now() - definedAt < 60_000) return;
  definedAt = Date.now();
  try {
    const { body } = await get(pathOf(board.id));
    if (body) adopt(body);
  } catch {
    definedAt = 0;
  }
}

function adopt(definition) {
  // What was asked for before the season's end may come after it.
  const turn = definition.seasonStartsAt < begun?.seasonStartsAt ? begun : {};
  board.definition = { ...definition, ...turn };
  board.watchers ??= definition.watchers ?? null;
  $('name').textContent = definition.name || definition.id;
  $('description').textContent = definition.description ?? '';
  $('description').hidden = !definition.description;
  $('unit').textContent = definition.unit || 'Score';
  $('closed').hidden = !definition.closed;
  countDown();
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
    search.delete('season');
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

/* The time until the season's end, by the server's clock. It stands at the end of its line, so that its width moves nothing, and as a timer
   it is read when it is looked for, not at every tick. */

let ahead = 0;
let ticking = 0;

function countDown() {
  clearTimeout(ticking);
  const reset = board.definition?.nextReset;
  $('ends').hidden = !reset;
  if (!reset) return;
  const left = Date.parse(reset) - ahead - Date.now();
  const text = timeLeft(Math.max(0, Math.ceil(left / 1000)));
  if ($('countdown').textContent !== text) $('countdown').textContent = text;
  $('countdown').dateTime = reset;
  $('countdown').title = exact.format(new Date(reset));
  ticking = setTimeout(countDown, left > 0 ? left % 1000 || 1000 : 1000);
}

function timeLeft(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 0) return `${amount(days, 'day')} ${amount(hours, 'hour')}`;
  if (hours > 0) return `${amount(hours, 'hour')} ${amount(minutes, 'minute')}`;
  return `${minutes}:${String(seconds % 60).padStart(2, '0')}`;
}

/* An empty leaderboard says how to fill it; an empty season of one that was filled before only says so. */
function showEmpty() {
  const fresh = !past && (board.season === 1 || (seasons.has(board.season) && !lastResult()));
  const [title, words] = past ? ['Nobody scored in this season', '']
    : fresh ? ['Nobody has scored yet', 'Post the first score and it appears here at once.']
      : ['Nobody has scored in this season yet', 'The first score appears here at once.'];
  $('empty-title').textContent = title;
  $('empty-words').textContent = words;
  if (fresh && $('steps').hidden) showFirstSteps();
  $('steps').hidden = !fresh;
}

/* Commands, with an action that really feeds this leaderboard where there is one. */
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
  [over, definedAt, past] = [false, 0, null];
  connection('connecting');
  for (const stream of streams) stream.open();
  listBoards();
  choose();
}

function clear() {
  Object.assign(board, { window: [], version: null, season: null, watchers: null });
  [news, newsOf, latest, past, turned, earlier] = [[], null, null, null, null, null];
  seasons.clear();
  redraw();
  drawFeed();
}

function gone() {
  clear();
  connection('deleted', 'There is no such leaderboard any more.');
}

/* EventSource does not tell which status closed it; a plain request does. */
async function diagnose() {
  const { status } = await get(wanted ? pathOf(wanted) : 'api/leaderboard').catch(() => ({ status: 0 }));
  if (over || document.body.dataset.connection === 'live') return;
  if (status === 404) gone();
  else if (status === 401 || status === 403) end('refused', PRIVATE);
  else if (document.body.dataset.connection !== 'offline') connection('reconnecting');
}

/* The connection and the standing, for the ear: at most one sentence now and then, and only about the top. */

let spokenTop = null;
let spokenLive = true;

function speak() {
  if (paused || past || document.hidden) return;
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
    const before = board.season;
    Object.assign(board, { id: snapshot.leaderboardId, window: [...snapshot.entries] });
    follow(snapshot);
    markBoard();
    const told = seasons.has(snapshot.season);
    if (!told) {
      if (before !== null && before !== snapshot.season) turned = { season: before };
      definedAt = 0;
      listSeasons();
    }
    // Of a season that the stream has told of, nothing is to be asked: everybody who watches would, at one moment.
    if (!told || before === snapshot.season) define();
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
  // What it ended with stays in sight until the empty table of the next one comes, and is in the archive from now on.
  'season-ended'({ season, startsAt, endsAt, version, total, entries }) {
    board.window = entries;
    if (total > 0) turned = { season, winner: entries[0] };
    learn({ season, startsAt, endsAt, total });
    follow({ version, season, total });
  },
  'season-started'({ season, startsAt, nextReset, name }) {
    begun = { seasonStartsAt: startsAt, nextReset };
    if (board.definition) adopt(board.definition);
    learn({ season, startsAt, name, endsAt: null });
    if (!paused && !past) $('status').textContent = `Season ${season - 1} has ended. Season ${season} has begun.`;
  },
  heartbeat({ at, watchers }) {
    board.watchers = watchers;
    lastNews = Date.now();
    ahead = Date.parse(at) - lastNews;
    draw();
  },
}, fate);

/* A stream of its own, though it makes two watchers of one visitor: it goes on after its last score, and the table's position, which is ahead of
   it within a tick, would move the browser's `Last-Event-ID` past scores that have not come yet. */
const feedStream = new Stream(() => (latest ? { view: 'events', lastEventId: latest } : { view: 'events' }), {
  // Whoever was corrected while the stream was away is in no event any more.
  leaderboard(snapshot) {
    if (snapshot.reset) news = [];
    recall(snapshot);
  },
  'score-updated': hear,
  'score-removed'(removed, id) {
    latest = id;
    forget(removed);
  },
  'season-ended': (_, id) => { latest = id; },
  'season-started'({ season }, id) {
    latest = id;
    take([], season);
  },
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
addEventListener('popstate', choose);
addEventListener('click', (event) => {
  const link = event.target.closest('a[data-season]');
  if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  visit(link.dataset.season);
  // The link is gone with what it stood in: the choice is where a reader goes on.
  $('seasons').focus();
});

$('seasons').addEventListener('change', () => {
  const choice = $('seasons').value;
  if (choice === EARLIER) listEarlier();
  else visit(Number(choice) === board.season ? null : choice);
});

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
