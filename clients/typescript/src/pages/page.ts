// What all of the page's parts use: its data, texts, numbers and times.

import { Scoreboard, type ScoreboardError, type TokenSource, type TopState } from '../index.js';
import { AGAIN } from '../store.js';
import { fill, numbers, type Texts } from '../texts.js';

const read = (id: string): any => JSON.parse(document.getElementById(id)!.textContent!);

export const $ = <E extends HTMLElement = HTMLElement>(id: string): E => document.getElementById(id) as E;

/** What the server put into the page. */
export const data: {
  id: string | null;
  name: string | null;
  unit: string | null;
  root: string;
  limit: number;
  signIn: boolean;
  adds: boolean;
  window: any;
  latest: any;
} = read('board-data');

export const texts: Texts = read('texts');
export const text = (key: string, values: Record<string, string | number> = {}): string => fill(texts[key], values);
export const locale = document.documentElement.lang;

export const root = new URL(data.root, location.href);
/** `…/boards/{id}` names the leaderboard; a page at the root shows the one that there is. */
export const boardId = data.id ?? new URLSearchParams(location.search).get('leaderboard') ?? decodeURIComponent(location.pathname.split('/').at(-1)!);

/** What signing in has opened: kept here alone. */
let given: TokenSource | null = null;

/** A token may stand in the fragment, which browsers never send. */
const addressed = (): string | null => new URLSearchParams(location.hash.slice(1)).get('access_token');
export const hasToken = (): boolean => given !== null || addressed() !== null;
export const wasTyped = (): boolean => given !== null;
export const giveToken = (source: TokenSource | null): void => { given = source; };

export const scoreboard = (): Scoreboard => {
  const present = addressed();
  const token = given ?? (present === null ? null : () => addressed() ?? present);
  return new Scoreboard({ url: root, ...(token && { token }) });
};

/** Reads until there is an answer, again when the server says or after a while; gives up where it is not `wanted` any more, and where the server refuses for good. */
export async function persist<T>(read: () => Promise<T>, wanted: () => boolean, failed = (): void => {}): Promise<T | undefined> {
  while (wanted()) {
    try {
      return await read();
    } catch (error) {
      const { status, retryAfter } = error as ScoreboardError;
      if (status >= 400 && status < 429) break;
      failed();
      await new Promise((resolve) => { setTimeout(resolve, (retryAfter ?? AGAIN) * (1 + Math.random() / 2)); });
    }
  }
  return undefined;
}

/* Numbers and times. */

const DAY = { day: 'numeric', month: 'short', year: 'numeric' } as const;
const clock = new Intl.DateTimeFormat(locale, { timeStyle: 'medium' });
const calendar = new Intl.DateTimeFormat(locale, DAY);
const exact = new Intl.DateTimeFormat(locale, { ...DAY, hour: '2-digit', minute: '2-digit' });

export const number = numbers(locale);
export const change = numbers(locale, { signDisplay: 'exceptZero' });
export const percent = numbers(locale, { style: 'percent' });
export const amount = (value: number, unit: string): string =>
  new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'short' }).format(value);

const sameDay = (one: Date, other: Date): boolean => one.toDateString() === other.toDateString();

export function moment(at: string): string {
  const date = new Date(at);
  return sameDay(date, new Date()) ? clock.format(date) : calendar.format(date);
}

export const clockTime = (millis: number): string => clock.format(millis);
export const fullTime = (at: string): string => exact.format(new Date(at));

export function span(startsAt: string, endsAt: string): string {
  const [from, to] = [new Date(startsAt), new Date(endsAt)];
  return (sameDay(from, to) ? exact : calendar).formatRange(from, to);
}

/* Elements. What comes from the server is put into the page as text, never as markup: user ids are anybody's. */

export function element<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, className = '', content?: string): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}

/** A name in its own direction, so that right-to-left text or override characters disturb nothing around it. */
export function nameOf(entry: { userId: string; displayName?: string | null }): HTMLElement {
  const name = element('bdi', 'name', entry.displayName || entry.userId);
  name.dir = 'auto';
  name.title = entry.userId;
  return name;
}

/** A text with elements in place of some of its placeholders. */
export function parts(key: string, values: Record<string, string | Node>): (string | Node)[] {
  return texts[key]!.split(/(\{\w+\})/).map((part) => (part.startsWith('{') ? values[part.slice(1, -1)]! : part)).filter((part) => part !== '');
}

export const put = (id: string, content: string): void => {
  const place = $(id);
  if (place.textContent !== content) place.textContent = content;
};

/** Of a board as it is read: its name and rules. */
export interface Definition {
  id: string;
  name: string;
  description: string;
  order: 'asc' | 'desc';
  operator: 'sum' | 'best' | 'last';
  unit: string;
  visibility: 'public' | 'private';
  closed: boolean;
  nextReset: string | null;
  seasonStartsAt: string;
  watchers?: number;
}

/** What the page shows, in one place. */
export const board: {
  state: TopState | null;
  definition: Definition | null;
  paused: boolean;
  over: boolean;
} = { state: null, definition: null, paused: false, over: false };
