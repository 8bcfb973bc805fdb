// The latest scores: a bounded number of them, however fast they come.

import type { LatestScore, ScoreUpdated } from '../index.js';
import { $, board, change, data, element, moment, nameOf, number, text } from './page.js';

type Score = ScoreUpdated | LatestScore;

/** Milliseconds between two changes of the list. */
const EVERY = 250;
/** Lines that can be in sight. */
const SEEN = 20;
const calm = matchMedia('(prefers-reduced-motion: reduce)');

let drawn: readonly Score[] = [];
let next: readonly Score[] = [];
let waiting: ReturnType<typeof setTimeout> | undefined;
const lines = new Map<string, { score: Score; line: HTMLElement }>();

export function showFeed(scores: readonly Score[]): void {
  next = scores;
  if (!waiting && next !== drawn && !board.paused) waiting = setTimeout(draw, EVERY);
}

/** Takes up what came while the page was paused. */
export const resumeFeed = (): void => showFeed(next);

function draw(): void {
  waiting = undefined;
  if (board.paused) return;
  drawn = next;
  const ids = new Set(drawn.map(({ eventId }) => eventId));
  const fresh = new Set<HTMLElement>();
  for (const [id, { line }] of lines) {
    if (ids.has(id)) continue;
    line.remove();
    lines.delete(id);
  }
  const first = lines.size === 0;
  const list = drawn.map((score) => {
    const known = lines.get(score.eventId);
    if (known?.score === score) return known.line;
    const line = tell(score);
    lines.set(score.eventId, { score, line });
    if (!known) fresh.add(line);
    return line;
  });
  const feed = $('feed');
  if (list.some((line, index) => feed.children[index] !== line) || feed.children.length !== list.length) feed.replaceChildren(...list);
  if (!calm.matches && !first && !document.hidden) slide(list, fresh);
  $('feed-empty').hidden = list.length > 0 || board.over;
}

/** Each line has the same height: those that were there make way, the new ones come in above them. */
function slide(list: HTMLElement[], fresh: Set<HTMLElement>): void {
  const above = list.findIndex((line) => !fresh.has(line));
  list.slice(0, SEEN).forEach((line) => {
    const way = { ...(fresh.has(line) && { opacity: [0, 1] }), ...(above > 0 && { transform: [`translateY(calc(${-above} * var(--line)))`, 'none'] }) };
    if (Object.keys(way).length) line.animate(way, { duration: 320, easing: 'cubic-bezier(0.2, 0, 0, 1)' });
  });
}

/** Whether scores add up: of a best time nobody asks what it has added. */
const adds = (): boolean => (board.definition ? board.definition.operator === 'sum' : data.adds);

function tell(score: Score): HTMLElement {
  const line = element('li');
  line.dataset['event'] = score.eventId;
  const story = element('span', 'story');
  const place = placeOf(score);
  const action = element('bdi', '', score.actionId ?? text('adjusted'));
  story.append(action, ...(place.length ? [' · ', ...place] : []));
  const time = element('time', '', moment(score.at));
  time.dateTime = score.at;
  line.append(nameOf(score), element('span', 'gain', adds() ? change(score.delta) : number(score.score)), story, time);
  return line;
}

function placeOf(score: Score): (string | Node)[] {
  const { rank, previousRank } = score;
  if (rank === null || rank === undefined) return score.previousScore === null ? [text('new')] : [];
  const n = number(rank);
  if (previousRank === null || previousRank === undefined) return [text('newAt', { n })];
  if (previousRank === rank) return [text('stays', { n })];
  const places = previousRank - rank;
  const arrow = element('span', 'arrow', number(Math.abs(places)));
  arrow.dataset['way'] = places > 0 ? 'up' : 'down';
  arrow.role = 'img';
  arrow.ariaLabel = text(places > 0 ? 'up' : 'down', { n: Math.abs(places) });
  return [arrow, ' ', text('to', { n })];
}
