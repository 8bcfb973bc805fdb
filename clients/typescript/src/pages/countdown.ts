// The time until the season's end, by the server's clock.
//
// It stands at the end of its line, so that its width moves nothing, and as a timer it is read when it is looked for, not at every tick.

import { $, amount, fullTime, put, root } from './page.js';

let end: string | null = null;
/** The server's time less this device's. Milliseconds; `null` until it is known. */
let ahead: number | null = null;
let ticking: ReturnType<typeof setTimeout> | undefined;

export function countDown(nextReset: string | null): void {
  end = nextReset;
  if (end && ahead === null) void askClock();
  tick();
}

/** Heartbeats tell the time to the millisecond, but the first one comes late: until then, the date of an answer tells the second. */
async function askClock(): Promise<void> {
  const answer = await fetch(new URL('api/leaderboards', root), { method: 'HEAD', cache: 'no-store' }).catch(() => null);
  const at = Date.parse(answer?.headers.get('date') ?? '');
  if (at) ahead ??= at + 500 - Date.now();
}

export const clockStarted = (clockOffset: number): void => { ahead = clockOffset; };

function tick(): void {
  clearTimeout(ticking);
  $('ends').hidden = !end;
  if (!end) return;
  const left = Date.parse(end) - (ahead ?? 0) - Date.now();
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
