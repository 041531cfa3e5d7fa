import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { startLoad } from '../support/load.ts';
import { type CliWord, type System, startSystem } from '../support/system.ts';
import { until } from '../support/until.ts';

const canary = 'canary-7f3kq-in-the-mine';
const otherCanary = 'canary-9zz2x-sent-out';

const services = {
  'desk.ts': `import { Service } from 'hence';
export class Echo extends Service {
  handle() { return { raw: this.request.rawRequest, input: this.request.input, user: this.request.http?.user }; }
}
export class Two extends Service { handle() { return 'two'; } }
export class Keep extends Service {
  async handle() {
    await this.kvdb.conn.set('kept', 'in redis');
    return { kept: await this.kvdb.conn.get('kept') };
  }
}
export class Call extends Service {
  async handle() {
    const reply = await this.outgoing.plainHttp.get('target').conn.get(this.cid);
    this.logger.info('called out', { reply: reply.status });
    return { status: reply.status, ...reply.data };
  }
}
export class Chat extends Service { handle() { console.log('said to the console'); return 1; } }
export class Leak extends Service {
  handle() { throw new Error('it went wrong'); }
}
export class Notify extends Service {
  async handle() {
    const form = new URLSearchParams({ token: 'a'.repeat(30), user: 'u'.repeat(30), message: 'hi' });
    const reply = await this.outgoing.plainHttp.get('pushover').conn.send(this.cid, form);
    return reply.data;
  }
}
`,
};

const channels = ['echo', 'keep', 'call', 'chat', 'leak', 'notify'];
const yaml = `channels:
${channels.map((name) => `  ${name}: { path: /${name}, service: desk.${name} }`).join('\n')}
`;

describe('A running system, configured live', () => {
  let system: System;
  let target: Server;
  let targetUrl: string;
  const seen: { readonly url: string; readonly authorization: string }[] = [];
  const printed: string[] = [];

  const hence = async (...args: readonly CliWord[]) => {
    const result = await system.cli(...args);
    printed.push(result.stdout, result.stderr);
    return result;
  };

  const status = async (path: string, init?: RequestInit) => (await system.get(path, init)).status;

  before(async () => {
    target = createServer((request, response) => {
      seen.push({ url: request.url ?? '', authorization: request.headers.authorization ?? '' });
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ path: request.url }));
    });
    target.listen(0, '127.0.0.1');
    await once(target, 'listening');
    targetUrl = `http://127.0.0.1:${(target.address() as AddressInfo).port}`;
    system = await startSystem({
      services,
      yaml,
      args: ['--workers', '2', '--log-level', 'debug'],
    });
  });

  after(async () => {
    await system.stop();
    target.closeAllConnections();
    target.close();
  });

  it('protects a channel by a security definition made live, edits it under traffic, and ends with it', async () => {
    const made = await hence(
      ...['security', 'create', 'partner', '--username', 'partner', '--password-stdin'],
      { stdin: `${canary}\n` },
    );
    expect([made.code, made.stderr]).to.deep.equal([0, '']);
    const channel = await hence(
      ...['channel', 'create', 'guarded', '--path', '/guarded', '--service', 'desk.echo'],
      ...['--security', 'partner'],
    );
    expect(channel.code).to.equal(0);
    const authorization = `Basic ${Buffer.from(`partner:${canary}`).toString('base64')}`;
    await until(async () => (await status('/guarded')) === 401);
    const wrong = `Basic ${Buffer.from('partner:wrong').toString('base64')}`;
    expect(await status('/guarded', { headers: { authorization: wrong } })).to.equal(401);
    const reply = await system.get('/guarded', { headers: { authorization } });
    expect(reply.status).to.equal(200);

    const load = startLoad(`${system.url}/echo`, { connections: 4 });
    const edited = await hence('channel', 'edit', 'echo', '--service', 'desk.two');
    expect(edited.code).to.equal(0);
    await until(async () => {
      load.seen();
      const from = load.sent;
      await until(() => load.sent > from + 40);
      return [...load.seen().keys()].join() === 'two';
    });
    expect((await load.stop()).failed).to.deep.equal([]);
    await hence('channel', 'edit', 'echo', '--service', 'desk.echo');

    expect((await hence('channel', 'delete', 'guarded', '--yes')).code).to.equal(0);
    await until(async () => (await status('/guarded')) === 404);
  });

  it('gives big integers to the service as they were sent, whatever the Content-Type says', async () => {
    const body = '{"id": 12345678901234567890, "name": "x"}';
    const reply = await until(async () => {
      const answer = await system.get('/echo', {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body,
      });
      const text = await answer.text();
      return text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : undefined;
    });
    expect(reply['raw']).to.equal(body);
    expect((reply['input'] as Record<string, unknown>)['name']).to.equal('x');
  });

  it('lets a service keep values in Redis', async () => {
    expect(await (await system.get('/keep')).json()).to.deep.equal({ kept: 'in redis' });
    expect((await hence('kvdb', 'get', 'kept')).stdout).to.contain('in redis');
  });

  it('calls other systems by a connection that is edited live', async () => {
    const made = await hence(
      ...['outgoing', 'create', 'target', '--address', targetUrl, '--path', '/one'],
      ...['--username', 'hence', '--password-stdin'],
      { stdin: `${otherCanary}\n` },
    );
    expect([made.code, made.stderr]).to.deep.equal([0, '']);
    const answer = async () => (await system.get('/call')).json();
    await until(async () => JSON.stringify(await answer()) === '{"status":200,"path":"/one"}');
    const sent = Buffer.from(`hence:${otherCanary}`).toString('base64');
    expect(seen.at(-1)?.authorization).to.equal(`Basic ${sent}`);
    await hence('outgoing', 'edit', 'target', '--path', '/two');
    await until(async () => JSON.stringify(await answer()) === '{"status":200,"path":"/two"}');
    expect((await hence('outgoing', 'ping', 'target')).code).to.equal(0);
  });

  it('has a stand-in answer where the mode says so', async () => {
    await hence(
      ...['outgoing', 'create', 'pushover', '--address', 'https://api.pushover.net'],
      ...['--path', '/1/messages.json', '--method', 'POST', '--data-format', 'form'],
      ...['--mode', 'standin', '--standin', 'pushover'],
    );
    const reply = await until(async () => {
      const answer = (await (await system.get('/notify')).json()) as { status?: number };
      return answer.status === 1 ? answer : undefined;
    });
    expect(reply).to.have.property('request');
    const { messages } = (await system.admin('GET', '/api/standins/pushover')).json<{
      messages: { message: string }[];
    }>();
    expect(messages[0]?.message).to.equal('hi');
  });

  it('makes a log line with the worker of what a service prints', async () => {
    await system.get('/chat');
    const line = await until(() =>
      system.lines().find(({ message }) => message === 'said to the console'),
    );
    expect(line).to.include({ level: 'info' });
    expect(line['worker']).to.be.a('number');
  });

  it('shows no password anywhere: not in what it prints or stores', async () => {
    await system.get('/leak');
    const authorization = `Basic ${Buffer.from(`partner:${canary}`).toString('base64')}`;
    await system.get('/leak', { headers: { authorization } });
    for (const noun of ['security', 'channel', 'outgoing', 'service', 'invocation']) {
      const { code } = await hence(noun, 'list', '-o', 'json');
      expect([noun, code]).to.deep.equal([noun, 0]);
    }
    await hence('security', 'show', 'partner', '-o', 'json');
    await hence('outgoing', 'show', 'target', '-o', 'json');
    await hence('status', '-o', 'json');
    await hence('logs', '-o', 'json', '--limit', '1000');
    const exported = await hence('config', 'export');
    expect(exported.stdout).to.contain('partner').and.contain('target');
    await writeFile(join(system.dir, 'again.yaml'), exported.stdout);
    expect((await hence('config', 'apply', 'again.yaml')).code).to.equal(0);

    const everything = [system.log(), ...printed];
    for (const file of await readdir(join(system.dir, '.hence'), { recursive: true })) {
      everything.push(await readFile(join(system.dir, '.hence', file), 'latin1').catch(() => ''));
    }
    expect(everything.some((text) => text.includes('partner'))).to.equal(true);
    for (const secret of [canary, otherCanary]) {
      for (const form of [secret, Buffer.from(secret).toString('base64').slice(0, -4)]) {
        expect(everything.filter((text) => text.includes(form))).to.deep.equal([]);
      }
    }
  });
});
