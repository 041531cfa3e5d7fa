import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { kebabCase } from '../../runtime/core/name.ts';
import { Deployer, type DeployerOptions } from '../../runtime/deploy/deployer.ts';
import type {
  DeployFailure,
  DeployReport,
  Fleet,
  Prepared,
  PreparedService,
  Root,
  Transaction,
  Unit,
} from '../../runtime/deploy/unit.ts';
import type { Facts, Logger } from '../../runtime/log/logger.ts';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly facts: Facts;
}

class Lines implements Logger {
  readonly lines: Line[] = [];
  readonly debugging = false;
  debug(): void {}
  info(message: string, facts: Facts = {}): void {
    this.lines.push({ level: 'info', message, facts });
  }
  warn(message: string, facts: Facts = {}): void {
    this.lines.push({ level: 'warn', message, facts });
  }
  error(message: string, facts: Facts = {}): void {
    this.lines.push({ level: 'error', message, facts });
  }
  child(): Logger {
    return this;
  }
}

/** Answers like a worker, by reading the compiled code instead of running it. */
class Shelf implements Fleet {
  readonly canaries: Transaction[] = [];
  readonly prepared: Transaction[] = [];
  readonly commits: { transaction: Transaction; roots: readonly string[] }[] = [];
  readonly aborted: number[] = [];
  readonly units = new Map<string, Unit>();
  readonly roots = new Map<string, Root>();
  /** Awaited by each canary. */
  gate: () => Promise<void> = () => Promise.resolve();
  broken: string | undefined;

  async canary(transaction: Transaction): Promise<Prepared> {
    this.canaries.push(transaction);
    await this.gate();
    return this.#answer(transaction);
  }

  prepare(transaction: Transaction): Promise<readonly Prepared[]> {
    if (this.broken !== undefined) return Promise.reject(new Error(this.broken));
    this.prepared.push(transaction);
    return Promise.resolve([this.#answer(transaction), this.#answer(transaction)]);
  }

  commit(transaction: Transaction, roots: readonly string[]): Promise<void> {
    this.commits.push({ transaction, roots });
    for (const path of transaction.undeploy) this.roots.delete(path);
    for (const path of transaction.removed) this.units.delete(path);
    for (const unit of transaction.units) this.units.set(unit.path, unit);
    for (const root of transaction.roots)
      if (roots.includes(root.path)) this.roots.set(root.path, root);
    return Promise.resolve();
  }

  abort(transaction: Transaction): Promise<void> {
    this.aborted.push(transaction.id);
    return Promise.resolve();
  }

  #answer(transaction: Transaction): Prepared {
    const services: PreparedService[] = [];
    const failures: (DeployFailure & { path: string })[] = [];
    const given = new Map(transaction.units.map((unit) => [unit.path, unit]));
    for (const { path, file } of transaction.roots) {
      const code = (given.get(path) ?? this.units.get(path))?.code;
      const [, kind] = /"worker says (constructor|timeout|exit)"/.exec(code ?? '') ?? [];
      if (code === undefined)
        failures.push({ path, file, kind: 'import', message: 'no such unit' });
      else if (kind !== undefined) {
        const message = `${file} did it: ${kind}`;
        failures.push({
          path,
          file,
          kind: kind as DeployFailure['kind'],
          message,
          line: 2,
          column: 3,
        });
      } else services.push(...servicesOf(path, code));
    }
    return { id: transaction.id, services, failures };
  }
}

function servicesOf(path: string, code: string): PreparedService[] {
  const stem = basename(path).replace(/\.\w+$/, '');
  return [...code.matchAll(/^var (\w+) = class (?:\w+ )?extends [\w.]*Service\b[\s\S]*?^};/gm)].map(
    ([text, className = '']) => {
      const [, given] = /static serviceName = "(.*?)"/.exec(text) ?? [];
      return {
        name: given ?? `${stem}.${kebabCase(className)}`,
        className,
        path,
        about: { className },
      };
    },
  );
}

export interface Project {
  readonly dir: string;
  readonly shelf: Shelf;
  readonly log: Lines;
  readonly deployer: Deployer;
  readonly reports: DeployReport[];
  path(file: string): string;
  write(file: string, text: string | Buffer): Promise<void>;
  /** The first report from now on, or of those not taken yet. */
  next(): Promise<DeployReport>;
  /** Names of the services that serve. */
  names(): string[];
  stop(): Promise<void>;
}

export async function tempDir(): Promise<string> {
  return realpath(await mkdtemp(join(tmpdir(), 'hence-deploy-')));
}

/** A project with these files, deployed and watched. */
export async function project(
  files: Readonly<Record<string, string>>,
  options: Partial<DeployerOptions> & { readonly dir?: string } = {},
): Promise<Project> {
  const dir = options.dir ?? (await tempDir());
  const path = (file: string) => join(dir, file);
  const write = async (file: string, text: string | Buffer) => {
    await mkdir(dirname(path(file)), { recursive: true });
    await writeFile(path(file), text);
  };
  await mkdir(path('services'), { recursive: true });
  for (const [file, text] of Object.entries(files)) await write(file, text);
  const shelf = new Shelf();
  const log = new Lines();
  const reports: DeployReport[] = [];
  let taken = 0;
  let wake = () => {};
  const deployer = new Deployer({
    servicesDir: path('services'),
    projectDir: dir,
    cacheDir: path('.hence/cache'),
    fleet: shelf,
    log,
    ...options,
    onReport: (report) => {
      reports.push(report);
      wake();
    },
  });
  await deployer.start();
  await deployer.load();
  taken = reports.length;
  return {
    dir,
    shelf,
    log,
    deployer,
    reports,
    path,
    write,
    names: () => deployer.services().map((one) => one.name),
    async next() {
      while (reports.length <= taken) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const report = reports[taken++];
      if (report === undefined) throw new Error('no report');
      return report;
    },
    async stop() {
      await deployer.stop();
      if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    },
  };
}

export async function until(holds: () => boolean): Promise<void> {
  const end = Date.now() + 5_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`Not in 5 s: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A service file with one class. */
export function service(className: string, body = "'one'", head = ''): string {
  return `import { Service } from 'hence';\n${head}export class ${className} extends Service {\n  handle() { return ${body}; }\n}\n`;
}
