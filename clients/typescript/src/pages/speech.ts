// The connection and the standing, for the ear: at most one sentence now and then, and only about the top.

import { $, board, number, put, text } from './page.js';

let top: readonly string[] | null = null;
let live = true;

export function speak(silent: boolean): void {
  if (board.paused || silent || document.hidden || !board.state) return;
  const first = board.state.entries.slice(0, 3);
  const named = first.map((entry) => ({ name: entry.displayName || entry.userId, score: number(entry.score) }));
  const now = first.map((entry) => entry.userId);
  const isLive = document.body.dataset['connection'] === 'live';
  let words = '';
  if (isLive !== live) words = isLive ? text('liveAgain') : text('connectionIs', { state: $('connection').textContent! });
  else if (!top || now.length === 0) words = '';
  else if (now[0] !== top[0]) words = text('leader', named[0]!);
  else if (now.join('\n') !== top.join('\n')) words = text('leaders', { list: named.map(({ name, score }) => `${name}, ${score}`).join('; ') });
  [live, top] = [isLive, now];
  if (words) put('status', words);
}
