// The store of a window: the first entries of a leaderboard, kept equal to the server's by snapshots and patches.

import type { Http, Schemas } from './http.js';
import { Store, pastOf, windowOf, type Shown } from './store.js';

export type Entry = Schemas['Entry'];
export type ScoreUpdated = Schemas['ScoreUpdatedEvent'];
export type LatestScore = Schemas['LatestScore'];
export type Definition = Schemas['LeaderboardDefinition'];
export type SeasonEnded = Schemas['SeasonEndedEvent'];
export type SeasonStarted = Schemas['SeasonStartedEvent'];

export interface TopState extends Shown {
  /** Best first; at most `limit`. An entry that did not change is the same object as before. */
  readonly entries: readonly Entry[];
  /** Of the season, of which `entries` are the first. */
  readonly total: number;
  /** The newest scores, newest first, at most `latest`. */
  readonly scores: readonly (ScoreUpdated | LatestScore)[];
}

export interface TopOptions {
  /** Entries, 1 to 100. */
  limit?: number;
  /** Changes a second at most, 1 to 20. */
  hz?: number;
  /** `current` (default) goes on with the next season; a number ends with its season. */
  season?: number | 'current' | 'previous';
  /** How many of the newest scores come along, 0 to 50. */
  latest?: number;
}

const EMPTY = { entries: [], total: 0, scores: [] };

export class TopStore extends Store<TopState> {
  constructor(http: Http, path: string, { limit = 10, hz = 5, season, latest }: TopOptions, share: boolean) {
    super(http, path, { view: 'top', limit, hz, latest, season: pastOf(season) }, EMPTY, share);
  }

  protected override take(name: string, data: any): Partial<TopState> | null {
    const { entries, version, season } = this.getSnapshot();
    switch (name) {
      case 'leaderboard': {
        const { reset: _, ...window } = data;
        return { ...window, entries: same(entries, data.entries), ...(season !== data.season && { scores: [] }) };
      }
      case 'leaderboard-patch': {
        if (data.since !== version) return null;
        const next = [...entries];
        for (const row of data.rows as Entry[]) next[row.rank - 1] = row;
        next.length = data.size;
        return next.includes(undefined as any) ? null : { version: data.version, total: data.total, entries: next };
      }
      case 'season-ended':
        // Shown until the empty window of the next one comes.
        return { season: data.season, version: data.version, total: data.total, entries: same(entries, data.entries.slice(0, this.parameters['limit'])), ended: data };
      default:
        return super.take(name, data);
    }
  }

  protected override async final(): Promise<Partial<TopState>> {
    const { season, limit } = this.parameters;
    return this.take('leaderboard', await this.http.get(windowOf(this.path), { season, limit }))!;
  }
}

/** The new entries, those that are equal to what was shown before as the same objects. */
function same(before: readonly Entry[], now: readonly Entry[]): readonly Entry[] {
  return now.map((entry, index) => (JSON.stringify(before[index]) === JSON.stringify(entry) ? before[index]! : entry));
}
