// The page inside a frame: tells the page around it how high it is.

import type { TopState } from '../index.js';

const tell = (): void => {
  const height = Math.ceil(document.body.getBoundingClientRect().height);
  // The height is no secret: whoever frames the page may know it.
  parent.postMessage({ type: 'scoreboard-height', height }, '*');
};

const title = document.querySelector<HTMLElement>('h1 a')!;
const name = (text: string): void => {
  // What has no name here is headed all the same: empty headings and links say nothing to the ear. It leads to the page, where one can sign in.
  const said = text || 'Scoreboard';
  if (title.textContent !== said) document.title = title.textContent = said;
};
name(title.textContent!);
// As it is called by now; and nothing of what may not be seen any more.
addEventListener('scoreboard-update', (event) => {
  const { definition } = (event as CustomEvent<TopState>).detail;
  if (definition) name(definition.name || definition.id);
});
addEventListener('scoreboard-error', () => name(''));

new ResizeObserver(tell).observe(document.body);
tell();
