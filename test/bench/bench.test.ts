import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { plainEnv } from '../support/system.ts';

interface Outcome {
  readonly code: number | null;
  readonly text: string;
}

async function bench(...words: readonly string[]): Promise<Outcome> {
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const child = spawn(process.execPath, [main, ...words], {
    env: plainEnv({ HENCE_BENCH_CHILD: '1' }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes) => {
      text += String(bytes);
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, text };
}

/** The names of the lines that compare a figure with its goal. */
function figuresIn(text: string): readonly string[] {
  return [...text.matchAll(/^(.+?) +[\d.]+(?: [a-zA-Z%]+)? +goal [<>]= .+ (?:ok|MISSED)/gm)].map(
    ([, name = '']) => name,
  );
}

/** A ratio is taken of the CPU time used, and of the time that went by. */
function byBoth(name: string): readonly string[] {
  return [`${name}, by CPU time`, `${name}, by the clock`];
}

describe('npm run bench', function () {
  this.timeout(60_000);

  for (const [group, figures] of [
    [
      'channel',
      [
        'channel / koa, request lines off, by CPU time',
        'channel / koa, request lines off, by the clock',
        'channel / koa, request lines on, by CPU time',
        'channel / koa, request lines on, by the clock',
        '200 channels / 2, exact paths, by CPU time',
        '200 channels / 2, exact paths, by the clock',
        '200 channels / 2, {param} paths, by CPU time',
        '200 channels / 2, {param} paths, by the clock',
      ],
    ],
    [
      'deploy',
      [
        'save -> live / (20 ms + bare build), median',
        'save -> live, p99 / median',
        'save -> live, 20 services / 1, median',
        'helper of 20 services / one service',
        'helper edit: longest event-loop stall, median',
        'start with 20 services, warm cache',
      ],
    ],
    [
      'pubsub',
      [
        ...byBoth('publish / Queue.add, 16 in flight'),
        ...byBoth('publish / Queue.add, 64 in flight'),
        ...byBoth('fan-out to 10 / FlowProducer.addBulk'),
        ...byBoth('fan-out to 10 / FlowProducer.add'),
        ...byBoth('fan-out to 10 / 10 x Queue.add'),
        ...byBoth('take and ack of 100 / next job, completed'),
        ...byBoth('publish / Queue.add, 64 in flight, AOF always'),
        ...byBoth('push to a service / a Worker, a job each'),
        'bytes of Redis for a 200-byte message, 20,000',
        'publish with 20,000 queued / with 1,000',
        'take with 20,000 queued / with 1,000',
        ...byBoth('REST publish / channel'),
        'redelivery after a worker was killed, longest',
        'Redis connections for 200 subscriptions',
        'idle CPU with 200 subscriptions',
      ],
    ],
    [
      'redeploy',
      [
        'failed replies',
        'mixed replies',
        'replies older than the one before',
        'heap growth of a worker after gc',
        'retired versions reachable in a worker',
      ],
    ],
    [
      'start',
      [
        'hence status (node admin-cli/hence.mjs)',
        'hence status (.bin)',
        'start to the first served request',
      ],
    ],
    [
      'websocket',
      [
        ...byBoth('invoke-service / ws echo, one at a time'),
        ...byBoth('invoke-service / ws echo, 16 ahead'),
        ...byBoth('delivery to 100 sockets / ws'),
      ],
    ],
  ] as const) {
    it(`measures every figure of "${group}" without an error`, async () => {
      const { code, text } = await bench(group, '--quick');
      expect(figuresIn(text), text).to.deep.equal([...figures]);
      expect(text).to.match(/^node +\d+\.\d+.*\ncpu .*\nredis +\d/);
      expect(code, text).to.equal(0);
    });
  }

  it('ends with 2 for a group that there is not', async () => {
    const { code, text } = await bench('nonsense');
    expect([code, text]).to.deep.equal([
      2,
      'error  No such group: nonsense (there are channel, deploy, pubsub, redeploy, start, websocket)\n',
    ]);
  });
});
