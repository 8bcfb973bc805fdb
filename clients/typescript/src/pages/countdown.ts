// The time until the season's end, by the server's clock.
//
// It stands at the end of its line, so that its width moves nothing, and as a timer it is read when it is looked for, not at every tick.

import { $, amount, fullTime, put } from './page.js';

let end: string | null = null;
let ahead = 0;
let ticking: ReturnType<typeof setTimeout> | undefined;

export function countDown(nextReset: string | null, clockOffset: number): void {
  [end, ahead] = [nextReset, clockOffset];
  tick();
}

export const clockStarted = (clockOffset: number): void => { ahead = clockOffset; };

function tick(): void {
  clearTimeout(ticking);
  $('ends').hidden = !end;
  if (!end) return;
  const left = Date.parse(end) - ahead - Date.now();
  const timer = $<HTMLTimeElement>('countdown');
  put('countdown', timeLeft(Math.max(0, Math.ceil(left / 1000))));
  timer.dateTime = end;
  timer.title = fullTime(end);
  ticking = setTimeout(tick, left > 0 ? left % 1000 || 1000 : 1000);
}

function timeLeft(seconds: number): string {
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 0) return `${amount(days, 'day')} ${amount(hours, 'hour')}`;
  if (hours > 0) return `${amount(hours, 'hour')} ${amount(minutes, 'minute')}`;
  return `${minutes}:${String(seconds % 60).padStart(2, '0')}`;
}
