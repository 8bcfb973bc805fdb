// Seasons: which there are, the one that is chosen, and what is said of those that have ended.
//
// The stream tells of the turn from one to the next; the list is asked for where it has not.

import type { Entry, Schemas } from '../index.js';
import { $, board, boardId, data, element, moment, nameOf, number, parts, persist, put, scoreboard, span, text } from './page.js';

type Season = { season: number; name?: string | null; startsAt: string; endsAt?: string | null; total?: number | null };

/** An ended season that is shown instead of the live one. */
export interface Past {
  asked: string;
  season: number | null;
  entries: readonly Entry[];
  version: string | null;
  total: number;
  order?: string;
  about?: Schemas['SeasonDetails'];
  missing?: boolean;
  failed?: boolean;
}

/** Seasons in one request for more of them, and the choice that makes it. */
const PAGE = 50;
const EARLIER = 'earlier';
const TRY_AGAIN = 5_000;

export const seasons = new Map<number, Season>();
let earlier: string | null = null;
/** The last season with a result whose end this page has met, until that result has been looked at. */
let turned: { season: number; winner?: Entry | undefined } | null = null;
let past: Past | null = null;
/** What was asked for before all was forgotten is not learnt. */
let era = 0;
let redraw = (): void => {};

export const chosenPast = (): Past | null => past;
export const watchSeasons = (draw: () => void): void => { redraw = draw; };

export function forgetSeasons(): void {
  era += 1;
  seasons.clear();
  [earlier, turned, past] = [null, null, null];
}

const shownSeason = (): number | null => (past ? past.season : board.state?.season ?? null);

export async function listSeasons(cursor?: string): Promise<void> {
  const mine = era;
  const wanted = (): boolean => era === mine && !board.over;
  const page = await persist(() => scoreboard().leaderboard(boardId).seasons({ limit: PAGE, ...(cursor && { cursor }) }), wanted);
  if (!page || !wanted()) return;
  earlier = page.nextCursor;
  learn(...page.seasons);
}

export function learn(...told: Season[]): void {
  for (const season of told) {
    const known = seasons.get(season.season);
    // What was asked for before the season's end may come after it.
    seasons.set(season.season, { ...known, ...season, endsAt: season.endsAt ?? known?.endsAt ?? null });
  }
  const newest = [...seasons.values()].sort((one, other) => other.season - one.season);
  const choices = newest.map((season) => new Option(choiceOf(season), String(season.season)));
  if (earlier !== null) choices.push(new Option(text('earlier'), EARLIER));
  const select = $<HTMLSelectElement>('seasons');
  select.replaceChildren(...choices);
  select.value = String(shownSeason() ?? '');
  redraw();
}

export const note = (ended: { season: number; total: number }, winner?: Entry): void => {
  if (ended.total > 0) turned = { season: ended.season, winner };
};

/** More to choose from. The choice stays where it was, and opens again where the browser can do that. */
async function listEarlier(): Promise<void> {
  const select = $<HTMLSelectElement>('seasons');
  select.value = String(shownSeason() ?? '');
  if (earlier !== null) await listSeasons(earlier);
  try {
    select.showPicker();
  } catch {
    // Not known to older browsers, and refused where the answer took long.
  }
}

/** A choice holds text alone: without its own marks of direction and between two others, a name turns nothing around it. */
function choiceOf({ season, name, endsAt }: Season): string {
  const tame = name && `\u2068${name.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '')}\u2069`;
  const story = [season, tame || (endsAt && text('endedOn', { time: moment(endsAt) }))].filter(Boolean).join(' · ');
  return endsAt ? story : text('liveSeason', { story });
}

function called(season: number): Node {
  const name = seasons.get(season)?.name;
  const whole = element('span', '', text('seasonN', { n: season }));
  if (!name) return whole;
  const own = element('bdi', '', name);
  own.dir = 'auto';
  whole.append(' (', own, ')');
  return whole;
}

export function showSeasons(): void {
  const season = shownSeason();
  const several = seasons.size > 1;
  const select = $<HTMLSelectElement>('seasons');
  select.hidden = !several;
  select.value = String(season ?? '');
  $('season').hidden = several;
  put('season', [season ?? '–', season !== null && seasons.get(season)?.name].filter(Boolean).join(' · '));
  document.body.toggleAttribute('data-past', past !== null);
  const result = past ? null : turned ?? lastResult();
  say('past', past && pastWords(past));
  say('result', result && resultWords(result));
  lead('back', null);
  lead('see', result?.season ?? null);
  const name = board.definition ? board.definition.name || board.definition.id : data.name;
  document.title = [past?.season && text('seasonN', { n: past.season }), name, 'Scoreboard'].filter(Boolean).join(' · ');
}

/** What a season without scores has to show: how the last one with scores ended. */
export function lastResult(): { season: number; winner?: Entry } | null {
  if (board.state?.version == null || board.state.total > 0) return null;
  const ended = [...seasons.values()].filter(({ endsAt, total }) => endsAt && total !== 0);
  return ended.sort((one, other) => other.season - one.season)[0] ?? null;
}

function resultWords({ season, winner }: { season: number; winner?: Entry | undefined }): (string | Node)[] {
  const ended = parts('seasonEnded', { season: called(season) });
  if (!winner) return ended;
  const score = [number(winner.score), board.definition?.unit].filter(Boolean).join(' ');
  return [...ended, ' ', ...parts('won', { name: nameOf(winner), score })];
}

function pastWords(shown: Past): (string | Node)[] {
  if (shown.missing) return parts('noSeason', { n: element('bdi', '', shown.asked) });
  if (shown.failed) return [text('loadFailed')];
  if (!shown.about) return [text('loading')];
  const { season, startsAt, endsAt } = shown.about;
  return parts('finalResult', { season: called(season), span: endsAt ? span(startsAt, endsAt) : '' });
}

/** Says this above the table, or nothing. What is said already stays as it is, for whoever is marking it. */
function say(id: string, words: (string | Node)[] | null): void {
  $(id).hidden = !words;
  const told = element('span');
  told.append(...(words ?? []));
  if ($(`${id}-words`).textContent !== told.textContent) $(`${id}-words`).replaceChildren(...told.childNodes);
}

/** Links to seasons have an address, for a tab of their own, and turn this page where it is. */
function lead(id: string, season: number | null): void {
  const link = $<HTMLAnchorElement>(id);
  link.href = addressOf(season);
  link.dataset['season'] = String(season ?? '');
}

export function addressOf(season: number | string | null): string {
  const search = new URLSearchParams(location.search);
  search.delete('season');
  if (season) search.set('season', String(season));
  return location.pathname + (search.toString() && `?${search}`) + location.hash;
}

export function visit(season: number | string | null): void {
  history.pushState(null, '', addressOf(season));
  choose();
}

/** Shows the season that the address asks for. */
export function choose(): void {
  const asked = new URLSearchParams(location.search).get('season') || null;
  if (asked === (past?.asked ?? null)) return;
  past = asked === null || asked === 'current' ? null : { asked, season: null, entries: [], version: null, total: 0 };
  if (past) void load(past);
  redraw();
}

async function load(chosen: Past): Promise<void> {
  const leaderboard = scoreboard().leaderboard(boardId);
  const season = chosen.asked as 'previous';
  const asked = Promise.all([leaderboard.season(season), leaderboard.entries({ season, limit: data.limit })]);
  const [about, window] = await asked.catch((error) => {
    chosen.missing = error.status === 404 || error.status === 422;
    return [null, null];
  });
  if (past !== chosen || board.over) return;
  chosen.failed = !chosen.missing && !about;
  if (chosen.failed) setTimeout(() => { if (past === chosen) void load(chosen); }, TRY_AGAIN);
  else if (about?.state === 'open') stayLive();
  else if (about && window) showPast(chosen, about, window);
  redraw();
}

function showPast(chosen: Past, about: Schemas['SeasonDetails'], { season, version, total, entries }: Schemas['Window']): void {
  Object.assign(chosen, { about, order: about.order, season, version: version ?? '', total, entries });
  if (turned?.season === season) turned = null;
  learn(about);
}

/** The address asks for the season that goes on. */
function stayLive(): void {
  past = null;
  history.replaceState(null, '', addressOf(null));
}

export function listenToChoices(): void {
  $('seasons').addEventListener('change', () => {
    const choice = $<HTMLSelectElement>('seasons').value;
    if (choice === EARLIER) void listEarlier();
    else visit(Number(choice) === board.state?.season ? null : choice);
  });
  addEventListener('popstate', choose);
  addEventListener('click', (event) => {
    const link = (event.target as Element).closest<HTMLElement>('a[data-season]');
    if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    visit(link.dataset['season'] || null);
    // The link is gone with what it stood in: the choice is where a reader goes on.
    $('seasons').focus();
  });
}
