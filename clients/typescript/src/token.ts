// Requests with a bearer token, which is asked for anew before it expires and after it was refused.

import { Http } from './http.js';

/** A bearer token: an API key, or a JWT. Asked for anew shortly before a JWT expires, and after a 401. */
export type TokenSource = () => string | Promise<string>;

/** A token that expires sooner than this is replaced first. Milliseconds. */
const MARGIN = 30_000;

export class TokenHttp extends Http {
  readonly #source: TokenSource;
  #token: Promise<string> | null = null;

  constructor(url: string | URL, source: TokenSource) {
    super(url);
    this.#source = source;
  }

  override readonly hasToken = true;

  override async subject(): Promise<string | null> {
    // Whoever may less does not look over the shoulder of whoever may more: all must be equal that a token says, but when it was made.
    const { iat, exp, nbf, jti, ...rest } = claims(await this.#present());
    return rest.sub ? JSON.stringify(rest) : null;
  }

  /** Sends with the token, and once more with a new one after a 401. */
  override async send(url: URL, init: RequestInit = {}): Promise<Response> {
    const once = (token: string): Promise<Response> => {
      const headers = new Headers(init.headers);
      headers.set('authorization', `Bearer ${token}`);
      return fetch(url, { ...init, headers });
    };
    const token = await this.#present();
    const answer = await once(token);
    if (answer.status !== 401) return answer;
    const next = await this.#present(token);
    if (next === token) return answer;
    await answer.body?.cancel();
    return once(next);
  }

  /** The present token; `used` is one that was refused. */
  async #present(used?: string): Promise<string> {
    const asked = this.#token;
    const held = await asked?.catch(() => null);
    const good = held && held !== used && (claims(held).exp ?? Infinity) * 1000 - Date.now() > MARGIN;
    // Whoever asks at the same moment gets the same new one.
    if (!good && this.#token === asked) this.#token = Promise.resolve().then(this.#source);
    return this.#token!;
  }
}

/** What a JWT says of itself. Nothing is verified: that is the server's part. */
function claims(token: string): { sub?: string; exp?: number; iat?: number; nbf?: number; jti?: string } {
  try {
    // Characters beyond ASCII come out as their bytes, which tells subjects apart all the same.
    return JSON.parse(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/')));
  } catch {
    return {};
  }
}
