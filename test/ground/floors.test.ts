import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize, sep } from 'node:path';
import { expect } from 'chai';
import { root } from '../support/root.ts';

const ground = ['runtime/core', 'runtime/log', 'runtime/redis'];
const rooms = [
  'runtime/service',
  'runtime/deploy',
  'runtime/config',
  'runtime/security',
  'runtime/kvdb',
  'runtime/invocation',
  'runtime/pubsub',
  'runtime/delivery',
  'runtime/schedule',
  'runtime/journey',
  'runtime/process',
  'runtime/admin',
];
const doors = [
  'channels/http',
  'channels/websocket',
  'channels/channel-type.ts',
  'channels/pubsub/rest',
  'channels/pubsub/websocket',
  'channels/pubsub/zato2',
  'channels/pubsub/zato3',
  'channels/pubsub/zato4',
  'channels/admin',
  'outgoing/http',
  'outgoing/pushover',
];
const everything = [...ground, ...rooms, ...doors];

/** Each floor may import itself and the floors in its list; nothing else. Types too. */
const floors: Readonly<Record<string, readonly string[]>> = {
  'runtime/core': [],
  'runtime/log': ['runtime/core'],
  'runtime/redis': ['runtime/core', 'runtime/log'],

  'runtime/service': ground,
  'runtime/deploy': [...ground, 'runtime/service'],
  'runtime/config': ground,
  'runtime/security': ground,
  'runtime/kvdb': ground,
  'runtime/invocation': ground,
  'runtime/pubsub': ground,
  'runtime/delivery': [...ground, 'runtime/pubsub'],
  'runtime/schedule': ground,
  'runtime/journey': ground,
  'runtime/process': ground,
  'runtime/admin': [...ground, ...rooms],

  'channels/http': [...ground, ...rooms],
  'channels/websocket': [...ground, ...rooms],
  // One type of definition for channels of every kind.
  'channels/channel-type.ts': [...ground, ...rooms, 'channels/http', 'channels/websocket'],
  // What the REST doors share.
  'channels/pubsub/rest': [...ground, ...rooms],
  'channels/pubsub/websocket': [...ground, ...rooms],
  'channels/pubsub/zato2': [...ground, ...rooms, 'channels/pubsub/rest'],
  'channels/pubsub/zato3': [...ground, ...rooms, 'channels/pubsub/rest'],
  'channels/pubsub/zato4': [...ground, ...rooms, 'channels/pubsub/rest'],
  'channels/admin': [...ground, ...rooms],
  'outgoing/http': [...ground, ...rooms],
  'outgoing/pushover': [...ground, ...rooms],

  // The stand-ins by kind: the roof's list, kept beside what it lists.
  'outgoing/standins.ts': [...ground, 'runtime/admin', 'outgoing/pushover'],

  // The roof knows everyone, and nobody knows the roof.
  // The authoring API too: it hands the live copy to the services.
  'runtime/roof': [...everything, 'outgoing/standins.ts', 'runtime/index.ts', 'runtime/testing.ts'],
  'runtime/control.ts': [...everything, 'runtime/roof'],
  'runtime/worker.ts': [...everything, 'runtime/roof'],
  'runtime/index.ts': ['runtime/core', 'runtime/log', 'runtime/service'],
  'runtime/testing.ts': ['runtime/core', 'runtime/log', 'runtime/service', 'runtime/kvdb'],

  services: [],
  // The command is a client of the admin API, and starts the platform.
  'admin-cli': ['runtime/core', 'runtime/admin', 'runtime/control.ts', 'outgoing/pushover'],
};

interface Import {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

describe('Floors', () => {
  let files: readonly string[];
  let imports: readonly Import[];

  before(async () => {
    const tops = ['runtime', 'channels', 'outgoing', 'services', 'admin-cli'];
    files = (await Promise.all(tops.map(filesIn))).flat();
    imports = (await Promise.all(files.map(importsOf))).flat();
  });

  it('has every file in a folder of the table', () => {
    expect(files.filter((file) => floorOf(file) === undefined)).to.deep.equal([]);
    expect(imports.length).to.be.greaterThan(files.length);
  });

  it('has no folder in the table that does not exist', () => {
    const used = new Set(files.map(floorOf));
    expect(Object.keys(floors).filter((floor) => !used.has(floor))).to.deep.equal([]);
  });

  it('imports only downwards', () => {
    const wrong = imports.filter(({ from, to }) => from !== to && !floors[from]?.includes(to));
    expect(wrong.map(({ file, to }) => `${file} imports ${to}`)).to.deep.equal([]);
  });

  it('imports nothing from the tests, and the services nothing but hence and packages', () => {
    const outside = imports.filter(({ to }) => !(to in floors));
    expect(outside.map(({ file, to }) => `${file} imports ${to}`)).to.deep.equal([]);
  });
});

async function filesIn(top: string): Promise<string[]> {
  const entries = await readdir(join(root, top), { recursive: true });
  return entries
    .filter((name) => name.endsWith('.ts') && !name.split(sep).includes('node_modules'))
    .map((name) => `${top}/${name.split(sep).join('/')}`);
}

/** The longest entry of the table that holds the file. */
function floorOf(file: string): string | undefined {
  return Object.keys(floors)
    .filter((floor) => file === floor || file.startsWith(`${floor}/`))
    .sort((one, other) => other.length - one.length)[0];
}

async function importsOf(file: string): Promise<Import[]> {
  const source = await readFile(join(root, file), 'utf8');
  return specifiers(source)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => {
      const target = normalize(join(dirname(file), specifier))
        .split(sep)
        .join('/');
      return { file, from: floorOf(file) ?? file, to: floorOf(target) ?? target };
    });
}

/** `from '...'` of imports and exports, types included, `import '...'` and `import('...')`, also in types. */
function specifiers(source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const pattern = /\b(?:from\s*|import\s*\(?\s*)(['"])([^'"\n]+)\1/g;
  return [...code.matchAll(pattern)].map((match) => match[2] ?? '');
}
