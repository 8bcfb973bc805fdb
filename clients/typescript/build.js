// Makes what the server serves out of the sources here, and the npm package.
//
//   node build.js             writes the files in ../../src/page
//   node build.js --check     compares them with what would be written; fails and names what differs
//   node build.js --package   writes dist/, for npm

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';
import { minify } from 'terser';

const here = dirname(fileURLToPath(import.meta.url));
const served = join(here, '../../src/page');

// Source: file that is served. Each is complete in itself.
const SCRIPTS = {
  'src/element.ts': 'score-board.js',
  'src/pages/board.ts': 'board.js',
  'src/pages/embed.ts': 'embed.js',
  'src/pages/overlay.ts': 'overlay.js',
};
const STYLES = { 'src/pages/page.css': 'page.css' };

const common = {
  // Fields that constructors set need no declaration of their own.
  tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
  absWorkingDir: here,
  bundle: true,
  minify: true,
  format: 'esm',
  define: { PAGE: 'true' },
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none',
  write: false,
  logLevel: 'warning',
};

// The element has ten kilobytes, with the texts of eight languages.
const SMALLER = {
  alias: { 'eventsource-parser': './src/small-parser.ts' },
  define: { PAGE: 'false' },
  // Names that no page, no other tab and no server sees.
  mangleProps: /^(http|listener|sink|share|parameters|options|subscribe|getSnapshot|hasToken|subject|retryAfter|problem|onRetry|onEvent|reopen|drained|wake|line|cell|arrow|flashes|seen|bdi|take|led|avatars|mark|whole)$/,
};

/** The text of each served file, by its name. */
async function bundles() {
  const made = new Map();
  for (const [entry, name] of Object.entries({ ...SCRIPTS, ...STYLES })) {
    if (!existsSync(join(here, entry))) continue;
    // Style sheets that scripts import are texts.
    const loader = name.endsWith('.js') ? { '.css': 'text' } : {};
    const { outputFiles } = await build({ ...common, ...(name === 'score-board.js' && SMALLER), entryPoints: [entry], loader, plugins: name.endsWith('.js') ? [small] : [] });
    made.set(name, name.endsWith('.js') ? await smallest(outputFiles[0].text) : outputFiles[0].text);
  }
  return made;
}

/** A style sheet inside a script is made small as one that is served; texts are told apart by their place instead of by their keys. */
const small = {
  name: 'small',
  setup({ onLoad }) {
    onLoad({ filter: /texts\.json$/ }, async ({ path }) => {
      const texts = JSON.parse(await readFile(path, 'utf8'));
      const lines = Object.fromEntries(Object.entries(texts).map(([language, words]) => [language, Object.values(words).join('|')]));
      const keys = Object.keys(texts.en).join('|');
      const contents = `const split = (text) => text.split('|');
        const keys = split(${JSON.stringify(keys)});
        const all = ${JSON.stringify(lines)};
        for (const language in all) all[language] = Object.fromEntries(split(all[language]).map((text, index) => [keys[index], text]));
        export default all;`;
      return { contents, loader: 'js' };
    });
    onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { outputFiles } = await build({ ...common, entryPoints: [path] });
      return { contents: outputFiles[0].text.trim(), loader: 'text' };
    });
  },
};

/** What esbuild has bundled, a few per cent smaller. */
async function smallest(script) {
  const { code } = await minify(script, { module: true, ecma: 2022, compress: { passes: 3 }, format: { comments: false } });
  return `${code}\n`;
}

async function check(made) {
  let differs = false;
  for (const [name, text] of made) {
    const present = await readFile(join(served, name), 'utf8').catch(() => null);
    if (present === text) continue;
    differs = true;
    console.error(`src/page/${name} is not what clients/typescript makes: run "node build.js" there and commit it`);
  }
  process.exitCode = differs ? 1 : 0;
}

/** dist/: a module for each source, types beside it; the element as one file, because pages load it as it is. */
async function makePackage() {
  const dist = join(here, 'dist');
  await rm(dist, { recursive: true, force: true });
  execFileSync(process.execPath, [join(here, 'node_modules/typescript/bin/tsc'), '--project', here], { stdio: 'inherit' });
  const { outputFiles } = await build({ ...common, ...SMALLER, entryPoints: ['src/element.ts'], plugins: [small] });
  await writeFile(join(dist, 'element.js'), await smallest(outputFiles[0].text));
  // Where there is no document there are no elements: a page that is rendered by a server goes without.
  await writeFile(join(dist, 'nothing.js'), 'export {};\n');
  // What only the server's own pages need is not published.
  await rm(join(dist, 'pages'), { recursive: true, force: true });
}

if (process.argv.includes('--package')) {
  await makePackage();
} else {
  const made = await bundles();
  if (process.argv.includes('--check')) await check(made);
  else for (const [name, text] of made) await writeFile(join(served, name), text);
}
