import type { Command } from 'commander';
import type { PublishReply, PublishRequest } from '../../runtime/admin/message-api.ts';
import { examples } from '../definition.ts';
import { CliError, errorText, usage } from '../errors.ts';
import { type ExitCode, exitCode } from '../exit-code.ts';
import { cell, count } from '../format.ts';
import { readSource } from '../input.ts';
import { paint } from '../paint.ts';
import { Progress } from '../progress.ts';
import { readRate } from '../rate.ts';
import { act, type Call, type Options, type Session } from '../session.ts';
import { readNumber } from '../spec.ts';

/** Flags that are keys of the request, as they are. */
const texts = [
  ['--expiration <time>', 'how long it may wait: 30s, 1h, 7d', 'expiration'],
  ['--cid <id>', 'the correlation id of its journey', 'cid'],
  ['--in-reply-to <id>', 'the message or id it answers', 'inReplyTo'],
  ['--ext-client-id <id>', 'whom it is for or from, outside', 'extClientId'],
  ['--correl-id <id>', 'a correlation id of the publisher', 'correlId'],
  ['--pub-time <time>', "the publisher's own time, ISO 8601", 'pubTime'],
  ['--content-type <type>', 'what the data is (application/json)', 'contentType'],
  ['--idempotency-key <key>', 'publish once, however often this is run', 'idempotencyKey'],
] as const;

export function addPublish(parent: Command): void {
  const command = parent
    .command('publish <topic>')
    .description('publish a message, or each line of a file as one')
    .option('-d, --data <json>', "the data: JSON, @file, or '-' for standard input")
    .option('--priority <0-9>', '9 is delivered first (5)');
  for (const [flags, about] of texts) command.option(flags, about);
  command
    .option('--file <ndjson>', "publish each line's JSON value; '-' for standard input")
    .option('--rate <n/s>', 'of --file: so many in a second: 20/s, 100/m')
    .addHelpText(
      'after',
      examples([
        `hence message publish orders.new -d '{"order_id": 1}' --priority 9`,
        'hence message publish reports -d @report.csv --content-type text/csv --expiration 1h',
        'hence message publish orders.new --file orders.ndjson --rate 20/s',
      ]),
    )
    .action(act(publish));
}

async function publish({ session, options }: Call, topic = ''): Promise<ExitCode> {
  const { data, file, rate } = options;
  const meta = metaOf(options, topic);
  if ((typeof data === 'string') === (typeof file === 'string')) {
    throw usage('message publish needs either -d or --file', {
      fix: `hence message publish ${topic} -d '{"name": "value"}'`,
    });
  }
  if (typeof file === 'string') {
    return publishLines(session, meta, await readSource(file), rateOf(rate));
  }
  if (rate !== undefined) throw usage('--rate goes with --file');
  const payload = await payloadOf(String(data), meta.contentType);
  const reply = await send(session, meta, payload);
  await session.out.done(sentenceOf(topic, reply), reply.msgId, reply);
  session.out.hint(paint('dim', `cid ${cell(reply.cid)}`));
  return exitCode.ok;
}

function rateOf(rate: unknown): number | undefined {
  return typeof rate === 'string' ? readRate(rate) : undefined;
}

type Meta = Omit<PublishRequest, 'data' | 'text' | 'base64'>;

function metaOf(options: Options, topic: string): Meta {
  const { priority } = options;
  const given = texts.flatMap(([, , key]) => {
    const value = options[key];
    return typeof value === 'string' ? [[key, value] as const] : [];
  });
  return {
    topic,
    ...(typeof priority === 'string' ? { priority: readNumber(priority) } : {}),
    ...Object.fromEntries(given),
  };
}

/** A member of the request's JSON text. */
type Payload = string;

async function payloadOf(given: string, contentType: string | undefined): Promise<Payload> {
  const fromFile = given === '-' || given.startsWith('@');
  const bytes = fromFile ? await readSource(given.replace(/^@/, '')) : Buffer.from(given);
  if (contentType === undefined || /^application\/(?:[\w.+-]+\+)?json\b/i.test(contentType)) {
    const what = given === '-' ? 'Standard input' : fromFile ? given.slice(1) : '-d';
    return dataMember(bytes.toString('utf8'), what);
  }
  const text = bytes.toString('utf8');
  const exact = Buffer.from(text).equals(bytes);
  return exact
    ? `"text":${JSON.stringify(text)}`
    : `"base64":${JSON.stringify(bytes.toString('base64'))}`;
}

/** The JSON is sent as it was written: numbers of any size stay as they are. */
function dataMember(text: string, what: string): Payload {
  try {
    JSON.parse(text);
  } catch (error) {
    throw usage(`${what} is not valid JSON: ${(error as Error).message}`, {
      fix: `-d '{"name": "value"}', or --content-type text/plain for what is not JSON`,
      cause: error,
    });
  }
  return `"data":${text}`;
}

function send(session: Session, meta: Meta, payload: Payload): Promise<PublishReply> {
  const jsonText = `${JSON.stringify(meta).slice(0, -1)},${payload}}`;
  return session.client.send<PublishReply>('POST', '/api/messages', { jsonText });
}

function sentenceOf(topic: string, { msgId, queues, duplicate }: PublishReply): string {
  if (duplicate) return `${msgId} was published before with this key, ${queueCount(queues)}`;
  if (queues === 0) return `${msgId} published to ${topic}: nothing subscribes, it is not kept`;
  return `${msgId} published to ${topic}, ${queueCount(queues)}`;
}

function queueCount(queues: number): string {
  return `${count(queues)} ${queues === 1 ? 'queue' : 'queues'}`;
}

/** One after the other, in the order of the file; the first that is refused ends it. */
async function publishLines(
  session: Session,
  meta: Meta,
  bytes: Buffer,
  rate: number | undefined,
): Promise<ExitCode> {
  const lines = bytes
    .toString('utf8')
    .split('\n')
    .map((text, at) => ({ text: text.trim(), line: at + 1 }))
    .filter(({ text }) => text !== '');
  // All are read before the first is sent: a bad line is found while nothing has happened.
  const payloads = lines.map(({ text, line }) => ({
    line,
    payload: dataMember(text, `Line ${line}`),
  }));
  const progress = new Progress(session.flags.quiet === true);
  const startedAt = performance.now();
  let published = 0;
  try {
    for (const { line, payload } of payloads) {
      if (rate !== undefined) await pace(startedAt + (published * 1_000) / rate);
      await sendLine(session, meta, { line, payload, published });
      published++;
      progress.show(`${count(published)} of ${count(payloads.length)} published`);
    }
  } catch (error) {
    progress.end();
    if (published === 0 || !(error instanceof CliError)) throw error;
    process.stderr.write(errorText(error));
    return exitCode.partly;
  }
  progress.end();
  const { topic } = meta;
  await session.out.done(`${count(published)} published to ${topic}`, topic, { topic, published });
  return exitCode.ok;
}

interface Line {
  readonly line: number;
  readonly payload: Payload;
  readonly published: number;
}

async function sendLine(session: Session, meta: Meta, one: Line): Promise<void> {
  try {
    await send(session, meta, one.payload);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    throw new CliError(error.exitCode, error.message, {
      where: `line ${one.line}`,
      problems: error.problems,
      fix: `${count(one.published)} were published: go on from that line (tail -n +${one.line})`,
      cause: error,
    });
  }
}

async function pace(at: number): Promise<void> {
  const waitMs = at - performance.now();
  if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
}
