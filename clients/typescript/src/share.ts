// One connection for all tabs of an origin that show the same: a lock elects the tab that holds it, a channel carries what it hears.

import { freshKey, upTo, type Http } from './http.js';
import { Connection, HEARTBEAT, type Reason } from './stream.js';

/** What a store hears: from its own connection, or from the tab that holds it. */
export interface Sink {
  /** Answers false where something is missing before this event. */
  event(name: string, data: any): boolean;
  status(reason: Reason | null, detail?: string | null, final?: boolean): void;
  /** The whole state, for tabs that come later, and from the tab that was there before. */
  getSnapshot(): unknown;
  load(state: any): void;
  /** In the tab that holds the connection: a new state has begun, or `stale` says that what was read beside it is out of date. */
  led?(name: string, data: any, tell: (name: string, data: any) => void): void;
}

type Said =
  | { type: 'hello' }
  | { type: 'lead' }
  | { type: 'beat' }
  | { type: 'state'; to: string; state: unknown }
  | { type: 'event'; name: string; data: unknown }
  | { type: 'status'; reason: Reason | null; detail: string | null };
type Message = Said & { from: string };

/** Milliseconds. The leading tab speaks up this often; without a word for so long, it is frozen. */
const BEAT = HEARTBEAT / 3;
const PATIENCE = HEARTBEAT;
/** A page that nobody looks at for so long gives its connection back. */
const HIDDEN = 10_000;
const RESYNC = 500;
/** Tabs do not all take over at one moment. */
const SPREAD = 2_000;
/** How long an answer of the tab that leads is waited for after sleep. */
const ANSWER = 150;

const page: Document | undefined = globalThis.document;
const canShare = (): unknown => page && globalThis.navigator?.locks && globalThis.BroadcastChannel;

/** Feeds one store, for as long as it is started. */
export class Feed {
  readonly #connection: Connection;
  readonly #id = freshKey();
  /** Nobody looks, or nobody listens. */
  #asleep = true;
  #hiding: ReturnType<typeof setTimeout> | undefined;
  /** Ends the membership among the tabs. */
  #member: AbortController | null = null;
  #channel: BroadcastChannel | null = null;
  #leads = false;
  #leader = '';
  #heard = 0;
  /** What the other tabs know of the connection. */
  #told: Reason | null = null;
  readonly #spread = upTo(SPREAD);

  constructor(
    readonly http: Http,
    readonly url: () => URL,
    readonly sink: Sink,
    readonly share: boolean,
  ) {
    this.#connection = new Connection(http, url, { whole: true, event: this.#event, status: this.#say });
  }

  start(): void {
    this.#listen('addEventListener');
    // Also where it was over: who listens later may be given more.
    if (!page?.hidden && !this.#member) this.#join();
    else if (this.#asleep) this.sink.status('asleep');
  }

  stop(): void {
    this.#listen('removeEventListener');
    clearTimeout(this.#hiding);
    this.#sleep();
  }

  #listen(change: 'addEventListener' | 'removeEventListener'): void {
    if (!page) return;
    // Some of these are the document's: on their way to it, the window meets them all.
    for (const name of ['visibilitychange', 'resume', 'pageshow', 'online']) globalThis[change](name, this.#look, true);
    for (const name of ['freeze', 'pagehide']) globalThis[change](name, this.#sleep, true);
    globalThis[change]('offline', this.#offline, true);
  }

  readonly #look = (): void => {
    clearTimeout(this.#hiding);
    if (page?.hidden) this.#hiding = setTimeout(this.#sleep, HIDDEN);
    else if (this.#asleep) this.#join();
    else this.#wake();
  };

  readonly #sleep = (): void => {
    if (this.#asleep) return;
    this.#asleep = true;
    this.#leave();
    this.sink.status('asleep');
  };

  /** Of the tabs, the one that leads says so: it knows when that is over. */
  readonly #offline = (): void => {
    if (this.#member && (this.#leads || !this.#channel)) this.#say('network');
  };

  readonly #say = (reason: Reason | null, detail: string | null = null, final = false): void => {
    // What is final here is not told: the next tab leads, and asks for itself. Its token may be better, or the leaderboard there by then.
    if (final) this.#leave();
    else if (reason !== this.#told) this.#post({ type: 'status', reason, detail });
    this.#told = reason;
    this.sink.status(reason, detail, final);
  };

  #wake(): void {
    if (this.#leads || !this.#channel) return this.#connection.wake(this.#told === 'network');
    // What was said meanwhile may be lost, and whoever leads may be gone.
    this.#heard = Math.min(this.#heard, Date.now() - PATIENCE - SPREAD + ANSWER);
    this.#post({ type: 'hello' });
    setTimeout(() => this.#check(), ANSWER * 2);
  }

  /** In a tab that follows: takes over from one that says nothing any more. */
  #check(): void {
    if (this.#channel && !this.#leads && Date.now() - this.#heard > PATIENCE + this.#spread) this.#elect(true);
  }

  #join(): void {
    this.#asleep = false;
    const member = this.#member = new AbortController();
    if (!this.share || !canShare()) return this.#connection.open();
    this.sink.status('connecting');
    this.http.subject().catch(() => null).then((subject) => {
      if (member.signal.aborted) return;
      if (subject === null) return this.#connection.open();
      this.#enter(member, `scoreboard ${subject} ${this.url()}`);
    });
  }

  #leave(): void {
    this.#member?.abort();
    this.#member = null;
    this.#connection.close();
  }

  #enter({ signal }: AbortController, name: string): void {
    const channel = this.#channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => this.#hear(data as Message);
    this.#leader = '';
    this.#heard = Date.now();
    let last = Date.now();
    const beats = setInterval(() => {
      const late = Date.now() - last > 2 * BEAT;
      last = Date.now();
      if (this.#leads) this.#post({ type: 'beat' });
      else if (late) this.#wake();
      else this.#check();
    }, BEAT / 2);
    signal.addEventListener('abort', () => {
      clearInterval(beats);
      channel.close();
      this.#channel = null;
      this.#leads = false;
    });
    this.#elect();
    this.#post({ type: 'hello' });
  }

  /** Waits for the lock, and leads for as long as it is held: to the end of the membership, or until another tab has taken it away. */
  #elect(steal = false): void {
    const { signal } = this.#member!;
    this.#heard = Date.now();
    navigator.locks.request(this.#channel!.name, steal ? { steal } : { signal }, () => {
      if (signal.aborted || this.#leads) return undefined;
      this.#leads = true;
      this.#leader = this.#id;
      this.#post({ type: 'lead' });
      this.#connection.open();
      return new Promise<void>((resolve) => { signal.addEventListener('abort', () => resolve()); });
    }).catch(() => {
      if (signal.aborted) return;
      if (!this.#leads) {
        // Where pages may store nothing, and in frames of no origin, there are no locks: this one leads by itself.
        this.#leads = true;
        return this.#connection.open();
      }
      // Another tab took over while this one was frozen.
      this.#leads = false;
      this.#connection.close();
      this.#leader = '';
      this.#elect();
      this.#post({ type: 'hello' });
    });
  }

  readonly #event = (name: string, data: any): void => {
    const tell = (told: string, more: any): boolean => {
      this.#post({ type: 'event', name: told, data: more });
      return this.sink.event(told, more);
    };
    if (!tell(name, data)) return this.#connection.reopen(upTo(RESYNC));
    this.sink.led?.(name, data, tell);
  };

  #post(said: Said): void {
    if (this.#leads || said.type === 'hello') this.#channel?.postMessage({ ...said, from: this.#id });
  }

  #hear(message: Message): void {
    if (message.type === 'hello') {
      if (this.#leads) this.#post({ type: 'state', to: message.from, state: this.sink.getSnapshot() });
      return;
    }
    // The tab that led before may still speak, if it was frozen: the lock has gone to another.
    if (message.type === 'lead' || !this.#leader) this.#leader = message.from;
    if (this.#leads || message.from !== this.#leader) return;
    this.#heard = Date.now();
    if (message.type === 'state') {
      if (message.to === this.#id) this.sink.load(message.state);
    } else if (message.type === 'status') {
      this.#say(message.reason, message.detail);
    } else if (message.type === 'event' && !this.sink.event(message.name, message.data)) {
      this.#post({ type: 'hello' });
    }
  }
}
