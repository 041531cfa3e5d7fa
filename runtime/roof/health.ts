import process from 'node:process';
import type { Readiness, Status } from '../admin/api.ts';
import type { DefinitionStore } from '../config/store.ts';
import type { Deployer } from '../deploy/deployer.ts';
import type { RedisHome } from './redis-home.ts';
import { version } from './version.ts';
import type { WorkerStaff } from './worker-staff.ts';

export interface HealthOptions {
  readonly redis: RedisHome;
  readonly deployer: Deployer;
  readonly staff: WorkerStaff;
  /** What changes while it starts and stops. */
  readonly now: () => {
    readonly definitions: DefinitionStore | undefined;
    readonly deployed: boolean;
    readonly stopping: boolean;
    readonly channelsUrl: string;
    readonly adminUrl: string;
  };
}

/** How the whole is doing, as the admin API tells it. */
export class Health {
  readonly #options: HealthOptions;
  readonly #startedAt = performance.now();

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  async status(): Promise<Status> {
    const { redis, deployer, staff, now } = this.#options;
    const [{ ready, reasons }, up] = await Promise.all([this.readiness(), redis.answers()]);
    const { definitions, deployed, channelsUrl, adminUrl } = now();
    const failures = deployed ? [...deployer.failures().values()] : [];
    return {
      version: version(),
      node: process.versions.node,
      pid: process.pid,
      uptimeMs: Math.round(performance.now() - this.#startedAt),
      ready,
      reasons,
      channelsUrl,
      adminUrl,
      redis: {
        url: redis.shown,
        embedded: redis.embedded,
        up,
        ...(redis.version === undefined ? {} : { version: redis.version }),
      },
      revision: definitions?.revision ?? 0,
      services: { deployed: deployer.services().length, failed: failures.length },
      failures,
      workers: staff.views(),
      replaced: staff.pool.replaced,
    };
  }

  async readiness(): Promise<Readiness> {
    const { redis, staff, now } = this.#options;
    const redisAnswers = await redis.answers();
    const { definitions, deployed, stopping } = now();
    const store = definitions?.status();
    const reasons = [
      stopping && 'it is stopping',
      !redisAnswers && 'redis does not answer',
      store?.lost && `redis was ${store.lost}: the last known definitions serve on`,
      !store?.loaded && 'the definitions are not loaded',
      store?.loaded && !store.up && 'the definitions cannot be read again',
      !deployed && 'the services are not loaded',
      staff.pool.serving().length === 0 && 'no worker serves',
    ].filter((reason) => typeof reason === 'string');
    return { ready: reasons.length === 0, reasons };
  }
}
