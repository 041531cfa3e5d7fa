// Runs before `npm start` and `npm test`, with plain Node and no dependency: there may be no node_modules yet.
// It also has to load on an old Node, to say that it is too old: nothing newer than Node 14 in the syntax.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installRedis, needsRedis } from './prepare-redis.mjs';
import { failed, Refusal, run, step } from './prepare-step.mjs';

const minimumNode = [20, 19];
const sources = ['runtime', 'channels', 'outgoing', 'admin-cli', 'test'];
const settings = ['package.json', 'tsconfig.json', 'tsconfig.build.json'];
const stamp = 'dist/.built';
const lockFile = '.hence/prepare.lock';

/** Makes the clone ready to run; does nothing, and says nothing, when it is. */
export async function prepare(host) {
  checkNode(host);
  if (isReady(host)) return;
  await withLock(host, async () => {
    if (dependenciesAreOld(host)) await installDependencies(host);
    if (buildIsOld(host)) await build(host);
    if (needsRedis(host)) await installRedis(host);
  });
}

function isReady(host) {
  return !(dependenciesAreOld(host) || buildIsOld(host) || needsRedis(host));
}

function checkNode({ nodeVersion }) {
  const [major, minor] = nodeVersion.split('.').map(Number);
  if (major > minimumNode[0] || (major === minimumNode[0] && minor >= minimumNode[1])) return;
  throw new Refusal([
    failed('node', `${nodeVersion} is too old: ${minimumNode.join('.')} or newer is needed`),
    '      get it from https://nodejs.org or your version manager, then run the command again',
  ]);
}

function dependenciesAreOld({ root }) {
  const installed = changed(path.join(root, 'node_modules/.package-lock.json'));
  return installed === 0 || installed < changed(path.join(root, 'package-lock.json'));
}

async function installDependencies(host) {
  // A global "omit dev" would leave out the compiler.
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  await step(host, 'dependencies', async () => {
    await must(host, 'dependencies', ...npm(host, args));
    const lock = path.join(host.root, 'node_modules/.package-lock.json');
    // Not every npm writes it last; its age is what the next start compares.
    fs.utimesSync(lock, new Date(), new Date());
    return `${Object.keys(JSON.parse(fs.readFileSync(lock, 'utf8')).packages).length} packages`;
  });
}

function buildIsOld({ root }) {
  const built = changed(path.join(root, stamp));
  if (built === 0) return true;
  return (
    settings.some((file) => changed(path.join(root, file)) > built) ||
    sources.some((folder) => hasNewer(path.join(root, folder), built))
  );
}

/** A folder's own time tells of files that were removed. */
function hasNewer(folder, time) {
  if (changed(folder) > time) return true;
  return list(folder).some((entry) => {
    const file = path.join(folder, entry.name);
    return entry.isDirectory() ? hasNewer(file, time) : changed(file) > time;
  });
}

async function build(host) {
  // What is saved while the compiler runs is newer than the stamp.
  const started = new Date();
  await step(host, 'build', async () => {
    for (const folder of sources) removeOrphans(host.root, folder);
    await must(host, 'build', ...npm(host, ['run', '--silent', 'build']));
    const file = path.join(host.root, stamp);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, '');
    fs.utimesSync(file, started, started);
    return 'compiled';
  });
}

/** Removes what was compiled from a source that is gone: a deleted test must not run. */
function removeOrphans(root, folder) {
  for (const entry of list(path.join(root, 'dist', folder))) {
    const name = path.join(folder, entry.name);
    // The bundled command has no source of its own name, and clears up after itself.
    if (folder === 'admin-cli' && /^hence[.-]/.test(entry.name)) continue;
    if (entry.isDirectory()) removeOrphans(root, name);
    else if (name.endsWith('.js.map') && !fs.existsSync(path.join(root, sourceOf(name)))) {
      const base = path.join(root, 'dist', name.slice(0, -'.js.map'.length));
      for (const end of ['.js', '.js.map', '.d.ts']) fs.rmSync(base + end, { force: true });
    }
  }
}

function sourceOf(map) {
  return `${map.slice(0, -'.js.map'.length)}.ts`;
}

function npm({ env }, args) {
  return env.npm_execpath ? [process.execPath, [env.npm_execpath, ...args]] : ['npm', args];
}

async function must(host, name, command, args) {
  const { code, output } = await run(host, command, args);
  if (code === 0) return;
  throw new Refusal([failed(name, `failed (exit code ${code})`), output.trimEnd()]);
}

/** Two terminals at once: one prepares, the other waits and then finds nothing to do. */
async function withLock(host, work) {
  const file = path.join(host.root, lockFile);
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  for (let told = false; !claim(file); told = true) {
    if (!told) host.write('  … another npm start or npm test prepares this folder, waiting\n');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  try {
    await work();
  } finally {
    fs.rmSync(file, { force: true });
  }
}

function claim(file) {
  try {
    fs.writeFileSync(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (thrown) {
    if (thrown.code !== 'EEXIST') throw thrown;
    if (!ownerLives(file)) fs.rmSync(file, { force: true });
    return false;
  }
}

function ownerLives(file) {
  try {
    const pid = Number(fs.readFileSync(file, 'utf8'));
    // Empty: made this moment and not yet written. A minute later: left by a crash in between.
    if (pid === 0) return Date.now() - changed(file) < 60000;
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return thrown.code === 'EPERM';
  }
}

/** When a file changed, in ms; 0 when there is none. */
function changed(file) {
  const facts = fs.statSync(file, { throwIfNoEntry: false });
  return facts === undefined ? 0 : facts.mtimeMs;
}

function list(folder) {
  return fs.existsSync(folder) ? fs.readdirSync(folder, { withFileTypes: true }) : [];
}

function thisHost() {
  return {
    root: path.join(path.dirname(fileURLToPath(import.meta.url)), '..'),
    env: process.env,
    nodeVersion: process.versions.node,
    uid: process.getuid ? process.getuid() : -1,
    write: (text) => process.stdout.write(text),
    tty: Boolean(process.stdout.isTTY),
    policyFile: '/usr/sbin/policy-rc.d',
  };
}

function isEntry() {
  return (
    process.argv[1] !== undefined &&
    fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)
  );
}

if (isEntry()) {
  prepare(thisHost()).catch((thrown) => {
    console.error(thrown instanceof Refusal ? thrown.message : thrown);
    process.exitCode = 1;
  });
}
