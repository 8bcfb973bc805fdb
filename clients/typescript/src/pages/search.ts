// Search by name, and the reader's own place: read when it may have changed, without a stream of its own.

import type { Entry } from '../index.js';
import { $, board, boardId, element, nameOf, number, parts, percent, persist, put, scoreboard, text } from './page.js';
import { chosenPast } from './seasons.js';

/** Milliseconds: from the last key to the search, and between two reads of the own place. */
const TYPING = 200;
const EVERY = 3_000;
const FOUND = 8;
const AROUND = 2;

let mark = (_user: string | null): void => {};
let typing: ReturnType<typeof setTimeout> | undefined;
let asked = '';
let searching = Promise.resolve();
let reading: ReturnType<typeof setTimeout> | undefined;
let readAt = 0;
/** Of what was read last. */
let version: string | null = null;

export const me = (): string | null => new URLSearchParams(location.search).get('user') || null;

export function listenToSearch(marked: (user: string | null) => void): void {
  mark = marked;
  const input = $<HTMLInputElement>('name-search');
  $('search').hidden = false;
  $('search').addEventListener('submit', (event) => {
    event.preventDefault();
    clearTimeout(typing);
    void enter(input.value);
  });
  input.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => void search(input.value), TYPING);
  });
  $('search').addEventListener('keydown', walk);
  input.addEventListener('focus', () => { $('found').hidden = asked === ''; });
  document.addEventListener('pointerdown', ({ target }) => {
    if (!$('search').contains(target as Node)) $('found').hidden = true;
  });
  $('find-me').addEventListener('click', () => {
    if (me() === null) {
      put('status', text('findHint'));
      input.focus();
      $('found').replaceChildren(element('li', 'aside', text('findHint')));
      $('found').hidden = false;
    } else $('mine').scrollIntoView({ block: 'nearest' });
  });
  $('forget').addEventListener('click', () => choose(null));
}

/** The arrow keys go through what was found, Escape closes it. */
function walk(event: KeyboardEvent): void {
  const input = $<HTMLInputElement>('name-search');
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const stops = [input, ...$('found').querySelectorAll('button')];
  const place = stops.indexOf(event.target as HTMLInputElement);
  if (event.key === 'Escape') {
    input.value = '';
    input.focus();
    void search('');
  } else if (step && place >= 0 && stops.length > 1) {
    event.preventDefault();
    stops[(place + step + stops.length) % stops.length]!.focus();
  }
}

/** Chooses the only one who was found. */
async function enter(name: string): Promise<void> {
  await (name.trim() === asked ? searching : search(name));
  const found = $('found').querySelectorAll('button');
  if (found.length === 1) found[0]!.click();
}

const search = (name: string): Promise<void> => (searching = find(name));

async function find(name: string): Promise<void> {
  asked = name.trim();
  const list = $('found');
  list.hidden = asked === '';
  if (asked === '') return list.replaceChildren();
  const mine = asked;
  const past = chosenPast();
  const season = past?.asked as 'previous';
  const leaderboard = scoreboard().leaderboard(boardId);
  const failed = (): void => list.replaceChildren(element('li', 'aside', text('loadFailed')));
  const answer = await persist(() => leaderboard.search(mine, { limit: FOUND, ...(past && { season }) }), () => asked === mine, failed);
  if (asked !== mine) return;
  const found = (answer?.entries ?? []).map((entry) => {
    const line = element('li');
    const choice = element('button', 'found');
    choice.type = 'button';
    choice.append(element('span', 'place', number(entry.rank)), nameOf(entry), element('span', 'points', number(entry.score)));
    choice.addEventListener('click', () => choose(entry.userId));
    line.append(choice);
    return line;
  });
  list.replaceChildren(...(found.length ? found : [element('li', 'aside', text('searchNone'))]));
  put('status', found.length ? String(found.length) : text('searchNone'));
}

function choose(user: string | null): void {
  const address = new URL(location.href);
  if (user === null) address.searchParams.delete('user');
  else address.searchParams.set('user', user);
  history.replaceState(null, '', address);
  $<HTMLInputElement>('name-search').value = '';
  void search('');
  version = null;
  mark(user);
  showMine();
  // What was chosen is gone with the list: a reader goes on here.
  $('find-me').focus();
}

/** Changes with each score, also where the window does not: places below it change as well. */
function present(): string | null {
  const { state } = board;
  return state?.version ? `${state.version} ${state.scores[0]?.eventId} ${state.total}` : null;
}

/** The own place, read again when the leaderboard has moved on. */
export function showMine(): void {
  const user = me();
  const known = present();
  if (user === null || board.over || chosenPast()) {
    $('mine').hidden = true;
    return;
  }
  if (known === null || known === version || reading) return;
  reading = setTimeout(() => {
    reading = undefined;
    readAt = Date.now();
    version = present();
    void read(user);
  }, Math.max(0, readAt + EVERY - Date.now()));
}

async function read(user: string): Promise<void> {
  const wanted = (): boolean => me() === user && !board.over && !chosenPast();
  const answer = await persist(() => scoreboard().leaderboard(boardId).entry(user, { around: AROUND }).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  }), wanted);
  if (answer === undefined || !wanted()) return;
  $('mine').hidden = false;
  if (!answer || !('around' in answer)) {
    const name = element('bdi', 'name', user);
    $('mine-words').replaceChildren(...parts('notThere', { name }));
    return $('around').replaceChildren();
  }
  const { entry, percentile, around } = answer as { entry: Entry; percentile: number; around: Entry[] };
  const share = percentile > 0 ? ` · ${text('better', { n: percent(Math.floor(percentile) / 100) })}` : '';
  $('mine-words').replaceChildren(`#${number(entry.rank)}${share}`);
  $('around').replaceChildren(...around.map((other) => {
    const line = element('li');
    line.toggleAttribute('data-mark', other.userId === user);
    line.append(element('span', 'place', number(other.rank)), nameOf(other), element('span', 'points', number(other.score)));
    return line;
  }));
}
