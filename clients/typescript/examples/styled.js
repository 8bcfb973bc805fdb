// What the element tells: a place that was won or lost.
addEventListener('scoreboard-rank', ({ detail: { rank, previousRank } }) => {
  if (rank && previousRank) document.querySelector('#said').textContent = rank < previousRank ? `Up to ${rank}!` : `Down to ${rank}.`;
});
