// One connection to a stream, kept open: it comes back after every loss, notices silence, and knows when coming back is in vain.

import { createParser, type EventSourceMessage } from 'eventsource-parser';

import { ScoreboardError, backOff, failure, upTo, type Http } from './http.js';

/** Why nothing is fed just now. */
export type Reason =
  | 'connecting' | 'network' | 'busy' | 'asleep'
  | 'token' | 'private' | 'deleted' | 'not-found' | 'ended' | 'refused';

/** Milliseconds. The server gives a sign of life at least this often. */
export const HEARTBEAT = 15_000;
/** Without any sign for so long, a connection is dead. */
export const SILENCE = 2.5 * HEARTBEAT;
/** After sleep, a connection without a sign for so long is not waited for. */
const STALE = 1.2 * HEARTBEAT;
const LONGEST_PAUSE = 30_000;

/** Browsers open six connections to a server that speaks HTTP/1.1, for all tabs together. Streams stay open on these at the most, so that requests get through. */
const PLACES = 4;
/** Those beyond take turns: one takes a look this often, for so long. Milliseconds. */
const TURN = 5_000;
const LOOK = 300;

/** Takes one of the places at this server; answers with what gives it back, or `null` where all are taken. */
async function placeAt(origin: string): Promise<(() => void) | null> {
  const locks = globalThis.navigator?.locks;
  const spoken = ({ name, nextHopProtocol }: any): boolean => name.startsWith(origin) && /^h[23]/.test(nextHopProtocol);
  if (!locks || performance.getEntriesByType('resource').some(spoken)) return () => {};
  for (let place = 0; place < PLACES; place++) {
    const free = await new Promise<(() => void) | null>((taken) => {
      locks.request(`${origin} ${place}`, { ifAvailable: true }, (lock) => lock && new Promise<void>((free) => taken(free)))
        .then(() => taken(null), () => taken(() => {}));
    });
    if (free) return free;
  }
  return null;
}

/** What a connection reports. */
export interface Listener {
  /** The first events tell a whole state, so that a connection may take turns with others. */
  readonly whole?: boolean;
  /** An event; `data` is its JSON. */
  event(name: string, data: any, id: string | undefined): void;
  /** `null` while it is fed. `final`: nothing is tried any more. */
  status(reason: Reason | null, detail: string | null, final: boolean): void;
  /** Waited for after each piece that was read: a reader that is behind is not read ahead of. */
  drained?(): Promise<void> | undefined;
}

/** Why the server ends a stream for good (`closed`). */
const CLOSED: Record<string, Reason> = { 'token-expired': 'token', private: 'private', deleted: 'deleted', ended: 'ended' };
/** What the statuses mean for which asking again is in vain. */
const REFUSED: Record<number, Reason> = { 204: 'ended', 401: 'private', 403: 'refused', 404: 'not-found' };

export class Connection {
  #running: AbortController | null = null;
  #attempt: AbortController | null = null;
  #lastSign = 0;
  #failures = 0;
  /** The pause that the server asks for, told on the way. */
  #retry = 0;
  /** This attempt has no place, and is over when it has told the state. */
  #brief = false;
  #wake = (): void => {};

  /** `url` gives the address of each attempt. */
  constructor(
    readonly http: Http,
    readonly url: () => URL,
    readonly listener: Listener,
  ) {}

  open(): void {
    if (this.#running) return;
    const running = this.#running = new AbortController();
    this.#failures = 0;
    void this.#run(running);
  }

  close(): void {
    this.#running?.abort();
    this.#attempt?.abort();
    this.#running = this.#attempt = null;
    this.#wake();
  }

  /** Gives up this attempt and makes another after `pause` milliseconds. */
  reopen(pause: number): void {
    this.#attempt?.abort(pause);
    this.#wake();
  }

  /** After sleep, or when the network is back: then it may have been `lost`. */
  wake(lost: boolean): void {
    this.#failures = 0;
    if (lost || !this.#attempt || Date.now() - this.#lastSign > STALE) this.reopen(0);
  }

  async #run(running: AbortController): Promise<void> {
    this.#say('connecting');
    while (!running.signal.aborted) {
      const attempt = this.#attempt = new AbortController();
      const pause = await this.#once(attempt).catch((error: unknown) => {
        if (running.signal.aborted) return null;
        return attempt.signal.aborted ? this.#given(attempt.signal.reason) : this.#lost(error);
      });
      if (running.signal.aborted) return;
      this.#attempt = null;
      if (pause === null) return running.abort();
      if (pause > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pause);
          this.#wake = () => { clearTimeout(timer); resolve(); };
        });
      }
    }
  }

  /** The pause after an attempt that was given up: it was silent, or another is wanted. */
  #given(pause: number): number {
    if (!this.#brief) this.#say('network');
    return pause;
  }

  /** The pause after a failed attempt, or `null` if it was the last one. */
  #lost(error: unknown): number | null {
    const { status = 0, message, retryAfter, problem } = error as Partial<ScoreboardError>;
    const detail = problem && message;
    // Whoever stands before the server and does not find it may answer as well, and means nothing by it.
    const meant = status === 204 || problem?.status === status;
    const reason = !meant ? null : status === 401 && this.http.hasToken ? 'token' : REFUSED[status] ?? (status >= 400 && status < 429 ? 'refused' : null);
    if (reason) return this.#say(reason, detail, true);
    this.#say(status === 503 || status === 429 ? 'busy' : 'network', detail);
    return backOff(this.#failures++, LONGEST_PAUSE, retryAfter);
  }

  #say(reason: Reason | null, detail: string | null | undefined = null, final = false): null {
    this.listener.status(reason, detail, final);
    return null;
  }

  /** One attempt, to the end of its body. Answers with the pause before the next, `null` if there shall be none. */
  async #once(attempt: AbortController): Promise<number | null> {
    let dead: ReturnType<typeof setTimeout> | undefined;
    const alive = (): void => {
      this.#lastSign = Date.now();
      clearTimeout(dead);
      dead = setTimeout(() => attempt.abort(0), SILENCE);
    };
    const url = this.url();
    const leave = await placeAt(url.origin);
    this.#brief = !leave && !!this.listener.whole;
    alive();
    try {
      const answer = await this.http.send(url, { signal: attempt.signal, headers: { accept: 'text/event-stream' }, cache: 'no-store' });
      // Whoever stands before the server may answer everything with a page.
      if (!answer.headers.get('content-type')?.startsWith('text/event-stream')) throw await failure(answer);
      if (this.#brief) setTimeout(() => { if (this.#attempt === attempt) this.reopen(upTo(TURN)); }, LOOK);
      this.#retry = 0;
      let over: number | null | undefined;
      const parser = createParser({
        onRetry: (millis) => { this.#retry = millis; },
        onEvent: (event) => {
          if (!attempt.signal.aborted && over === undefined) over = this.#take(event);
        },
      });
      const reader = answer.body!.getReader();
      const text = new TextDecoder();
      while (over === undefined) {
        const { done, value } = await reader.read();
        // An end is a loss as others: where nothing was said, the next pause is longer.
        if (done || attempt.signal.aborted) throw new ScoreboardError(0, null, this.#retry);
        parser.feed(text.decode(value, { stream: true }));
        clearTimeout(dead);
        await this.listener.drained?.();
        alive();
      }
      void reader.cancel().catch(() => {});
      return over;
    } finally {
      clearTimeout(dead);
      leave?.();
    }
  }

  /** Passes an event on. Answers as `#once` does where the event ends the stream. */
  #take({ event: name, data: text, id }: EventSourceMessage): number | null | undefined {
    const data = JSON.parse(text);
    if (name === 'busy') {
      this.#say('busy', data.reason);
      return Math.max(1000, this.#retry);
    }
    if (name === 'closed') {
      const reason = CLOSED[data.reason] ?? 'refused';
      // A new token may mend it. What has ended, a season or what the token stands for, the next answer tells.
      return this.http.hasToken && (reason === 'token' || reason === 'ended') ? upTo(500) : this.#say(reason, null, true);
    }
    this.#failures = 0;
    this.listener.event(name!, data, id);
    if (!this.#attempt?.signal.aborted) this.#say(null);
    return undefined;
  }
}
