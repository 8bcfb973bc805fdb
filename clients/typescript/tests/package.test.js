// What is published and what is served: built from these sources, small, typed, and it installs.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';
import { minify } from 'terser';

import { Server, browser, open, root, shows, site, token, until } from './harness.js';

const run = promisify(execFile);
const bin = (name) => join(root, 'node_modules/.bin', name);

let server, work;

before(async () => {
  server = await Server.start();
  await server.board('main');
  await server.score('main', 'ada', 5);
  work = await mkdtemp(join(tmpdir(), 'scoreboard-package-'));
});
after(async () => {
  await server.stop();
  await rm(work, { recursive: true, force: true });
});

test('what the server serves is what the sources make', async () => {
  await run(process.execPath, ['build.js', '--check'], { cwd: root });
});

test('the sources fit their types, and openapi.ts fits openapi.yaml', async () => {
  await run(bin('tsc'), ['--project', root, '--noEmit']);
  await run(bin('openapi-typescript'), [join(root, '../../openapi.yaml'), '--output', join(work, 'openapi.ts')]);
  assert.equal(await readFile(join(root, 'src/openapi.ts'), 'utf8'), await readFile(join(work, 'openapi.ts'), 'utf8'), 'run: npm run openapi');
});

test('openapi.yaml has nothing to say to Spectral', async () => {
  await writeFile(join(work, '.spectral.yaml'), 'extends: ["spectral:oas"]\n');
  const { stdout } = await run(bin('spectral'), ['lint', join(root, '../../openapi.yaml'), '--ruleset', join(work, '.spectral.yaml'), '--fail-severity', 'warn', '--format', 'text'])
    .catch((error) => error);
  assert.match(stdout, /No results with a severity of 'warn' or higher found/);
});

test('the element has at most ten kilobytes, the core six', async () => {
  const element = gzipSync(await readFile(join(root, '../../src/page/score-board.js')), { level: 9 }).length;
  const { outputFiles } = await build({ absWorkingDir: root, entryPoints: ['src/index.ts'], bundle: true, minify: true, format: 'esm', target: 'es2022', write: false });
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2022, compress: { passes: 3 } });
  const core = gzipSync(code, { level: 9 }).length;
  console.log(`gzipped: element ${element} bytes, core with its dependency ${core} bytes`);
  assert.ok(element <= 10 * 1024 && core <= 6 * 1024, `${element} ${core}`);
});

test('the package installs into an empty project, fits strict types, and submits a score', { timeout: 120_000 }, async () => {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', work], { cwd: root });
  const [{ filename, files }] = JSON.parse(stdout.slice(stdout.indexOf('[')));
  assert.ok(files.every(({ path }) => /^(dist\/|README\.md|package\.json|LICENSE)/.test(path) && !path.includes('pages/')), JSON.stringify(files.map(({ path }) => path)));
  const project = await mkdtemp(join(work, 'project-'));
  await writeFile(join(project, 'package.json'), '{"name":"game","private":true,"type":"module"}');
  await run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--silent', join(work, filename)], { cwd: project });
  for (const name of ['react', '@types/react', 'csstype']) {
    await cp(join(root, 'node_modules', name), join(project, 'node_modules', name), { recursive: true });
  }
  assert.deepEqual((await readdir(join(project, 'node_modules'))).filter((name) => !/^(\.|react|@types|csstype)/.test(name)).sort(), ['@scoreboard', 'eventsource-parser']);
  await writeFile(join(project, 'game.ts'), `
    import { Scoreboard, ScoreboardError, type Live, type TopState } from '@scoreboard/client';
    import { useLeaderboard, useStanding } from '@scoreboard/client/react';
    import { ScoreBoard } from '@scoreboard/client/element';

    const sb = new Scoreboard({ url: process.env['URL']!, token: async () => process.env['TOKEN']! });
    const receipt = await sb.scores.submit({ actionId: 'main-points', userId: 'u-17', value: 7 });
    const top: Live<TopState> = sb.leaderboard('main').top({ limit: 10, hz: 2 });
    const leave = top.subscribe(() => {
      const { entries, version, status } = top.getSnapshot();
      if (status !== 'live' || version === null) return;
      console.log(JSON.stringify({ rank: receipt.rank, first: entries[0]?.userId }));
      leave();
    });
    export const hooks = (): [TopState['entries'], number | undefined] => [useLeaderboard(sb, { leaderboard: 'main' }).entries, useStanding(sb, 'u-17').entry?.rank];
    export const make = (): ScoreBoard => document.createElement('score-board');
    export const known = (error: unknown): number | null => (error instanceof ScoreboardError ? error.status : null);
  `);
  const options = {
    target: 'ES2022', module: 'NodeNext', moduleResolution: 'NodeNext', lib: ['ES2023', 'DOM', 'DOM.Iterable'], strict: true, exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true, skipLibCheck: false, types: ['node'], typeRoots: [join(root, 'node_modules/@types')], outDir: 'out',
  };
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['game.ts'] }));
  await run(bin('tsc'), ['--project', project]).catch((error) => assert.fail(error.stdout));
  // Hooks are for browsers: what runs here is the rest. The element is nothing here, and does no harm.
  const program = (await readFile(join(project, 'out/game.js'), 'utf8')).replace(/^import .*react';$/gm, '') + "import '@scoreboard/client/element';\n";
  await writeFile(join(project, 'game.mjs'), program);
  const played = await run(process.execPath, ['game.mjs'], { cwd: project, env: { ...process.env, URL: server.url, TOKEN: token() } });
  assert.deepEqual(JSON.parse(played.stdout), { rank: 1, first: 'u-17' });
});

test('the React hooks work under StrictMode, with one stream each, and leave none behind', async () => {
  const { outputFiles } = await build({
    absWorkingDir: root, bundle: true, format: 'esm', write: false, define: { 'process.env.NODE_ENV': '"development"' }, jsx: 'automatic',
    stdin: {
      resolveDir: root, loader: 'tsx', contents: `
        import { StrictMode, useState } from 'react';
        import { createRoot } from 'react-dom/client';
        import { Scoreboard } from './src/index.ts';
        import { useLeaderboard, useStanding } from './src/react.ts';
        const sb = new Scoreboard({ url: ${JSON.stringify(server.url)} });
        function Board() {
          const { entries, status } = useLeaderboard(sb, { leaderboard: 'main', limit: 10, hz: 10 });
          const { entry } = useStanding(sb, 'ada', { leaderboard: 'main', hz: 10 });
          return <><p>{status} {entry?.rank}</p><table><tbody>{entries.map((row) => <tr key={row.userId} data-user={row.userId}>
            <td className="sb-rank">{row.rank}</td><td className="sb-score">{row.score}</td></tr>)}</tbody></table></>;
        }
        function App() {
          const [shown, show] = useState(true);
          window.toggle = () => show((now) => !now);
          return shown ? <Board /> : null;
        }
        createRoot(document.getElementById('root')).render(<StrictMode><App /></StrictMode>);`,
    },
  });
  const other = await site({ '/': '<!doctype html><title>React</title><div id="root"></div><script type="module" src="/app.js"></script>', '/app.js': outputFiles[0].text });
  const chromium = await browser();
  try {
    const page = await open(chromium, other.url);
    await shows(page, server, 'main');
    await until('one stream for the window, one for the standing', async () => (await server.watchers('main')) === 2);
    await server.score('main', 'grace', 50);
    await shows(page, server, 'main');
    await until('the own rank', () => page.evaluate(() => document.querySelector('p').textContent === 'live 3'));
    await page.evaluate(() => window.toggle());
    await until('none is left', async () => (await server.watchers('main')) === 0);
    await page.evaluate(() => window.toggle());
    await shows(page, server, 'main');
    assert.deepEqual(page.said, []);
  } finally {
    await chromium.close();
    await other.stop();
  }
});

test('the examples show a live leaderboard', async () => {
  const folder = join(root, 'examples');
  const at = (text) => text.replaceAll('http://127.0.0.1:8080', server.url);
  const read = async (name) => at(await readFile(join(folder, name), 'utf8'));
  const bundle = async (name) => {
    const plugins = [{ name: 'example', setup({ onLoad }) { onLoad({ filter: new RegExp(`examples/${name}$`) }, async () => ({ contents: await read(name), loader: 'tsx' })); } }];
    const alias = { '@scoreboard/client/react': './src/react.ts', '@scoreboard/client': './src/index.ts' };
    const made = await build({ absWorkingDir: root, entryPoints: [`examples/${name}`], bundle: true, format: 'esm', write: false, jsx: 'automatic', alias, plugins });
    return made.outputFiles[0].text;
  };
  const chromium = await browser();
  const pages = { '/plain.html': await read('plain.html'), '/styled.html': await read('styled.html'), '/styled.css': await read('styled.css'), '/styled.js': await read('styled.js') };
  const sites = [await site(pages)];
  try {
    for (const name of ['plain', 'styled']) {
      const page = await open(chromium, `${sites[0].url}/${name}.html`);
      await shows(page, server, 'main', name === 'styled' ? 5 : 10);
      assert.deepEqual(page.said, []);
      await page.close();
    }
    for (const name of ['vanilla.ts', 'react.tsx']) {
      const own = await site({ '/': await read('index.html'), '/app.js': await bundle(name) });
      sites.push(own);
      const page = await open(chromium, `${own.url}/`);
      await until(`${name} shows ada`, () => page.evaluate(() => document.body.textContent.includes('ada')));
      assert.deepEqual(page.said, []);
      await page.close();
    }
  } finally {
    await chromium.close();
    for (const each of sites) await each.stop();
  }
});
