import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from '../support/root.ts';
import { type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

/*
 * The pages of Zato's documentation that people come from, run against what a fresh clone starts: the
 * services of "Pub/sub - API" (3.0), and the command lines of "REST publish/subscribe" (2.0).
 */

const publishLine = `curl -XPOST http://crm:crm@127.0.0.1:11223/zato/pubsub/topic//customer/created/ \\
      -d 'Hello pub/sub!' ; echo`;
const consumeLine = `curl -XPOST -H X-Zato-PubSub-Key:K06Y63NEJQYGMQKTP9D4KGQQ0GB2 \\
      http://erp:erp@localhost:17010/zato/pubsub/msg//customer/created/`;

const published = /^\{"status": "ZATO_OK", "msg_id": "(K[0-9A-Z]{27})"\}\s*$/;
const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/;

/** Publishes what the page shows in a queue: two messages of the default priority. */
const sample = `import { Service } from 'hence';
export class Publish extends Service<{ data: string }> {
  static io = { input: ['data'] };
  async handle() {
    return { msg_id: await this.pubsub.publish('/zato/demo/sample', { data: this.request.input.data }) };
  }
}
`;

interface Consumed {
  readonly status: string;
  readonly results_count: number;
  readonly results: readonly {
    readonly payload: string;
    readonly metadata: Readonly<Record<string, unknown>>;
  }[];
}

interface Got extends Readonly<Record<string, unknown>> {
  readonly pub_time_iso: string;
  readonly expiration_time_iso: string;
}

async function shipped(): Promise<{ yaml: string; services: Record<string, string> }> {
  const files = await readdir(join(root, 'services'));
  const texts = files.map(async (file) => [
    file,
    await readFile(join(root, 'services', file), 'utf8'),
  ]);
  return {
    yaml: await readFile(join(root, 'hence.yaml'), 'utf8'),
    services: Object.fromEntries(await Promise.all(texts)),
  };
}

function microseconds(time: string): bigint {
  const [seconds = '', fraction = ''] = time.split('.');
  return BigInt(Date.parse(`${seconds}Z`)) * 1_000n + BigInt(fraction);
}

describe("The examples of Zato's pages, from a fresh start", () => {
  let system: System;

  before(async () => {
    const { yaml, services } = await shipped();
    system = await startSystem({
      yaml,
      services: { ...services, 'sample.ts': sample },
      args: ['--workers', '1'],
    });
  });
  after(() => system.stop());

  /** What curl sends, without curl. */
  const send = async (
    method: string,
    path: string,
    { user, headers = {}, body }: { user: string; headers?: object; body?: string },
  ) => {
    const reply = await system.get(path, {
      method,
      headers: {
        authorization: `Basic ${Buffer.from(`${user}:${user}`).toString('base64')}`,
        ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
    });
    return { status: reply.status, text: await reply.text() };
  };
  const key = { 'X-Zato-PubSub-Key': 'K06Y63NEJQYGMQKTP9D4KGQQ0GB2' };

  /** The reply of the page, but for its payload, id and times. */
  const expectConsumed = (text: string, payload: string, msgId: string | undefined) => {
    const reply = JSON.parse(text) as Consumed;
    const { creation_time_utc: created, expire_at_utc: expires } = reply.results[0]?.metadata ?? {};
    expect(created).to.match(isoTime);
    expect(microseconds(String(expires)) - microseconds(String(created))).to.equal(60_000_000n);
    // As text: the order of the keys counts too.
    expect(JSON.stringify(reply)).to.equal(
      JSON.stringify({
        status: 'ZATO_OK',
        results_count: 1,
        results: [
          {
            payload,
            metadata: {
              msg_id: msgId,
              topic: '/customer/created',
              creation_time_utc: created,
              expiration: 60,
              expire_at_utc: expires,
              producer: 'CRM',
              priority: 5,
              mime_type: 'text/plain',
            },
          },
        ],
      }),
    );
  };

  const settle = async (msgId: string | undefined, verdict: string) =>
    send('DELETE', `/zato/pubsub/msg/${msgId}/?${verdict}=true`, { user: 'erp', headers: key });

  const typed = async (line: string): Promise<{ code: number | null; output: string }> => {
    const { port } = new URL(system.url);
    const here = line.replace(/:(?:11223|17010)\//, `:${port}/`).replace(/^curl /, 'curl -s ');
    const child = spawn('sh', ['-c', here], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (bytes) => {
      output += String(bytes);
    });
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, output };
  };

  const logged = (pattern: RegExp) => () =>
    system
      .lines()
      .map(({ message }) => pattern.exec(String(message)))
      .findLast((match) => match !== null)?.[1];

  it("2.0's two command lines print the JSON of the page", async function () {
    if ((await typed('curl --version')).code !== 0) {
      console.warn('      skipped: it takes curl');
      this.skip();
    }
    const { output } = await typed(publishLine);
    const [, msgId] = published.exec(output) ?? [];
    expect(msgId, output).to.be.a('string');
    expectConsumed((await typed(consumeLine)).output, 'Hello pub/sub!', msgId);
    expect((await settle(msgId, 'ack')).text).to.equal('{"status": "ZATO_OK", "details": ""}');
  });

  it('the same requests, sent by a program, print it too; what is acknowledged is gone', async () => {
    const publication = await send('POST', '/zato/pubsub/topic//customer/created/', {
      user: 'crm',
      body: 'Hello',
    });
    expect(publication.status).to.equal(200);
    const [, msgId] = published.exec(publication.text) ?? [];
    const consume = () =>
      send('POST', '/zato/pubsub/msg//customer/created/', { user: 'erp', headers: key });
    expectConsumed((await consume()).text, 'Hello', msgId);

    const nothing = '{"status": "ZATO_OK", "results_count": 0, "results": []}';
    expect((await consume()).text, 'while it is in flight').to.equal(nothing);
    expect((await settle(msgId, 'reject')).text).to.equal('{"status": "ZATO_OK", "details": ""}');
    expectConsumed((await consume()).text, 'Hello', msgId);
    expect((await settle(msgId, 'ack')).text).to.equal('{"status": "ZATO_OK", "details": ""}');
    expect((await consume()).text).to.equal(nothing);
    expect((await settle(msgId, 'ack')).text).to.equal(
      `{"status": "ZATO_ERROR", "details": "Message not found \`${msgId}\`"}`,
    );
  });

  it("3.0's services log ids and keys, and the messages of a queue as a list", async () => {
    const invoke = async (service: string, input: object = {}) => {
      const result = await system.cli('service', 'invoke', service, '-d', JSON.stringify(input));
      expect(result.code, result.stderr).to.equal(0);
      return JSON.parse(result.stdout) as unknown;
    };
    const publish = await invoke('zato3.publish-sample');
    const msgId = await until(logged(/^Message ID is `(zpsm[0-9a-f]{24})`$/));
    expect(publish).to.deep.equal({ msg_id: msgId });

    await invoke('zato3.subscribe-endpoint');
    const subKey = await until(logged(/^Received sub_key `(zpsk\.rest\.[0-9a-f]{24})`$/));
    await invoke('sample.publish', { data: 'This is a sample message' });
    await invoke('sample.publish', { data: 'This is a sample message #2' });

    await invoke('zato3.get-messages', { sub_key: subKey });
    const list = await until(logged(/^Messages `(\[.+\])`$/s));
    const messages = JSON.parse(list) as Got[];
    const [worker] = await system.workerPids('serving');
    const expected = (at: number, size: number, data: string) => ({
      delivery_count: 0,
      has_gd: false,
      server_name: messages[at]?.['server_name'],
      topic_name: '/zato/demo/sample',
      pub_time_iso: messages[at]?.pub_time_iso,
      priority: 5,
      expiration_time_iso: messages[at]?.expiration_time_iso,
      expiration: 2_147_483_647_000,
      server_pid: worker,
      size,
      data,
      sub_key: subKey,
      mime_type: 'text/plain',
    });
    // Newest first; as text, for the order of the keys.
    expect(JSON.stringify(messages)).to.equal(
      JSON.stringify([
        expected(0, 27, 'This is a sample message #2'),
        expected(1, 24, 'This is a sample message'),
      ]),
    );
    for (const { pub_time_iso: from, expiration_time_iso: to } of messages) {
      expect(from).to.match(isoTime);
      expect(microseconds(to) - microseconds(from)).to.equal(2_147_483_647_000_000n);
    }
    expect(await invoke('zato3.get-messages', { sub_key: subKey }), 'once only').to.deep.equal([]);
  });

  it("3.0's WebSocket service refuses who did not call over one", async () => {
    const result = await system.cli('service', 'invoke', 'zato3.subscribe-web-socket');
    expect(result.code).to.equal(2);
    expect(result.stderr).to.contain('The service was not called over a WebSocket');
  });
});
