import { relative } from 'node:path';
import process from 'node:process';
import type { Writable } from 'node:stream';
import { formatDuration } from '../core/duration.ts';
import type { DeployReport } from '../deploy/unit.ts';
import type { RedisHome } from './redis-home.ts';

/** What a person reads at a start: a line for each part, the addresses, and the next step. */
export class Banner {
  readonly #out: Writable | undefined;

  /** Without `out` nothing is said: the log has it all. */
  constructor(out: Writable | undefined) {
    this.#out = out;
  }

  say(text: string): void {
    this.#line(text);
  }

  title(version: string): void {
    this.#out?.write(`\n  hence ${version} · Node ${process.versions.node}\n`);
  }

  redis(redis: RedisHome, dataDir: string): void {
    const where = redis.embedded
      ? `started redis ${redis.version ?? ''}, data in ${relative(process.cwd(), dataDir) || dataDir}/redis`
      : `using ${redis.shown}`;
    this.#part('redis', where);
  }

  config(text: string): void {
    this.#part('config', text);
  }

  services(report: DeployReport, servicesDir: string): void {
    const names = report.deployed.map(({ name }) => name);
    const shown = names.length > 6 ? `${names.slice(0, 6).join(' · ')} · ...` : names.join(' · ');
    const where = relative(process.cwd(), servicesDir) || servicesDir;
    this.#part(
      'services',
      names.length === 0
        ? `none in ${where} yet: drop a file in`
        : `${names.length} deployed  ${shown}  ${formatDuration(report.ms)}`,
    );
  }

  ready(urls: {
    readonly channelsUrl: string;
    readonly adminUrl: string;
    /** The default port, when it was taken. */
    readonly movedFrom: number | undefined;
  }): void {
    if (urls.movedFrom !== undefined) {
      this.#line(`port ${urls.movedFrom} is taken: using the next free one`);
    }
    this.#out?.write(`\n  channels   ${urls.channelsUrl}        admin   ${urls.adminUrl}\n`);
    this.#out?.write('\n  next   npx hence status        stop   Ctrl-C\n\n');
  }

  #part(name: string, text: string): void {
    this.#line(`✔ ${name.padEnd(14)} ${text}`);
  }

  #line(text: string): void {
    this.#out?.write(`  ${text}\n`);
  }
}
