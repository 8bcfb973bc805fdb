// The store of one user's standing and of those around.

import type { Http, Schemas, ScoreboardError } from './http.js';
import { Store, pastOf, pathOf, windowOf, type Shown } from './store.js';
import type { Entry } from './top.js';

export interface StandingState extends Shown {
  /** `null` where the user has no entry. */
  readonly entry: Entry | null;
  /** The share of the others who stand below, 0 to 100. */
  readonly percentile: number | null;
  /** Best first, the user's own entry among them. */
  readonly around: readonly Entry[];
  readonly total: number;
}

export interface StandingOptions {
  /** Neighbours on each side, 0 to 50. */
  around?: number;
  /** Changes a second at most, 1 to 20. */
  hz?: number;
  season?: number | 'current' | 'previous';
}

export class StandingStore extends Store<StandingState> {
  readonly #id: () => Promise<string>;

  constructor(http: Http, path: string, id: () => Promise<string>, userId: string, options: StandingOptions, share: boolean) {
    const { around = 2, hz = 5, season } = options;
    super(http, path, { view: 'user', userId, around, hz, season: pastOf(season) }, { entry: null, percentile: null, around: [], total: 0 }, share);
    this.#id = id;
  }

  protected override take(name: string, data: any): Partial<StandingState> | null {
    if (name === 'standing') return data;
    if (name === 'season-ended') return { ...data.standing, ended: data };
    return super.take(name, data);
  }

  protected override async final(): Promise<Partial<StandingState>> {
    const { userId, season, around } = this.parameters;
    const path = `${pathOf(await this.#id())}/entries/${encodeURIComponent(userId!)}`;
    return this.http.get<Partial<StandingState>>(path, { season, around }).catch(async (error: ScoreboardError) => {
      if (error.status !== 404) throw error;
      // Of whoever has no entry, all there is to say is of the season.
      const { entries: _, ...rest } = await this.http.get<Schemas['Window']>(windowOf(this.path), { season, limit: 1 });
      return { ...rest, entry: null };
    });
  }
}
