// Signing in to a private leaderboard: by an account, whose session a cookie carries on, or by a token that was pasted.

import { $, giveToken, hasToken, root, text } from './page.js';

interface Session {
  accessToken: string;
  expiresAt: string;
}

/** An access token that expires sooner than this is replaced first. Milliseconds. */
const MARGIN = 60_000;

let session: Session | null = null;
let renewing: Promise<boolean> | null = null;

/** Throws where the server cannot be reached. The cookie goes to the server's own pages alone. */
function post(path: string, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(new URL(`api/auth/${path}`, root), { method: 'POST', headers, body: JSON.stringify(body), credentials: 'same-origin' });
}

async function open(path: string, body: object): Promise<boolean> {
  const answer = await post(path, body);
  if (!answer.ok) return false;
  session = await answer.json();
  giveToken(present);
  $('sign-out').hidden = false;
  return true;
}

/** The session's token. One that nothing renews any more is refused by the server, which ends what it had opened. */
async function present(): Promise<string> {
  const left = Date.parse(session!.expiresAt) - Date.now();
  if (left < MARGIN) await (renewing ??= open('refresh', {}).finally(() => { renewing = null; }));
  return session!.accessToken;
}

/** Takes up the session of an earlier visit, if there is one. */
export async function resumeSession(): Promise<boolean> {
  return hasToken() || (document.getElementById('login') !== null && (await open('refresh', {}).catch(() => false)));
}

/** `opened` is called with each token that was given. */
export function listenToSignIn(opened: () => void): void {
  $('sign-in').addEventListener('submit', async (event) => {
    event.preventDefault();
    const pasted = document.getElementById('token') as HTMLInputElement | null;
    const button = $('sign-in').querySelector('button')!;
    button.disabled = true;
    const good = pasted ? paste(pasted.value.trim()) : await signIn().catch(() => false);
    button.disabled = false;
    if (good) opened();
    else signInFailed();
  });
  $('sign-out').addEventListener('click', async () => {
    await post('sign-out', {}).catch(() => null);
    location.reload();
  });
}

function paste(token: string): boolean {
  // A header takes nothing else, and no token has it.
  if (!/^[\x21-\x7e]+$/.test(token)) return false;
  giveToken(() => token);
  return true;
}

function signIn(): Promise<boolean> {
  const [login, password] = [$<HTMLInputElement>('login').value, $<HTMLInputElement>('password').value];
  return open('sign-in', { login, password, cookie: true });
}

export function signInFailed(): void {
  $('notice').hidden = false;
  $('notice').textContent = text('signInFailed');
}
