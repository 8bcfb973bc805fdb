// The overlay for streaming software: the first rows over a transparent ground. Whatever happens, what is on air shows no error: the last state stays,
// and before the first one there is nothing.

import { Scoreboard } from '../index.js';
import { LiveTable } from '../table.js';
import { numbers, textsOf } from '../texts.js';

const { board, rows, scale, side, root } = document.body.dataset as Record<string, string>;
const locale = document.documentElement.lang;
const overlay = document.getElementById('overlay')!;
const table = document.createElement('table');
const body = document.createElement('tbody');
table.className = 'sb-table';
table.append(body);
overlay.append(table);
overlay.style.setProperty('--scale', scale!);
overlay.dataset['side'] = side!;

// Software that captures a page keeps it in view, or tells it that it is hidden: it stays live all the same.
Object.defineProperty(document, 'hidden', { value: false });

const live = new LiveTable(body, { texts: textsOf(locale), number: numbers(locale) });
const store = new Scoreboard({ url: new URL(root!, location.href), share: false }).leaderboard(board!).top({ limit: Number(rows), hz: 5 });
let season: number | null = null;
let leave = (): void => {};

/** A scene may be there before its leaderboard is, and nobody reloads what is on air: milliseconds until it is looked for again. */
const AGAIN = 20_000;

function follow(): void {
  const state = store.getSnapshot();
  const gone = state.reason === 'private' || state.reason === 'deleted' || state.reason === 'not-found';
  if (state.status === 'offline' && gone) {
    leave();
    setTimeout(() => { leave = store.subscribe(follow); }, AGAIN * (0.75 + Math.random() / 2));
  }
  if (gone) {
    overlay.hidden = true;
    live.update([]);
  }
  if (state.version === null || gone) return;
  overlay.hidden = state.entries.length === 0;
  live.update(state.entries, state.season !== season);
  season = state.season;
}

leave = store.subscribe(follow);
