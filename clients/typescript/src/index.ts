// The client of a Scoreboard server: scores, reads, and stores that stay live.

import { events, type EventOptions, type StreamEvent } from './events.js';
import { Http, type Parameters, type Schemas } from './http.js';
import { Scores } from './scores.js';
import { StandingStore, type StandingOptions, type StandingState } from './standing.js';
import { pathOf, windowOf, type Live } from './store.js';
import { LatestStore } from './latest.js';
import { TokenHttp, type TokenSource } from './token.js';
import { TopStore, type TopOptions, type TopState } from './top.js';

export { ScoreboardError, type Problem, type Schemas } from './http.js';
export type { TokenSource } from './token.js';
export type { EventOptions, StreamEvent } from './events.js';
export type { Live, Shown, Status } from './store.js';
export type { Reason } from './stream.js';
export type { Definition, Entry, LatestScore, ScoreUpdated, SeasonEnded, SeasonStarted, TopOptions, TopState } from './top.js';
export type { StandingOptions, StandingState } from './standing.js';
export type { Receipt, Scores, SubmitOptions, Submission } from './scores.js';
export type { Leaderboard };

export type SeasonChoice = number | 'current' | 'previous';

export interface Options {
  /** Where the server is, with the path that a proxy strips, if there is one. */
  url: string | URL;
  /** For scores, and for leaderboards that are private. */
  token?: TokenSource;
  /** `false`: each tab keeps a connection of its own. */
  share?: boolean;
}

export class Scoreboard {
  readonly scores: Scores;
  readonly #http: Http;
  readonly #share: boolean;
  readonly #leaderboards = new Map<string, Leaderboard>();

  constructor({ url, token, share = true }: Options) {
    this.#http = token ? new TokenHttp(url, token) : new Http(url);
    this.#share = share;
    this.scores = new Scores(this.#http);
  }

  /** A leaderboard; without an id, the server's default one. */
  leaderboard(id?: string): Leaderboard {
    return kept(this.#leaderboards, id ?? '', () => new Leaderboard(this.#http, id, this.#share));
  }

  /** The leaderboards that may be read. */
  async leaderboards(): Promise<Schemas['LeaderboardList']['leaderboards']> {
    return (await this.#http.get<Schemas['LeaderboardList']>('api/leaderboards')).leaderboards;
  }
}

/** One leaderboard. Reads throw {@link ScoreboardError}; stores never do, and say in their state what is wrong. */
class Leaderboard {
  readonly #http: Http;
  readonly #share: boolean;
  /** Of its window and its stream: the default leaderboard has short paths for these. */
  readonly #path: string = 'api/leaderboard';
  #id: Promise<string> | null = null;
  readonly #stores = new Map<string, Live<any>>();

  constructor(http: Http, id: string | undefined, share: boolean) {
    this.#http = http;
    this.#share = share;
    if (id === undefined) return;
    this.#id = Promise.resolve(id);
    this.#path = pathOf(id);
  }

  /** The first entries, live. The same options give the same store. */
  top(options: TopOptions = {}): Live<TopState> {
    const { limit, hz, season, latest } = options;
    const Kind = latest ? LatestStore : TopStore;
    return this.#store(['top', limit, hz, season, latest], () => new Kind(this.#http, this.#path, options, this.#share));
  }

  /** A user's standing, live. */
  standing(userId: string, options: StandingOptions = {}): Live<StandingState> {
    const { around, hz, season } = options;
    const make = (): Live<StandingState> => new StandingStore(this.#http, this.#path, () => this.id(), userId, options, this.#share);
    return this.#store(['standing', userId, around, hz, season], make);
  }

  /** Every event, each once and in order, on a connection of its own. */
  events(options?: EventOptions): AsyncGenerator<StreamEvent, void, void> {
    return events(this.#http, this.#path, options);
  }

  /** Its id, which the server knows of the default one. */
  id(): Promise<string> {
    this.#id ??= this.entries({ limit: 1 }).then(({ leaderboardId }) => leaderboardId).catch((error: unknown) => {
      this.#id = null;
      throw error;
    });
    return this.#id;
  }

  get(): Promise<Schemas['Leaderboard']> {
    return this.#read('');
  }

  entries(parameters: { limit?: number; fromRank?: number; season?: SeasonChoice; minVersion?: string } = {}): Promise<Schemas['Window']> {
    return this.#http.get(windowOf(this.#path), parameters);
  }

  entry(userId: string, parameters: { around?: number; season?: SeasonChoice } = {}): Promise<Schemas['EntryAnswer']> {
    return this.#read(`/entries/${encodeURIComponent(userId)}`, parameters);
  }

  /** Entries whose name or id begins so, best first. */
  search(name: string, parameters: { limit?: number; season?: SeasonChoice } = {}): Promise<Schemas['FoundEntries']> {
    return this.#read('/search', { name, ...parameters });
  }

  season(season: SeasonChoice): Promise<Schemas['SeasonDetails']> {
    return this.#read(`/seasons/${season}`);
  }

  seasons(parameters: { limit?: number; cursor?: string } = {}): Promise<Schemas['SeasonList']> {
    return this.#read('/seasons', parameters);
  }

  /** The newest scores, newest first. */
  latest(parameters: { limit?: number } = {}): Promise<Schemas['LatestScores']> {
    return this.#read('/scores', parameters);
  }

  async #read<T>(rest: string, parameters?: Parameters): Promise<T> {
    return this.#http.get(pathOf(await this.id()) + rest, parameters);
  }

  #store<T>(key: unknown[], make: () => Live<T>): Live<T> {
    return kept(this.#stores, JSON.stringify(key), make);
  }
}

/** What is held by that name; made where there is none. */
function kept<T>(all: Map<string, T>, name: string, make: () => T): T {
  let held = all.get(name);
  if (!held) all.set(name, held = make());
  return held;
}
