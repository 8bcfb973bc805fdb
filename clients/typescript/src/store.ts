// What all stores have in common: an immutable snapshot, listeners, the feed that runs while somebody listens.

import type { Http, Parameters, Schemas, ScoreboardError } from './http.js';
import { Feed, type Sink } from './share.js';
import type { Reason } from './stream.js';

/** Fed by a stream; shown, but not fed just now; not fed any more, or the device is offline. */
export type Status = 'live' | 'stale' | 'offline';

/** A store as `useSyncExternalStore` and plain code want it. */
export interface Live<T> {
  /** Calls `listener` after each change; answers with what ends that. The stream is open while anybody listens. */
  subscribe(listener: () => void): () => void;
  /** The present state: the same object until something changes. */
  getSnapshot(): T;
}

/** What every state says. */
export interface Shown {
  readonly leaderboardId: string | null;
  /** `null` until something is known. */
  readonly season: number | null;
  readonly version: string | null;
  readonly status: Status;
  /** Why it is not live. */
  readonly reason: Reason | null;
  /** The server's words for it, if it had any. */
  readonly detail: string | null;
  readonly watchers: number | null;
  /** The server's time less this device's. Milliseconds. */
  readonly clockOffset: number;
  /** When the server was last heard of, by this device's time. Milliseconds since 1970. */
  readonly newsAt: number | null;
  /** As it was last changed, if it was. */
  readonly definition: Schemas['LeaderboardDefinition'] | null;
  /** The last season that ended while this was fed, and the last that began. */
  readonly ended: Schemas['SeasonEndedEvent'] | null;
  readonly started: Schemas['SeasonStartedEvent'] | null;
}

const NOTHING: Shown = {
  leaderboardId: null, season: null, version: null, status: 'stale', reason: 'connecting', detail: null,
  watchers: null, clockOffset: 0, newsAt: null, definition: null, ended: null, started: null,
};

/** The path of a leaderboard's reads. */
export const pathOf = (id: string): string => `api/leaderboards/${encodeURIComponent(id)}`;

/** The path of a leaderboard's window: the default one has a short path for it. */
export const windowOf = (path: string): string => (path === 'api/leaderboard' ? path : `${path}/entries`);

/** A season by its number or `previous`, whose stream ends with it; `undefined` for whichever is current. */
export const pastOf = (season?: number | string): number | string | undefined => (season === 'current' ? undefined : season);

/** A feed goes on for so long after the last listener: React's StrictMode, and pages that change, listen again at once. Milliseconds. */
const LINGER = 500;
/** How soon a result that could not be read is asked for again. */
export const AGAIN = 5_000;
/** How often it is looked whether another season has become the previous one. */
const TURN = 60_000;

export abstract class Store<T extends Shown> implements Live<T>, Sink {
  readonly #listeners = new Set<() => void>();
  readonly #feed: Feed;
  #state: T;
  readonly #nothing: T;
  #closing: ReturnType<typeof setTimeout> | undefined;
  #reading: ReturnType<typeof setTimeout> | undefined;

  constructor(
    protected readonly http: Http,
    protected readonly path: string,
    protected readonly parameters: Parameters,
    empty: Omit<T, keyof Shown>,
    share: boolean,
  ) {
    this.#state = this.#nothing = { ...NOTHING, ...empty } as T;
    this.#feed = new Feed(http, () => http.url(`${path}/stream`, parameters), this, share);
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    // One function that listens twice is two listeners.
    const own = (): void => listener();
    this.#listeners.add(own);
    clearTimeout(this.#closing);
    this.#feed.start();
    return () => {
      if (!this.#listeners.delete(own) || this.#listeners.size > 0) return;
      this.#closing = setTimeout(() => this.#feed.stop(), LINGER);
    };
  };

  readonly getSnapshot = (): T => this.#state;

  /** The state after an event; `null` where something is missing before it. */
  protected take(name: string, data: any): Partial<T> | null {
    const changes: Record<string, Partial<Shown>> = {
      heartbeat: { watchers: data.watchers, clockOffset: Date.parse(data.at) - Date.now() },
      'season-ended': { ended: data },
      'season-started': { started: data },
      // A deletion is the last event, and told by `closed` as well.
      'leaderboard-changed': data.deleted ? {} : { definition: data },
    };
    return (changes[name] ?? {}) as Partial<T>;
  }

  /** What is shown of a season that has ended. */
  protected abstract final(): Promise<Partial<T>>;

  led?: NonNullable<Sink['led']>;

  event(name: string, data: any): boolean {
    const changes = this.take(name, data);
    if (changes) this.#change({ newsAt: Date.now(), ...changes });
    return changes !== null;
  }

  status(reason: Reason | null, detail: string | null = null, final = false): void {
    const offline = final || (reason === 'network' && globalThis.navigator?.onLine === false);
    // What may not be seen any more is not kept either: it would be shown again while it is asked for.
    this.#change({ ...(final && reason !== 'ended' && this.#nothing), status: reason === null ? 'live' : offline ? 'offline' : 'stale', reason, detail });
    if (final && reason === 'ended' && this.parameters.season !== undefined) this.#read(0);
  }

  load(state: T): void {
    this.#change(state);
  }

  /** An ended season has no stream: its result is read, after so many milliseconds. Whoever is asleep by then reads it on waking. */
  #read(pause: number): void {
    clearTimeout(this.#reading);
    this.#reading = setTimeout(() => {
      if (this.#state.reason === 'ended') this.final().then((result) => {
        this.#change(result);
        if (this.parameters.season === 'previous') this.#read(TURN);
      }, ({ problem, message }: ScoreboardError) => {
        if (problem?.status! < 429) this.status('refused', message, true);
        else this.#read(AGAIN);
      });
    }, pause);
  }

  #change(changes: object): void {
    const entries = Object.entries(changes) as [keyof T, any][];
    if (entries.every(([key, value]) => Object.is(this.#state[key], value))) return;
    this.#state = { ...this.#state, ...changes };
    for (const listener of [...this.#listeners]) listener();
  }
}
