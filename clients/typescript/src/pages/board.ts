// The page of a leaderboard: takes over what the server wrote into it, and keeps it live by one stream.

import type { Entry, Live, Reason, TopState } from '../index.js';
import { epoch } from '../latest.js';
import { LiveTable } from '../table.js';
import { clockStarted, countDown } from './countdown.js';
import { resumeFeed, showFeed } from './feed.js';
import { showEmpty } from './empty.js';
import { $, board, boardId, clockTime, data, element, fullTime, giveToken, moment, number, persist, put, root, scoreboard, text, texts, wasTyped, type Definition } from './page.js';
import { listenToSearch, me, showMine } from './search.js';
import { chosenPast, choose, forgetSeasons, learn, listSeasons, listenToChoices, note, seasons, showSeasons, watchSeasons } from './seasons.js';
import { listenToSignIn, resumeSession, signInFailed } from './sign-in.js';
import { speak } from './speech.js';

/** Changes of the table a second, and how many of the latest scores come along. */
const HZ = 5;
const LATEST = 30;
const SPEAK_EVERY = 10_000;
/** How soon it is seen that another day has come. */
const DAYS_TURN = 10_000;
/** A page that was loaded a moment ago is not loaded again. Milliseconds. */
const PATIENCE = 3_000;
/** When the script began, if it was loaded again. */
const loaded = (performance.getEntriesByType('navigation')[0] as PerformanceNavigationTiming | undefined)?.type === 'reload' ? performance.now() : -PATIENCE;

const table = new LiveTable($('rows'), { texts, number, since: moment, mark: me() });
let store: Live<TopState> | null = null;
let leave = (): void => {};
let drawing = 0;
/** The season that the rows are of: between two of them nobody moves. */
let drawn: number | null = data.window?.season ?? null;
let definedAt = 0;
/** While the page is paused, what its table stands still at. */
let held: TopState | null = null;
/** What was heard last: whoever follows another window hears copies of it again, with each state. */
const heard = { definition: '', ended: '', started: '' };

/* The table. */

/** What is the reader's `own` doing is drawn also while the page is paused. */
function draw(own = false): void {
  if (own || !board.paused) drawing ||= requestAnimationFrame(render);
}

function render(): void {
  drawing = 0;
  const past = chosenPast();
  const live = board.paused ? held : board.state;
  const shown = past ?? live;
  if (!shown) return;
  const known = shown.version !== null;
  $('table').hidden = $('ties').hidden = shown.entries.length === 0;
  $('empty').hidden = !(known && shown.total === 0);
  if (known && shown.total === 0) showEmpty(past !== null);
  put('total', known ? number(shown.total) : '–');
  put('caption', text(past ? 'finalTop' : 'top', { n: shown.entries.length, total: number(shown.total) }));
  const watchers = live?.watchers ?? board.definition?.watchers;
  put('watchers', watchers == null ? '–' : number(watchers));
  table.options.mark = me();
  table.update(shown.entries, shown.season !== drawn);
  drawn = shown.season;
  showShares(shown.entries);
  showSeasons();
  showMine();
  document.body.dataset['version'] = shown.version ?? '';
}

/** The rule under each row: as long as its score is beside the leader's, where more is better. */
function showShares(entries: readonly Entry[]): void {
  const best = entries[0]?.score ?? 0;
  const rising = best > 0 && best >= entries.at(-1)!.score;
  for (const [index, { score }] of entries.entries()) {
    const { style } = $('rows').children[index] as HTMLElement;
    const share = rising && score > 0 ? `${Math.round((1000 * score) / best) / 10}%` : '0%';
    if (style.getPropertyValue('--share') !== share) style.setProperty('--share', share);
  }
}

/* The definition: name, unit, order; and the other leaderboards. */

async function define(): Promise<void> {
  if (Date.now() - definedAt < 60_000) return;
  const mine = definedAt = Date.now();
  const wanted = (): boolean => definedAt === mine && !board.over;
  const definition = await persist(() => scoreboard().leaderboard(boardId).get(), wanted);
  if (definition && wanted()) adopt(definition as Definition);
}

function adopt(definition: Definition): void {
  board.definition = definition;
  put('name', definition.name || definition.id);
  put('description', definition.description);
  $('description').hidden = !definition.description;
  put('unit', definition.unit || text('score'));
  $('closed').hidden = !definition.closed;
  countDown(definition.nextReset);
  draw();
}

let listing = 0;

async function listBoards(): Promise<void> {
  const mine = listing += 1;
  const known = await persist(() => scoreboard().leaderboards(), () => listing === mine);
  if (listing !== mine) return;
  const others = (known ?? []).filter(({ id }) => id);
  $('boards').hidden = others.length < 2;
  $('boards').replaceChildren(...others.map(({ id, name }) => {
    const link = element('a', '', name || id);
    const query = new URLSearchParams(location.search);
    for (const own of ['season', 'user', 'leaderboard']) query.delete(own);
    link.href = new URL(`boards/${encodeURIComponent(id)}${query.size ? `?${query}` : ''}${location.hash}`, root).href;
    link.dir = 'auto';
    link.dataset['leaderboard'] = id;
    if (id === boardId) link.setAttribute('aria-current', 'page');
    return link;
  }));
  if (scrollY === 0) $('boards').querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
}

/* The connection, for the eye. */

const STATES: Record<Reason, string> = {
  connecting: 'connecting', network: 'reconnecting', busy: 'busy', asleep: 'asleep',
  token: 'refused', private: 'refused', refused: 'refused', deleted: 'deleted', 'not-found': 'deleted', ended: 'ended',
};
const NOTICES: Partial<Record<Reason, string>> = {
  token: 'expiredNotice', private: 'privateNotice', refused: 'notAllowed', deleted: 'deletedNotice', 'not-found': 'goneNotice', ended: 'endedNotice',
};

function showConnection({ reason, status, detail, newsAt }: TopState): void {
  const state = reason === null ? 'live' : status === 'offline' && reason === 'network' ? 'offline' : STATES[reason];
  if (document.body.dataset['connection'] !== state) document.body.dataset['connection'] = state;
  const words = text(state);
  put('connection', newsAt && state !== 'live' ? text('asOf', { state: words, time: clockTime(newsAt) }) : words);
  const notice = reason === 'busy' ? text('busyNotice', { detail: detail ?? '' }) : reason ? text(NOTICES[reason] ?? '') : '';
  put('notice', notice);
  $('notice').hidden = notice === '';
  board.over = ['refused', 'deleted', 'ended'].includes(state);
  $('sign-in').hidden = state !== 'refused';
  // Never good for anything: what was typed is wrong.
  if (reason === 'token' && newsAt === null && wasTyped()) signInFailed();
}

/* Following. */

function follow(): void {
  const state = store!.getSnapshot();
  const before = board.state;
  const { reason } = state;
  // What may not be seen any more is not left on the screen. What is public stays, also for whom a token serves no more.
  const over = reason === 'token' && (data.signIn || board.definition?.visibility === 'private');
  const lost = over || reason === 'private' || reason === 'refused';
  // The server names nothing of what is private: neither shall what it wrote before. Once, because a copy of an older answer may come.
  if (lost && (data.window || before?.version) && performance.now() - loaded > PATIENCE) return leavePrivate();
  showConnection(state);
  if (lost && (board.definition ?? data.name)) forgetName();
  if (lost || reason === 'deleted' || reason === 'not-found') clear(state);
  else if (state.version !== null) take(state, before);
  else return;
  // Until the newest ones are told, those that the server wrote stay: they are of a ranking that has some.
  const { scores, total } = board.state!;
  if (scores.length > 0 || total === 0) showFeed(scores);
  draw();
}

/** For the page that the server gives now. At the root it would be another one. */
function leavePrivate(): void {
  const own = new URL(`boards/${encodeURIComponent(boardId)}${location.search}${location.hash}`, root);
  if (own.pathname === location.pathname) location.reload();
  else location.replace(own);
}

/** What says nothing where no leaderboard is shown. */
const described = (): Iterable<HTMLElement> => document.querySelectorAll('.facts, .feed');

/** Where the page is not loaded again, it names nothing all the same. */
function forgetName(): void {
  board.definition = data.name = null;
  put('name', text('signInTitle'));
  for (const id of ['description', 'unit', 'mine-words', 'around', 'found', 'status', 'past-words', 'result-words']) put(id, '');
  for (const told of document.querySelectorAll('meta[property], meta[name="description"], #board-data')) told.remove();
  void listBoards();
}

function clear(state: TopState): void {
  pause(false);
  definedAt = 0;
  board.state = { ...state, entries: [], scores: [], total: 0, version: null, season: null };
  forgetSeasons();
  $('seasons').replaceChildren();
  for (const part of described()) part.hidden = true;
}

/** Whether this says what was not heard before. */
function saysMore(what: keyof typeof heard, state: TopState, before: TopState | null): boolean {
  if (!state[what] || state[what] === before?.[what]) return false;
  const said = JSON.stringify(state[what]);
  const more = said !== heard[what];
  heard[what] = said;
  return more;
}

function take(state: TopState, before: TopState | null): void {
  board.state = state;
  // It was deleted and made again, or restored: nothing that is known is true of it.
  const known = before?.version && epoch(before.version) === epoch(state.version);
  if (before?.version && !known) {
    definedAt = 0;
    forgetSeasons();
    choose();
    void listBoards();
  }
  for (const part of described()) part.hidden = false;
  if (saysMore('definition', state, before)) {
    adopt(state.definition as Definition);
    void listBoards();
  }
  // What another window heard before this one was there is no news, nor what was long ago.
  if (saysMore('ended', state, before) && known && state.ended!.season >= state.season! - 1) {
    const { season, startsAt, endsAt, total, entries } = state.ended!;
    note({ season, total }, entries?.[0]);
    learn({ season, startsAt, endsAt, total });
  }
  if (saysMore('started', state, before) && known && state.started!.season >= state.season!) {
    const { season, startsAt, nextReset, name } = state.started!;
    if (board.definition) adopt({ ...board.definition, seasonStartsAt: startsAt, nextReset });
    learn({ season, startsAt, name: name ?? null, endsAt: null });
    if (!board.paused && !chosenPast()) put('status', text('turned', { a: season - 1, b: season }));
  }
  if (!seasons.has(state.season!)) {
    // The stream has not told of the turn.
    // A server that was started again tells a new epoch, and the next season all the same; one that was made again begins with the first.
    if (before?.season != null && before.season < state.season!) note({ season: before.season, total: 1 });
    seasons.set(state.season!, { season: state.season!, startsAt: '' });
    definedAt = 0;
    void listSeasons();
  }
  // It is 0 until the first heartbeat.
  if (state.clockOffset) clockStarted(state.clockOffset);
  void define();
}

function begin(): void {
  leave();
  [board.over, definedAt, board.state] = [false, 0, null];
  store = scoreboard().leaderboard(boardId).top({ limit: data.limit, hz: HZ, latest: LATEST });
  leave = store.subscribe(follow);
  document.body.removeAttribute('data-sign-in');
  $('sign-in').hidden = true;
  follow();
  void listBoards();
  choose();
}

/** What the server wrote is the first state: nothing is blank until the stream has begun. */
function takeOver(): void {
  if (!data.window) return;
  table.update(data.window.entries, false);
  showShares(data.window.entries);
  if (data.latest) showFeed(data.latest.scores);
}

/** The table stands still, or goes on. */
function pause(paused: boolean): void {
  [board.paused, held] = [paused, board.state];
  put('pause', text(paused ? 'resume' : 'pause'));
  document.body.toggleAttribute('data-paused', paused);
  draw();
  resumeFeed();
}

/** A time of day says nothing of yesterday. */
function turnDays(): void {
  const today = new Date().toDateString();
  if (today === day) return;
  day = today;
  for (const time of document.querySelectorAll<HTMLTimeElement>('#rows time, #feed time')) time.textContent = moment(time.dateTime);
}

let day = new Date().toDateString();

function listen(): void {
  $('pause').hidden = false;
  $('pause').addEventListener('click', () => pause(!board.paused));
  setInterval(turnDays, DAYS_TURN);
  $('share').hidden = !navigator.share && !navigator.clipboard;
  $('share').addEventListener('click', async () => {
    const url = location.href.replace(/#.*/, '');
    if (navigator.share) return void navigator.share({ title: document.title, url }).catch(() => {});
    await navigator.clipboard.writeText(url);
    put('share', text('shared'));
    setTimeout(() => put('share', text('share')), 2000);
  });
  addEventListener('hashchange', () => {
    giveToken(null);
    begin();
  });
  listenToChoices();
  listenToSearch((user) => {
    table.options.mark = user;
    draw(true);
  });
  listenToSignIn(begin);
  watchSeasons(() => draw(true));
  setInterval(() => speak(chosenPast() !== null), SPEAK_EVERY);
}

takeOver();
listen();
if (!data.signIn || (await resumeSession())) begin();
else document.body.dataset['connection'] = 'refused', put('connection', text('refused'));
$('countdown').title = board.definition?.nextReset ? fullTime(board.definition.nextReset) : '';
