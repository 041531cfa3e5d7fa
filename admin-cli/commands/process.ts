import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Status, WorkerView } from '../../runtime/admin/api.ts';
import { examples } from '../definition.ts';
import { CliError, failureText } from '../errors.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { bytes, cell, count, span } from '../format.ts';
import type { Output } from '../output.ts';
import { paint } from '../paint.ts';
import { act, type Call } from '../session.ts';

const stopTimeoutMs = 60_000;
const stopPollMs = 50;

export function addStop(command: Command): void {
  command
    .description('let calls in flight end, then stop the running Hence; waits until it is gone')
    .addHelpText('after', examples(['hence stop', 'hence stop --timeout 5m']))
    .action(act(stop));
}

async function stop({ session }: Call): Promise<ExitCode> {
  const { client } = session;
  const { endpoint } = client;
  await client.send('POST', '/api/stop');
  const timeoutMs = session.flags.timeout ?? stopTimeoutMs;
  const deadline = performance.now() + timeoutMs;
  const running = endpoint.pid === undefined ? () => answers(call) : () => alive(endpoint.pid ?? 0);
  const call = (): Promise<unknown> => client.text('GET', '/healthz', { timeoutMs: 2_000 });
  while (await running()) {
    if (performance.now() > deadline) {
      throw new CliError(exitCode.timeout, `It is still stopping after ${span(timeoutMs)}`, {
        fix: endpoint.pid === undefined ? 'hence status' : `kill -9 ${endpoint.pid}`,
      });
    }
    await sleep(stopPollMs);
  }
  await session.out.done('stopped', 'stopped', { stopped: true });
  return exitCode.ok;
}

/** Whether a process on this machine is still there. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function answers(call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call();
    return true;
  } catch (error) {
    return !(error instanceof CliError) || error.exitCode !== exitCode.unreachable;
  }
}

export function addStatus(command: Command): void {
  command
    .description('what runs, on one screen; exit code 9 when it is not ready')
    .addHelpText('after', examples(['hence status', 'hence status -o json']))
    .action(
      act(async ({ session }) => {
        const status = await session.client.get<Status>('/api/status');
        await session.out.one(status, {
          name: status.ready ? 'ready' : 'not-ready',
          text: () => statusText(session.out, status),
        });
        return status.ready ? exitCode.ok : exitCode.unhealthy;
      }),
    );
}

async function statusText(out: Output, status: Status): Promise<string> {
  const { redis, services } = status;
  const state = status.ready ? paint('green', 'ready') : paint('red', 'NOT READY');
  const about = [
    `hence ${status.version}`,
    `Node ${status.node.replace(/^v/, '')}`,
    `pid ${status.pid}`,
    `up ${span(status.uptimeMs)}`,
    state,
  ];
  const failed = `${count(services.failed)} ${services.failed > 0 ? 'FAILED' : 'failed'}`;
  const facts = await out.facts({
    channels: status.channelsUrl,
    admin: status.adminUrl,
    redis: redisText(redis),
    revision: status.revision,
    services: `${count(services.deployed)} deployed, ${failed}`,
    workers: `${count(status.workers.length)}, ${count(status.replaced)} replaced`,
  });
  const reasons = status.reasons.map((reason) => `not ready: ${cell(reason)}`);
  const lines = [about.join(' · '), ...reasons, '', facts, '', await workersText(status.workers)];
  for (const failure of status.failures) lines.push('', failureText(failure));
  return lines.join('\n');
}

function redisText(redis: Status['redis']): string {
  const version = redis.version === undefined ? '' : ` ${redis.version}`;
  const whose = redis.embedded ? 'its own' : 'external';
  return `${redis.up ? 'up' : 'DOWN'}${version}, ${whose}, ${redis.url}`;
}

async function workersText(workers: readonly WorkerView[]): Promise<string> {
  const { table } = await import('../table.ts');
  return table({
    head: ['WORKER', 'PID', 'STATE', 'UP', 'SERVED', 'IN FLIGHT', 'MEMORY', 'STALL'],
    right: [1, 3, 4, 5, 6, 7],
    rows: workers.map((worker) => [
      String(worker.id),
      String(worker.pid),
      worker.state === 'dead' ? paint('red', 'DEAD') : worker.state,
      span(worker.uptimeMs),
      count(worker.served),
      count(worker.inFlight),
      bytes(worker.rssBytes),
      span(worker.stallMs),
    ]),
  });
}
