// Requests to the server: addresses, the token, errors. Used by everything that asks.

import type { components } from './openapi.js';

export type Schemas = components['schemas'];
/** RFC 9457, as the server answers errors. */
export type Problem = Schemas['Problem'];
export type Parameters = Record<string, string | number | undefined>;

/** An answer that is not a success. `status` is 0 where there was none. */
export class ScoreboardError extends Error {
  constructor(
    readonly status: number,
    /** What the server said, where it said it in its own form. */
    readonly problem: Problem | null = null,
    /** Milliseconds after which the server wants to be asked again. */
    readonly retryAfter: number | null = null,
    options?: ErrorOptions,
  ) {
    super(problem?.detail ?? problem?.title ?? (status ? `The server answered ${status}` : 'The server did not answer'), options);
    this.name = 'ScoreboardError';
  }
}

/** A read or a write that gets no answer for this long has failed. Milliseconds. */
const PATIENCE = 10_000;

export class Http {
  readonly #base: URL;

  /** `url` is where the server is, with the path that a proxy strips, if there is one. */
  constructor(url: string | URL) {
    this.#base = new URL(url);
    this.#base.search = this.#base.hash = '';
    if (!this.#base.pathname.endsWith('/')) this.#base.pathname += '/';
  }

  /** Whether requests carry a token. */
  readonly hasToken: boolean = false;

  /** Who asks, as far as a client can tell: tabs of the same user may share a connection. `null` if it is not known. */
  async subject(): Promise<string | null> {
    return '';
  }

  url(path: string, parameters: Parameters = {}): URL {
    const url = new URL(path, this.#base);
    for (const [name, value] of Object.entries(parameters)) if (value !== undefined) url.searchParams.set(name, value as string);
    return url;
  }

  send(url: URL, init?: RequestInit): Promise<Response> {
    return fetch(url, init);
  }

  /** The body of a successful answer; anything else is thrown as {@link ScoreboardError}. */
  async request<T>(url: URL, init?: RequestInit): Promise<T> {
    let answer: Response;
    try {
      answer = await this.send(url, { signal: AbortSignal.timeout(PATIENCE), ...init });
      if (answer.ok) return (await answer.json()) as T;
    } catch (cause) {
      throw new ScoreboardError(0, null, null, { cause });
    }
    throw await failure(answer);
  }

  get<T>(path: string, parameters?: Parameters): Promise<T> {
    return this.request(this.url(path, parameters));
  }
}

/** So many milliseconds or fewer, down to half of them: clients do not all come back at one moment. */
export const upTo = (millis: number): number => millis * (0.5 + Math.random() / 2);

/** The pause before another attempt: it grows with each failure, and the server may ask for more. */
export const backOff = (failures: number, longest: number, retryAfter: number | null | undefined): number =>
  upTo(Math.max(Math.min(longest, 500 * 2 ** failures), 2 * (retryAfter ?? 0)));

/** A key that nobody else has. Also where a page is not secure, and `crypto.randomUUID` missing. */
export const freshKey = (): string => crypto.getRandomValues(new Uint32Array(4)).join('-');

/** The error that an answer stands for. */
export async function failure(answer: Response): Promise<ScoreboardError> {
  const problem = await answer.json().catch(() => null) as Problem | null;
  return new ScoreboardError(answer.status, problem, Number(answer.headers.get('retry-after')) * 1000 || null);
}
