// <score-board>: a live leaderboard in one element, on any page.
//
// Nothing is loaded beside this file, and no markup or style is written that a strict policy would refuse.

import elementCss from './element.css';
import { Http } from './http.js';
import { StandingStore, type StandingState } from './standing.js';
import { pathOf, type Live } from './store.js';
import tableCss from './table.css';
import { LiveTable, make, set } from './table.js';
import { direction, fill, known, numbers, textsOf, type Texts } from './texts.js';
import { TopStore, type Entry, type TopState } from './top.js';

type State = TopState | StandingState;

/** Milliseconds between two summaries for screen readers. */
const SPEAK = 10_000;
const LEADERS = 3;

/** The stores of this page: elements that show the same share one. */
const stores = new Map<string, Live<any>>();
/** So many that are not looked at are no leak; what is looked at goes on without being here. */
const KEPT = 30;

/** Where this file came from: the server, unless it is part of a bundle. */
const served = /^(.*\/)embed\/v1\//.exec(import.meta.url)?.[1];

export class ScoreBoard extends HTMLElement {
  static readonly observedAttributes = ['src', 'board', 'view', 'limit', 'hz', 'user', 'season', 'locale', 'avatars'];

  #texts: Texts | null = null;
  #leave: (() => void)[] = [];
  #spoken = '';
  #rank: number | null = null;
  /** Where that rank is from. */
  #ranked = '';
  #top: State | null = null;
  #own: StandingState | null = null;
  #close = (): void => {};
  #draw = (): void => {};

  /** Texts in place of the element's own, by key: `rank change name score up down new empty top live stale offline private gone leaders`. */
  get texts(): Texts | null {
    return this.#texts;
  }

  set texts(texts: Texts | null) {
    this.#texts = texts;
    this.#restart();
  }

  /** What is shown, or `null` before anything is. */
  get state(): TopState | StandingState | null {
    return this.#top;
  }

  connectedCallback(): void {
    // Set on the element before this file was loaded.
    if (Object.hasOwn(this, 'texts')) {
      this.#texts = this.texts;
      delete (this as any).texts;
    }
    this.#start();
  }

  disconnectedCallback(): void {
    this.#stop();
  }

  attributeChangedCallback(): void {
    this.#restart();
  }

  #restart(): void {
    // Not before it has been shown: its attributes are told one by one.
    if (!this.isConnected || !this.shadowRoot) return;
    this.#stop();
    this.#start();
  }

  #stop(): void {
    for (const leave of this.#leave.splice(0)) leave();
    this.#close();
    this.#top = this.#own = null;
  }

  #start(): void {
    const get = (name: string): string | null => this.getAttribute(name);
    const locale = known(get('locale') || (this.closest<HTMLElement>('[lang]')?.lang || document.documentElement.lang || navigator.language));
    const number = (name: string, otherwise: number): number => ~~get(name)! || otherwise;
    // Frameworks write what is not set as an empty text.
    const [user, season, board] = [get('user'), get('season'), get('board')].map((text) => text || null) as (string | null)[];
    const path = board ? pathOf(board) : 'api/leaderboard';
    const alone = user && get('view') === 'user';
    this.#build(locale);
    let src: URL;
    try {
      src = new URL(get('src') || served || '/', document.baseURI);
      if (!/^http/.test(src.protocol)) throw src;
    } catch {
      this.#top = { status: 'offline', reason: 'refused', detail: 'src', version: null, entries: [] } as unknown as State;
      return this.#draw();
    }
    const ranked = JSON.stringify([src, path, season, user]);
    if (this.#ranked !== ranked) this.#rank = null;
    this.#ranked = ranked;
    const options = { hz: number('hz', 2), ...(season && { season: season as 'previous' }) };
    const share = <S>(kind: string, store: () => Live<S>): Live<S> => {
      const key = JSON.stringify([src, path, kind, options, user, number('limit', 10)]);
      if (stores.size > KEPT) stores.clear();
      return stores.get(key) ?? stores.set(key, store()).get(key)!;
    };
    const http = new Http(src);
    const id = async (): Promise<string> => board ?? (await http.get<TopState>(path)).leaderboardId!;
    const watch = <S extends State>(store: Live<S>, take: (state: S) => void): void => {
      this.#leave.push(store.subscribe(() => take(store.getSnapshot())));
      take(store.getSnapshot());
    };
    if (user) {
      const store = share('user', () => new StandingStore(http, path, id, user, options, true));
      watch(store as Live<StandingState>, (state) => {
        this.#own = state;
        if (alone) this.#top = state;
        this.#place(state, user);
        this.#draw();
      });
    }
    if (!alone) {
      watch(share('top', () => new TopStore(http, path, { limit: number('limit', 10), ...options }, true)) as Live<TopState>, (state) => {
        this.#top = state;
        this.#draw();
      });
    }
  }

  #place({ entry, version }: StandingState, userId: string): void {
    const rank = entry?.rank ?? null;
    if (version === null || rank === this.#rank) return;
    this.#tell('scoreboard-rank', { userId, rank, previousRank: this.#rank });
    this.#rank = rank;
  }

  #tell(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  /** The shadow tree, and what draws into it. */
  #build(locale: string): void {
    const root = this.shadowRoot ?? this.attachShadow({ mode: 'open' });
    // A sheet is of one document, and elements are moved between documents.
    const sheet = new (this.ownerDocument.defaultView as typeof globalThis).CSSStyleSheet();
    sheet.replaceSync(tableCss + elementCss);
    root.adoptedStyleSheets = [sheet];
    const texts = { ...textsOf(locale), ...this.#texts };
    const number = numbers(locale);
    const heads = ['rank', 'change', 'name', 'score'].map((part) =>
      make('th', { role: 'columnheader', scope: 'col', class: `sb-${part}` }, make('span', part === 'change' ? { class: 'sb-unseen' } : {}, texts[part]!)));
    const body = make('tbody', { role: 'rowgroup' });
    const caption = make('caption', { class: 'sb-unseen' });
    const head = make('thead', { role: 'rowgroup', part: 'header' }, make('tr', { role: 'row' }, ...heads));
    const table = make('table', { class: 'sb-table', role: 'table' }, caption, head, body);
    const status = make('span', { part: 'status' });
    const nobody = make('slot') as HTMLSlotElement;
    const empty = make('div', { part: 'empty' }, nobody);
    const top = make('header', {}, make('slot', { name: 'header' }), status);
    root.replaceChildren(make('div', { dir: direction(locale), lang: locale }, top, table, empty, make('p', { class: 'sb-unseen', role: 'status' })));
    const rows = new LiveTable(body, { texts, number, avatars: (this.getAttribute('avatars') ?? 'false') !== 'false', mark: this.getAttribute('user') });
    let [season, reason, drawing]: [number | null, string | null, number] = [null, null, 0];
    const speaking = setInterval(() => this.#speak(texts, number), SPEAK);
    this.#close = () => {
      rows.close();
      cancelAnimationFrame(drawing);
      clearInterval(speaking);
    };
    const draw = (): void => {
      drawing = 0;
      const state = this.#top;
      if (!state) return;
      const gone = /^(priv|del|not|ref)/.test(state.reason!);
      const list = this.#entries(state);
      rows.update(list, state.season !== season);
      if (gone) set(root.querySelector('p')!, '');
      season = state.season;
      table.hidden = !list.length;
      set(caption, fill(texts['top'], { n: list.length, total: number(state.total) }));
      status.hidden = state.reason === 'ended';
      status.dataset['status'] = state.status;
      set(status, texts[state.status]!);
      empty.hidden = !gone && (state.version === null || list.length > 0);
      // Whoever looks for what is not there is told so, whatever the page says of an empty leaderboard.
      const missing = gone || state.total > 0;
      nobody.name = missing ? 'error' : 'empty';
      // What is asked for wrongly is said in the server's words.
      set(nobody, (state.reason === 'refused' && state.detail) || texts[state.reason === 'private' ? 'private' : missing ? 'gone' : 'empty']!);
      if (state.version !== null) this.#tell('scoreboard-update', state);
      if (gone && state.reason !== reason) this.#tell('scoreboard-error', { reason: state.reason, detail: state.detail });
      reason = state.reason;
    };
    this.#draw = () => { drawing ||= requestAnimationFrame(draw); };
  }

  /** The window, and below it the user's own place with its neighbours where that is further down. */
  #entries(state: State): readonly Entry[] {
    if ('around' in state) return state.around;
    const last = state.entries.at(-1)?.rank ?? 0;
    const own = (this.#own?.season === state.season && this.#own?.around) || [];
    return (this.#own?.entry?.rank ?? 0) > last ? [...state.entries, ...own.filter(({ rank, userId }) => rank > last && !state.entries.some((entry) => entry.userId === userId))] : state.entries;
  }

  /** At most one sentence now and then, and only about the top. */
  #speak(texts: Texts, number: (value: number) => string): void {
    const first = this.#top && 'entries' in this.#top ? this.#top.entries.slice(0, LEADERS) : [];
    const users = first.map(({ userId }) => userId).join('\n');
    const named = first.map((entry) => `${entry.displayName || entry.userId}, ${number(entry.score)}`);
    if (this.#spoken && users && this.#spoken !== users && !document.hidden) {
      this.shadowRoot!.querySelector('p')!.textContent = fill(texts['leaders'], { list: named.join('; ') });
    }
    this.#spoken = users;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'score-board': ScoreBoard;
  }
}

if (!customElements.get('score-board')) customElements.define('score-board', ScoreBoard);
