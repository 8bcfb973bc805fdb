// The store of a window with the newest scores beside it: by one stream, however many scores there are.

import { upTo, type Schemas } from './http.js';
import type { Sink } from './share.js';
import { AGAIN, pathOf } from './store.js';
import { TopStore, type LatestScore, type ScoreUpdated, type TopState } from './top.js';

export class LatestStore extends TopStore {
  protected override take(name: string, data: any): Partial<TopState> | null {
    const { scores, total, version } = this.getSnapshot();
    if (name === 'latest-scores') {
      const known: number = data.scores.at(-1)?.total ?? total;
      return { scores: this.#merge(renamed(scores, data.users), data.scores, data.season), total: known };
    }
    if (name === 'history') return { scores: this.#merge(data.reset ? [] : scores, data.scores, data.season) };
    const changes = super.take(name, data);
    // Another epoch, as of a restored ledger: what was told before may never have been.
    if (name === 'leaderboard' && epoch(version) !== epoch(data.version)) return { ...changes, scores: [] };
    return changes;
  }

  /** What came before the stream began is asked for when it has begun, so that nothing falls between. */
  override led: NonNullable<Sink['led']> = (name, data, tell) => {
    if (name !== 'leaderboard' && !(name === 'latest-scores' && data.refresh)) return;
    setTimeout(() => {
      const asked = this.http.get<Schemas['LatestScores']>(`${pathOf(data.leaderboardId)}/scores`, { limit: this.parameters['latest'] });
      asked.then((body) => tell('history', { ...body, reset: Boolean(data.refresh) }), ({ retryAfter }) => {
        // A state that comes meanwhile asks by itself.
        setTimeout(() => { if (this.getSnapshot().status === 'live') this.led(name, data, tell); }, retryAfter ?? AGAIN);
      });
    }, upTo(data.refresh ? 1000 : 0));
  };

  #merge(held: TopState['scores'], more: readonly (ScoreUpdated | LatestScore)[], season: number): TopState['scores'] {
    if (season !== this.getSnapshot().season) return held;
    // The id tells the order, and which of them is known.
    const all = new Map([...more, ...held].map((score) => [score.eventId, score]));
    return [...all.values()].sort((one, other) => (one.eventId < other.eventId ? 1 : -1)).slice(0, this.parameters['latest'] as number);
  }
}

/** What a version begins with: another one is of another leaderboard, or of a restored ledger. */
export const epoch = (version: string | null): string | undefined => version?.replace(/-\d+$/, '');

function renamed(scores: TopState['scores'], users: readonly Schemas['UserChangedEvent'][]): TopState['scores'] {
  return scores.map((score) => users.reduce((told, { userId, displayName }) => (userId === told.userId ? { ...told, displayName } : told), score));
}
