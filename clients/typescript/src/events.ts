// Every event of a leaderboard, each once and in order, for programs.

import { upTo, type Http, type Schemas } from './http.js';
import { Connection } from './stream.js';

/** An event of `view=events`, with the version after which to go on. */
export type StreamEvent = { readonly id: string | undefined } & (
  | { event: 'leaderboard'; data: Schemas['LeaderboardEvent'] }
  | { event: 'score-updated'; data: Schemas['ScoreUpdatedEvent'] }
  | { event: 'score-removed'; data: Schemas['ScoreRemovedEvent'] }
  | { event: 'user-changed'; data: Schemas['UserChangedEvent'] }
  | { event: 'season-ended'; data: Schemas['SeasonEndedEvent'] }
  | { event: 'season-started'; data: Schemas['SeasonStartedEvent'] }
  | { event: 'leaderboard-changed'; data: Schemas['LeaderboardDefinition'] | Schemas['LeaderboardDeleted'] }
  | { event: 'heartbeat'; data: Schemas['HeartbeatEvent'] }
);

export interface EventOptions {
  /** Goes on after this version. Without it, a `leaderboard` with the first `limit` entries comes first. */
  lastEventId?: string;
  limit?: number;
  /** Ends the iteration. */
  signal?: AbortSignal;
}

/** Events that wait for their reader. When there are so many, nothing more is read until it has caught up. */
const WAITING = 1000;

/** Ends when the server has ended the stream for good, and when `signal` says so. */
export async function* events(http: Http, path: string, { lastEventId, limit, signal }: EventOptions = {}): AsyncGenerator<StreamEvent, void, void> {
  const waiting: StreamEvent[] = [];
  let last = lastEventId;
  let over = false;
  let error: Error | null = null;
  let wake = (): void => {};
  let drained = wake;
  const stop = (): void => {
    over = true;
    wake();
  };
  const connection = new Connection(http, () => http.url(`${path}/stream`, { view: 'events', lastEventId: last, limit }), {
    event(event, data, id) {
      // A hole: from the last event that is known, all of them come again.
      if (last && data.since && data.since !== last) return connection.reopen(upTo(500));
      if (id) last = id;
      waiting.push({ event, data, id } as StreamEvent);
      wake();
    },
    status(reason, detail, final) {
      if (!final) return;
      if (reason !== 'ended' && reason !== 'deleted') error = new Error(`The stream has ended: ${detail ?? reason}`);
      stop();
    },
    drained: () => (waiting.length < WAITING ? undefined : new Promise((resolve) => { drained = resolve; })),
  });
  signal?.addEventListener('abort', stop);
  connection.open();
  try {
    while (!signal?.aborted) {
      const next = waiting.shift();
      if (next) {
        yield next;
        if (waiting.length < WAITING / 2) drained();
      } else if (over) {
        if (error) throw error;
        return;
      } else await new Promise<void>((resolve) => { wake = resolve; });
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    drained();
    connection.close();
  }
}
