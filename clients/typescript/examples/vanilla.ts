import { Scoreboard } from '@scoreboard/client';

const top = new Scoreboard({ url: 'http://127.0.0.1:8080' }).leaderboard().top({ limit: 3 });
top.subscribe(() => {
  const rows = top.getSnapshot().entries.map((entry) => Object.assign(document.createElement('p'), { textContent: `${entry.rank}. ${entry.displayName} ${entry.score}` }));
  document.body.replaceChildren(...rows);
});
