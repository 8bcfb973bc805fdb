import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { Scoreboard } from '@scoreboard/client';
import { useLeaderboard } from '@scoreboard/client/react';

const scoreboard = new Scoreboard({ url: 'http://127.0.0.1:8080' });

function Top() {
  const { entries, status } = useLeaderboard(scoreboard, { limit: 5 });
  return (
    <main>
      <h1>Top five ({status})</h1>
      <ol>{entries.map((entry) => <li key={entry.userId}>{entry.displayName}: {entry.score}</li>)}</ol>
    </main>
  );
}

createRoot(document.getElementById('root')!).render(<StrictMode><Top /></StrictMode>);
