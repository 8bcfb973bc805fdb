// The live table: rows in any root, moved to their places. Shared by the element, the page and the overlay.
//
// It never asks the browser for a layout: rows have a known height, and a row's place is its index.

import type { Entry } from './top.js';
import { fill, type Texts } from './texts.js';

/** False in the element, which shows no times, and begins without rows: set by build.js. */
declare const PAGE: boolean;

export interface TableOptions {
  texts: Texts;
  number(value: number): string;
  /** The text of a time, where times are shown. */
  since?: ((at: string) => string) | undefined;
  avatars?: boolean | undefined;
  /** The user whose row is marked. */
  mark?: string | null | undefined;
}

interface Row {
  line: HTMLElement;
  cell: Record<'rank' | 'change' | 'name' | 'bdi' | 'since' | 'score', HTMLElement>;
  entry: Entry | null;
  index: number;
  /** Where the arrow counts from, while it is shown. */
  from: number | null;
  arrow: ReturnType<typeof setTimeout> | undefined;
  move: Animation | undefined;
  /** How far from its place that animation began. */
  offset: number;
  flashes: Animation[];
  seen: boolean;
}

const ARROW_STAYS = 8_000;
const EASE = 'cubic-bezier(0.2, 0, 0, 1)';
const calm = matchMedia('(prefers-reduced-motion: reduce)');

export const make = (tag: string, attributes: Record<string, string> = {}, ...children: (Node | string)[]): HTMLElement => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

/** Nothing is touched that says this already. */
export const set = (node: HTMLElement, text: string): void => {
  if (node.textContent !== text) node.textContent = text;
};

export class LiveTable {
  readonly #rows = new Map<string, Row>();
  readonly #seen: IntersectionObserver;
  readonly #resized: ResizeObserver;
  #height = 0;
  #first = true;
  /** Less is better: as the order of the entries tells. */
  #ascending = false;

  /** Takes over the rows that stand in `body` already. */
  constructor(
    readonly body: HTMLElement,
    public options: TableOptions,
  ) {
    this.#seen = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen) {
        const row = this.#rows.get((target as HTMLElement).dataset['user']!);
        if (row) row.seen = isIntersecting;
      }
    });
    this.#resized = new ResizeObserver(([entry]) => {
      if (this.#rows.size) this.#height = entry!.contentRect.height / this.#rows.size;
    });
    this.#resized.observe(body);
    if (PAGE) for (const line of [...body.children] as HTMLElement[]) this.#adopt(line);
  }

  close(): void {
    this.#seen.disconnect();
    this.#resized.disconnect();
    for (const row of this.#rows.values()) clearTimeout(row.arrow);
  }

  /** Shows these entries. `still`: nobody has moved, these are others, as after a season. */
  update(entries: readonly Entry[], still = false): void {
    const users = new Set(entries.map((entry) => entry.userId));
    for (const [user, row] of this.#rows) if (still || !users.has(user)) this.#remove(user, row);
    this.#first = this.#rows.size === 0;
    this.#ascending = entries[0]?.score! < entries.at(-1)?.score!;
    const widths = [String(entries.at(-1)?.rank ?? 1).length, Math.max(4, ...entries.map(({ score }) => this.options.number(score).length))];
    let place = this.body.firstElementChild;
    entries.forEach((entry, index) => {
      let row = this.#rows.get(entry.userId);
      const fresh = !row;
      row ??= this.#make(entry);
      this.#fill(row, entry, fresh);
      row.line.toggleAttribute('data-gap', index > 0 && entry.rank > entries[index - 1]!.rank + 1);
      if (row.line === place) {
        place = place.nextElementSibling;
      } else if (place && row.line === place.nextElementSibling) {
        // Only the one before has moved down: it waits at the end until its place comes.
        const moved = place;
        place = row.line.nextElementSibling;
        this.body.append(moved);
        place ??= moved;
      } else {
        this.body.insertBefore(row.line, place);
      }
      this.#glide(row, index, fresh);
    });
    this.#size(entries.length, widths);
  }

  #size(rows: number, widths: number[]): void {
    const style = this.body.parentElement!.style;
    const values: [CSSStyleDeclaration, string, string][] = [
      [this.body.style, 'height', `calc(${rows} * var(--sb-row-height))`],
      [style, '--sb-rank-width', `${Math.max(2.5, widths[0]! * 0.62 + 0.8)}em`],
      [style, '--sb-score-length', `${widths[1]!}`],
    ];
    for (const [target, name, value] of values) if (target.getPropertyValue(name) !== value) target.setProperty(name, value);
  }

  #remove(user: string, row: Row): void {
    this.#seen.unobserve(row.line);
    clearTimeout(row.arrow);
    row.line.remove();
    this.#rows.delete(user);
  }

  #make({ userId }: Entry): Row {
    const line = make('tr', { role: 'row', part: 'row', 'data-user': userId });
    for (const part of ['rank', 'change', 'name', ...(PAGE && this.options.since ? ['since'] : []), 'score']) {
      const name = part === 'name';
      const cell = make(name ? 'th' : 'td', { role: name ? 'rowheader' : 'cell', part, class: `sb-${part}`, ...(name && { scope: 'row' }) });
      if (name) cell.append(make('bdi', { dir: 'auto' }));
      if (PAGE && part === 'since') cell.append(make('time'));
      line.append(cell);
    }
    return this.#adopt(line);
  }

  #adopt(line: HTMLElement): Row {
    const find = (selector: string): HTMLElement => line.querySelector(selector) ?? line;
    const cell = { rank: find('.sb-rank'), change: find('.sb-change'), name: find('.sb-name'), bdi: find('bdi'), since: PAGE ? find('time') : line, score: find('.sb-score') };
    const row: Row = {
      line, cell, entry: null, index: this.#rows.size, from: null, arrow: undefined, move: undefined, offset: 0, flashes: [], seen: true,
    };
    this.#rows.set(line.dataset['user']!, row);
    this.#seen.observe(line);
    return row;
  }

  #fill(row: Row, entry: Entry, fresh: boolean): void {
    const { cell, line, entry: before } = row;
    const { mark, since, number } = this.options;
    line.toggleAttribute('data-mark', entry.userId === mark);
    if (before === entry) return;
    row.entry = entry;
    set(cell.rank, number(entry.rank));
    set(cell.bdi, entry.displayName || entry.userId);
    set(cell.score, number(entry.score));
    cell.bdi.title = entry.userId;
    Object.assign(line.dataset, { rank: entry.rank, score: entry.score });
    if (PAGE && since && before?.at !== entry.at) {
      set(cell.since, since(entry.at));
      cell.since.setAttribute('datetime', entry.at);
    }
    this.#picture(row, entry, before);
    if (fresh && !this.#first) this.#arrow(row, Infinity, entry.rank);
    if (!before) return;
    if (before.rank !== entry.rank) this.#arrow(row, before.rank, entry.rank);
    if (before.score !== entry.score) this.#flash(row, entry.score - before.score);
  }

  #picture({ cell: { name } }: Row, { avatarUrl }: Entry, before: Entry | null): void {
    if (!this.options.avatars || avatarUrl === before?.avatarUrl) return;
    name.querySelector('img')?.remove();
    if (!avatarUrl) return;
    const picture = make('img', { alt: '', loading: 'lazy', referrerpolicy: 'no-referrer', src: avatarUrl });
    picture.onerror = () => picture.remove();
    name.prepend(picture);
  }

  /** Moves add up while their arrow is shown; a newcomer comes from beyond counting. */
  #arrow(row: Row, from: number, to: number): void {
    const { up, down, new: fresh } = this.options.texts;
    if (!Number.isFinite(row.from ?? NaN)) row.from = from;
    from = row.from!;
    const places = from - to;
    row.cell.change.replaceChildren();
    if (places) {
      const way = places > 0 ? 'up' : 'down';
      const arrow = make('span', { 'data-way': way, role: 'img' });
      const finite = Number.isFinite(places);
      arrow.setAttribute('aria-label', finite ? fill(places > 0 ? up : down, { n: Math.abs(places) }) : fresh!);
      arrow.textContent = finite ? this.options.number(Math.abs(places)) : '';
      row.cell.change.append(arrow);
    }
    clearTimeout(row.arrow);
    row.arrow = setTimeout(() => {
      row.from = null;
      row.cell.change.replaceChildren();
    }, ARROW_STAYS);
  }

  /** The score in the colour of the change, and beside it what it has changed by: for the eye alone. */
  #flash({ cell: { score }, flashes, seen }: Row, change: number): void {
    for (const flash of flashes) flash.cancel();
    if (calm.matches || !seen) return;
    const by = (change > 0 ? '+' : '') + this.options.number(change);
    Object.assign(score.dataset, { by: by.length < 8 ? by : '', way: change > 0 !== this.#ascending ? 'up' : 'down' });
    flashes[0] = score.animate([{ color: 'var(--way)' }, {}], { duration: 1600, easing: 'ease-in' });
    flashes[1] = score.animate({ opacity: [0, 1, 1, 0] }, { duration: 2600, pseudoElement: '::before' });
  }

  /** From where it is seen now to its place. */
  #glide(row: Row, index: number, fresh: boolean): void {
    const left = row.move?.playState === 'running' ? row.offset * (1 - (row.move.effect?.getComputedTiming().progress ?? 1)) : 0;
    const offset = (row.index - index) * this.#height + left;
    const moved = row.index !== index;
    row.index = index;
    if (calm.matches || !row.seen || this.#first) return;
    if (fresh) {
      row.line.animate({ opacity: [0, 1] }, { duration: 320, easing: 'ease-out' });
    } else if (moved && this.#height) {
      row.move?.cancel();
      row.offset = offset;
      row.line.style.zIndex = offset > 0 ? '2' : '1';
      row.move = row.line.animate({ transform: [`translateY(${offset}px)`, 'none'] }, { duration: 480, easing: EASE });
    }
  }
}
