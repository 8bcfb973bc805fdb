// Scores: sent until the server has answered, counted once.

import { backOff, freshKey, type Http, type ScoreboardError, type Schemas } from './http.js';

export type Submission = Schemas['ScoreSubmission'];
export type Receipt = Schemas['ScoreReceipt'];

export interface SubmitOptions {
  /** Made where there is none. The same key counts once, however often it is sent, for at least a day. */
  idempotencyKey?: string;
  /** Milliseconds after which no further attempt is made. */
  patience?: number;
}

const LONGEST_PAUSE = 5_000;

export class Scores {
  constructor(readonly http: Http) {}

  /**
   * Submits a score. After a network error, 5xx or a rate limit's 429 it is sent again, with the same key and a pause that grows and differs. A score
   * that a rule refuses for now (`too-soon`) is not: it would count later. The token of a run counts once by itself, and takes no key.
   * @throws {ScoreboardError} what the server answered; where it never did (`status` 0 or 5xx), the score may have been counted: the same key tells.
   */
  async submit(submission: Submission, { idempotencyKey = freshKey(), patience = 30_000 }: SubmitOptions = {}): Promise<Receipt> {
    const deadline = Date.now() + patience;
    const headers = { 'content-type': 'application/json', ...(!submission.runToken && { 'idempotency-key': idempotencyKey }) };
    const body = JSON.stringify(submission);
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.http.request(this.http.url('api/scores'), { method: 'POST', headers, body });
      } catch (error) {
        const { status, problem, retryAfter } = error as ScoreboardError;
        const pause = backOff(attempt, LONGEST_PAUSE, retryAfter);
        const again = !status || (status === 429 && !problem?.type.endsWith('too-soon')) || status >= 500;
        if (!again || Date.now() + pause > deadline) throw error;
        await new Promise((resolve) => { setTimeout(resolve, pause); });
      }
    }
  }
}
