import { availableParallelism, cpus, totalmem } from 'node:os';
import process from 'node:process';
import { checkBinary, findRedisBinary } from '../../runtime/redis/version.ts';
import { channelGroup } from './channel.ts';
import { deployGroup } from './deploy.ts';
import { type Group, lineOf, type Report } from './figure.ts';
import { pubsubGroup } from './pubsub.ts';
import { redeployGroup } from './redeploy.ts';
import { startGroup } from './start.ts';
import { websocketGroup } from './websocket.ts';

const groups: Readonly<Record<string, Group>> = {
  channel: channelGroup,
  deploy: deployGroup,
  pubsub: pubsubGroup,
  redeploy: redeployGroup,
  start: startGroup,
  websocket: websocketGroup,
};

/** `npm run bench -- [channel] [deploy] [pubsub] [redeploy] [start] [websocket] [--quick]`: 1 for errors, never for a missed goal. */
async function main(words: readonly string[]): Promise<number> {
  const quick = words.includes('--quick');
  const asked = words.filter((word) => !word.startsWith('--'));
  const unknown = words.find((word) => word !== '--quick' && !Object.hasOwn(groups, word));
  if (unknown !== undefined) {
    console.error(`error  No such group: ${unknown} (there are ${Object.keys(groups).join(', ')})`);
    return 2;
  }
  await sayEnvironment();
  const errors: string[] = [];
  for (const [name, group] of Object.entries(groups)) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    await runGroup(name, group, { quick, errors });
  }
  for (const error of errors) console.log(`ERROR  ${error}`);
  console.log(errors.length === 0 ? '\nno errors' : `\n${errors.length} errors`);
  return errors.length === 0 ? 0 : 1;
}

async function runGroup(
  name: string,
  group: Group,
  { quick, errors }: { readonly quick: boolean; readonly errors: string[] },
): Promise<void> {
  const startedAt = performance.now();
  const report: Report = {
    quick,
    figure: (figure) => console.log(lineOf(figure)),
    note: (text) => console.log(`  ${text}`),
    error: (sentence) => errors.push(`${name}: ${sentence}`),
  };
  console.log(`\n${name}`);
  try {
    await group(report);
  } catch (error) {
    report.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  console.log(`  (${((performance.now() - startedAt) / 1_000).toFixed(0)} s)`);
}

async function sayEnvironment(): Promise<void> {
  const redis = findRedisBinary(process.env['PATH']);
  const gigabytes = (totalmem() / 1024 ** 3).toFixed(1);
  console.log(`node   ${process.versions.node} on ${process.platform} ${process.arch}`);
  console.log(
    `cpu    ${availableParallelism()} x ${cpus()[0]?.model ?? 'unknown'}, ${gigabytes} GB`,
  );
  console.log(`redis  ${redis === undefined ? 'not found' : await checkBinary(redis)}`);
}

process.exitCode = await main(process.argv.slice(2));
