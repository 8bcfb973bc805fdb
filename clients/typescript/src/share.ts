// One connection for all tabs of an origin that show the same: a lock elects the tab that holds it, a channel carries what it hears.

import { freshKey, type Http } from './http.js';
import { Connection, HEARTBEAT, type Reason } from './stream.js';

/** What a store hears: from its own connection, or from the tab that holds it. */
export interface Sink {
  /** Answers false where something is missing before this event. */
  event(name: string, data: any): boolean;
  status(reason: Reason | null, detail: string | null, final: boolean): void;
  /** The whole state, for tabs that come later, and from the tab that was there before. */
  save(): unknown;
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
  | { type: 'status'; reason: Reason | null; detail: string | null; final: boolean };
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

const page = typeof document === 'undefined' ? null : document;
const canShare = (): unknown => page && globalThis.navigator?.locks && globalThis.BroadcastChannel;

/** Feeds one store, for as long as it is started. */
export class Feed {
  readonly #connection: Connection;
  #id = '';
  #started = false;
  #asleep = false;
  #hiding: ReturnType<typeof setTimeout> | undefined;
  /** Ends the membership among the tabs. */
  #member: AbortController | null = null;
  #channel: BroadcastChannel | null = null;
  #leads = false;
  #leader = '';
  #heard = 0;
  /** What the other tabs know of the connection. */
  #told: Reason | null = null;
  readonly #spread = Math.random() * SPREAD;

  constructor(
    readonly http: Http,
    readonly url: () => URL,
    readonly sink: Sink,
    readonly share: boolean,
  ) {
    this.#connection = new Connection(http, url, {
      whole: true,
      event: (name, data) => this.#event(name, data),
      status: (reason, detail, final) => this.#say(reason, detail, final),
    });
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#listen('addEventListener');
    this.#asleep = Boolean(page?.hidden);
    if (this.#asleep) this.sink.status('asleep', null, false);
    else this.#join();
  }

  stop(): void {
    if (!this.#started) return;
    this.#started = false;
    this.#listen('removeEventListener');
    clearTimeout(this.#hiding);
    this.#leave();
  }

  #listen(change: 'addEventListener' | 'removeEventListener'): void {
    if (!page) return;
    for (const name of ['visibilitychange', 'resume']) page[change](name, this.#look);
    page[change]('freeze', this.#sleep);
    for (const name of ['pageshow', 'online']) globalThis[change](name, this.#look);
    globalThis[change]('pagehide', this.#sleep);
    globalThis[change]('offline', this.#offline);
  }

  readonly #look = (): void => {
    clearTimeout(this.#hiding);
    if (page?.hidden) this.#hiding = setTimeout(this.#sleep, HIDDEN);
    else if (this.#asleep) {
      this.#asleep = false;
      this.#join();
    } else this.#wake();
  };

  readonly #sleep = (): void => {
    if (this.#asleep) return;
    this.#asleep = true;
    this.#leave();
    this.sink.status('asleep', null, false);
  };

  /** Of the tabs, the one that leads says so: it knows when that is over. */
  readonly #offline = (): void => {
    if (this.#leads || !this.#channel) this.#say('network', null, false);
  };

  #say(reason: Reason | null, detail: string | null, final: boolean): void {
    if (reason !== this.#told) this.#post({ type: 'status', reason, detail, final });
    this.#told = reason;
    this.sink.status(reason, detail, final);
  }

  #wake(): void {
    if (this.#leads || !this.#channel) return this.#connection.wake(this.#told === 'network');
    // What was said meanwhile may be lost, and whoever leads may be gone.
    this.#heard = Math.min(this.#heard, Date.now() - PATIENCE - SPREAD + ANSWER);
    this.#post({ type: 'hello' });
    setTimeout(() => this.#check(), ANSWER * 2);
  }

  /** In a tab that follows: takes over from one that says nothing any more. */
  #check(): void {
    if (this.#member && !this.#leads && Date.now() - this.#heard > PATIENCE + this.#spread) this.#steal();
  }

  #join(): void {
    const member = this.#member = new AbortController();
    if (!this.share || !canShare()) return this.#connection.open();
    this.sink.status('connecting', null, false);
    this.http.subject().then((subject) => {
      if (member.signal.aborted) return;
      if (subject === null) return this.#connection.open();
      this.#id = freshKey();
      this.#enter(member, `scoreboard ${subject} ${this.url()}`);
    }).catch(() => { if (!member.signal.aborted) this.#connection.open(); });
  }

  #leave(): void {
    this.#member?.abort();
    this.#member = null;
    this.#connection.close();
  }

  #enter(member: AbortController, name: string): void {
    const channel = this.#channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => this.#hear(data as Message);
    this.#heard = Date.now();
    let last = Date.now();
    const beats = setInterval(() => {
      const late = Date.now() - last > 2 * BEAT;
      last = Date.now();
      if (this.#leads) this.#post({ type: 'beat' });
      else if (late) this.#wake();
      else this.#check();
    }, BEAT / 2);
    member.signal.addEventListener('abort', () => {
      clearInterval(beats);
      channel.close();
      if (this.#channel === channel) this.#channel = null;
      this.#leads = false;
    });
    this.#steal = () => this.#elect(member, name, { steal: true });
    this.#elect(member, name, { signal: member.signal });
    this.#post({ type: 'hello' });
  }

  #steal = (): void => {};

  /** Waits for the lock, and leads for as long as it is held: to the end of the membership, or until another tab has taken it away. */
  #elect(member: AbortController, name: string, options: LockOptions): void {
    if (this.#leads || member.signal.aborted) return;
    this.#heard = Date.now();
    navigator.locks.request(name, options, () => {
      if (member.signal.aborted || this.#leads) return undefined;
      this.#leads = true;
      this.#leader = this.#id;
      this.#post({ type: 'lead' });
      this.#connection.open();
      return new Promise<void>((resolve) => { member.signal.addEventListener('abort', () => resolve()); });
    }).catch(() => {
      if (member.signal.aborted) return;
      if (!this.#leads) {
        // Where pages may store nothing, and in frames of no origin, there are no locks: this one leads by itself.
        this.#leads = true;
        return this.#connection.open();
      }
      // Another tab took over while this one was frozen.
      this.#leads = false;
      this.#connection.close();
      this.#leader = '';
      this.#elect(member, name, { signal: member.signal });
      this.#post({ type: 'hello' });
    });
  }

  #event(name: string, data: any): void {
    const tell = (told: string, more: any): boolean => {
      this.#post({ type: 'event', name: told, data: more });
      return this.sink.event(told, more);
    };
    if (!tell(name, data)) return this.#connection.reopen(Math.random() * RESYNC);
    this.sink.led?.(name, data, tell);
  }

  #post(said: Said): void {
    if (this.#leads || said.type === 'hello') this.#channel?.postMessage({ ...said, from: this.#id });
  }

  #hear(message: Message): void {
    if (message.type === 'hello') {
      if (this.#leads) this.#post({ type: 'state', to: message.from, state: this.sink.save() });
      return;
    }
    // The tab that led before may still speak, if it was frozen: the lock has gone to another.
    if (message.type === 'lead' || !this.#leader) this.#leader = message.from;
    if (this.#leads || message.from !== this.#leader) return;
    this.#heard = Date.now();
    if (message.type === 'state') {
      if (message.to === this.#id) this.sink.load(message.state);
    } else if (message.type === 'status') {
      this.#say(message.reason, message.detail, message.final);
    } else if (message.type === 'event' && !this.sink.event(message.name, message.data)) {
      this.#post({ type: 'hello' });
    }
  }
}
