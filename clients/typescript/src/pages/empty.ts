// An empty leaderboard says how to fill it; an empty season of one that was filled before only says so.

import { $, board, boardId, put, root, text } from './page.js';
import { lastResult, seasons } from './seasons.js';

interface Action {
  id: string;
  leaderboards?: string[];
  enabled?: boolean;
  value?: { min: number; max: number } | null;
}

export function showEmpty(past: boolean): void {
  const season = board.state?.season ?? 1;
  const fresh = !past && (season === 1 || (seasons.has(season) && seasons.size > 1 && !lastResult()));
  put('empty-title', past ? text('emptyPast') : fresh ? text('empty') : text('emptySeason'));
  put('empty-words', past ? '' : fresh ? text('firstHint') : text('nextHint'));
  if (fresh && $('steps').hidden) void showFirstSteps();
  $('steps').hidden = !fresh;
}

/** Commands, with an action that really feeds this leaderboard where there is one. */
async function showFirstSteps(): Promise<void> {
  const answer = await fetch(new URL('api/actions', root)).catch(() => null);
  const { actions } = (answer?.ok ? await answer.json() : { actions: [] }) as { actions: Action[] };
  const action = actions.find((rule) => rule.leaderboards?.includes(boardId) && rule.enabled !== false);
  const call = (path: string, content: object): string => `curl ${new URL(path, root)} \\\n  -H "Authorization: Bearer $TOKEN" \\\n`
    + `  -H "Content-Type: application/json" \\\n  -d '${JSON.stringify(content)}'`;
  const scope = action ? 'scores:write' : 'scores:write leaderboards:admin';
  const steps = [`TOKEN=$(scoreboard token --sub me --scope "${scope}" --ttl 1h)`];
  if (!action) steps.push(call('api/actions', { id: 'goal', name: 'Goal', leaderboards: [boardId], points: 10 }));
  const submission = { actionId: action?.id ?? 'goal', userId: 'ada', ...(action?.value && { value: action.value.max ?? action.value.min ?? 1 }) };
  steps.push(call('api/scores', submission));
  $('command').textContent = steps.join('\n\n');
  const copy = $('copy');
  copy.hidden = !navigator.clipboard;
  copy.onclick = async () => {
    await navigator.clipboard.writeText($('command').textContent!);
    put('copy', text('copied'));
  };
}
