// Hooks for React 18 and later.

import { useSyncExternalStore, type HTMLAttributes } from 'react';

import type { Scoreboard } from './index.js';
import type { StandingOptions, StandingState } from './standing.js';
import type { TopOptions, TopState } from './top.js';

/** The element's attributes, for components that show it. */
export interface ScoreBoardAttributes extends HTMLAttributes<HTMLElement> {
  src?: string;
  board?: string;
  view?: 'top' | 'user';
  limit?: number;
  hz?: number;
  user?: string;
  season?: number | 'current' | 'previous';
  theme?: 'auto' | 'light' | 'dark';
  locale?: string;
  compact?: boolean;
  avatars?: boolean;
}

declare module 'react' {
  namespace JSX {
    interface IntrinsicElements {
      'score-board': ScoreBoardAttributes;
    }
  }
}

export interface UseLeaderboardOptions extends TopOptions {
  /** Without it, the server's default leaderboard. */
  leaderboard?: string;
}

/** The first entries of a leaderboard, live. `scoreboard` is made once, outside of components. */
export function useLeaderboard(scoreboard: Scoreboard, { leaderboard, ...options }: UseLeaderboardOptions = {}): TopState {
  const { subscribe, getSnapshot } = scoreboard.leaderboard(leaderboard).top(options);
  return useSyncExternalStore(subscribe, getSnapshot, getSnapshot);
}

/** A user's standing, live. */
export function useStanding(
  scoreboard: Scoreboard,
  userId: string,
  { leaderboard, ...options }: StandingOptions & { leaderboard?: string } = {},
): StandingState {
  const { subscribe, getSnapshot } = scoreboard.leaderboard(leaderboard).standing(userId, options);
  return useSyncExternalStore(subscribe, getSnapshot, getSnapshot);
}
