import { expect } from 'chai';
import { z } from 'zod';
import { Fault } from '../../runtime/core/fault.ts';
import type { Call } from '../../runtime/service/call.ts';
import { Registry } from '../../runtime/service/registry.ts';
import { Service } from '../../runtime/service/service.ts';
import {
  checkService,
  describeService,
  isServiceClass,
  type ServiceClass,
  serviceName,
} from '../../runtime/service/service-class.ts';
import { ServiceVersion } from '../../runtime/service/version.ts';
import { collectingLog } from '../support/collecting-log.ts';
import { rejection } from '../support/rejection.ts';

function registryOf(classes: Record<string, ServiceClass> = {}) {
  const log = collectingLog();
  const stored: unknown[] = [];
  const registry = new Registry({
    log,
    outgoing: (name) => {
      throw new Fault('not-found', `No such outgoing connection: ${name}`);
    },
    kvdb: () => {
      throw new Error('not here');
    },
    invokeAsync: async (service, input, cid) => {
      stored.push({ service, input, cid });
      return 'id-1';
    },
    publish: async () => {
      throw new Error('not here');
    },
  });
  for (const [name, ServiceClassOf] of Object.entries(classes)) {
    registry.replace(name, [versionOf(name, ServiceClassOf)]);
  }
  const call = (service: string, input: unknown = {}, more: Partial<Call> = {}) =>
    registry.invoke({ cid: 'c1', service, input, rawRequest: input, ...more });
  return { registry, call, log, stored };
}

function versionOf(
  name: string,
  ServiceClassOf: ServiceClass,
  more: { path?: string; version?: number; dispose?: () => void } = {},
): ServiceVersion {
  return new ServiceVersion({
    name,
    file: `services/${more.path ?? name}.ts`,
    path: more.path ?? name,
    version: more.version ?? 1,
    hash: 'h',
    ServiceClass: ServiceClassOf,
    dispose: more.dispose ?? (() => {}),
  });
}

class Echo extends Service {
  handle(): unknown {
    return this.request.input;
  }
}

describe('Registry', () => {
  it('gives every call an instance of its own', async () => {
    class Counter extends Service {
      #count = 0;
      handle(): number {
        this.#count++;
        return this.#count;
      }
    }
    const { call } = registryOf({ counter: Counter });
    expect((await call('counter')).payload).to.equal(1);
    expect((await call('counter')).payload).to.equal(1);
  });

  it('answers with what handle returns, or else with the payload, status and headers it set', async () => {
    class Teapot extends Service {
      handle(): void {
        this.response.payload = 'short and stout';
        this.response.statusCode = 418;
        this.response.headers['x-pot'] = 'tea';
        this.response.contentType = 'text/plain';
      }
    }
    const { call } = registryOf({ teapot: Teapot });
    expect(await call('teapot')).to.deep.equal({
      payload: 'short and stout',
      statusCode: 418,
      headers: { 'x-pot': 'tea' },
      contentType: 'text/plain',
    });
  });

  it('runs accept, beforeHandle, handle and afterHandle in order, and refuses what is not accepted', async () => {
    const order: string[] = [];
    class Hooked extends Service<{ wanted?: boolean }> {
      accept(): boolean {
        order.push('accept');
        return this.request.input.wanted ?? false;
      }
      async beforeHandle(): Promise<void> {
        order.push('before');
      }
      async handle(): Promise<string> {
        order.push('handle');
        return 'done';
      }
      afterHandle(): void {
        order.push('after');
      }
    }
    const { call } = registryOf({ hooked: Hooked });

    expect((await call('hooked', { wanted: true })).payload).to.equal('done');
    expect(order.splice(0)).to.deep.equal(['accept', 'before', 'handle', 'after']);
    expect(await rejection(call('hooked'))).to.include({ code: 'forbidden' });
    expect(order).to.deep.equal(['accept']);
  });

  it('dispatches by HTTP method, and says which methods there are for any other', async () => {
    class Things extends Service {
      handleGet(): string {
        return 'got';
      }
      handlePost(): string {
        return 'posted';
      }
    }
    const { call } = registryOf({ things: Things });
    const http = { path: '/', params: {}, query: {}, headers: {} };

    for (const method of ['GET', 'HEAD']) {
      expect((await call('things', {}, { http: { ...http, method } })).payload).to.equal('got');
    }
    const wrong = await rejection(call('things', {}, { http: { ...http, method: 'DELETE' } }));
    expect(wrong).to.include({ code: 'method-not-allowed' });
    expect(wrong).to.deep.include({ details: { allow: ['GET', 'POST'] } });
    expect(await rejection(call('things'))).to.include({ code: 'method-not-allowed' });
  });

  it('invokes other services with the same cid, by name or by class, and stores async calls', async () => {
    class Caller extends Service {
      async handle(): Promise<unknown> {
        const id = await this.invokeAsync('echo', { later: true });
        return [await this.invoke('echo', { a: 1 }), await this.invoke(Echo, { b: 2 }), id];
      }
    }
    const { call, stored } = registryOf({ echo: Echo, caller: Caller });
    expect((await call('caller')).payload).to.deep.equal([{ a: 1 }, { b: 2 }, 'id-1']);
    expect(stored).to.deep.equal([{ service: 'echo', input: { later: true }, cid: 'c1' }]);
  });

  it('says which service is missing', async () => {
    class Caller extends Service {
      handle(): Promise<unknown> {
        return this.invoke('no.such');
      }
    }
    const { call } = registryOf({ caller: Caller });
    const error = await rejection(call('caller'));
    expect(error).to.include({ code: 'not-found', message: 'No such service: no.such' });
  });

  it('stops services that call each other without end at 32, naming the chain (F68)', async () => {
    let depth = 0;
    class Ping extends Service {
      handle(): Promise<unknown> {
        depth++;
        return this.invoke('ping');
      }
    }
    const { call } = registryOf({ ping: Ping });
    const error = await rejection(call('ping'));
    expect(error).to.include({ code: 'internal' });
    expect(error.message).to.contain('more than 32 deep: ping > ping');
    expect(depth).to.equal(32);
  });

  it('ends a call at the shorter of its own and its caller’s timeout, and aborts its signal', async () => {
    let aborted: unknown;
    class Slow extends Service {
      static readonly timeout = '20ms';
      async handle(): Promise<void> {
        await new Promise<void>((resolve) => {
          this.signal.addEventListener('abort', () => {
            aborted = this.signal.reason;
            resolve();
          });
        });
      }
    }
    const { call } = registryOf({ slow: Slow });

    expect(await rejection(call('slow'))).to.include({
      code: 'timeout',
      message: 'Service slow did not answer in 20 ms',
    });
    expect(aborted).to.include({ code: 'timeout' });
    const shorter = await rejection(call('slow', {}, { timeoutMs: 5 }));
    expect(shorter.message).to.equal('Service slow did not answer in 5 ms');
  });

  it('gives a nested call what is left of the time', async () => {
    class Never extends Service {
      handle(): Promise<void> {
        return new Promise((_, reject) => {
          this.signal.addEventListener('abort', () => reject(this.signal.reason));
        });
      }
    }
    class Outer extends Service {
      static readonly timeout = 30;
      handle(): Promise<unknown> {
        return this.invoke('never');
      }
    }
    const { call } = registryOf({ never: Never, outer: Outer });
    expect((await rejection(call('outer'))).message).to.match(/did not answer in \d+ ms/);
  });

  it('tells a service that its caller went away', async () => {
    const caller = new AbortController();
    class Waiting extends Service {
      handle(): Promise<string> {
        return new Promise((resolve) => {
          this.signal.addEventListener('abort', () => resolve(String(this.signal.reason)));
          caller.abort('left');
        });
      }
    }
    const { call } = registryOf({ waiting: Waiting });
    const reply = await call('waiting', {}, { signal: caller.signal });
    expect(reply.payload).to.equal('left');
  });

  it('puts cid and service on every log line', async () => {
    class Talker extends Service {
      handle(): void {
        this.logger.info('hello', { n: 1 });
      }
    }
    const { call, log } = registryOf({ talker: Talker });
    await call('talker');
    expect(log.lines[0]?.facts).to.deep.equal({ cid: 'c1', service: 'talker', n: 1 });
  });

  it('swaps a file’s services in one step; a call in flight ends where it began', async () => {
    let release = () => {};
    const disposed: string[] = [];
    class Old extends Service {
      async handle(): Promise<string> {
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        return 'old';
      }
    }
    class New extends Service {
      handle(): string {
        return 'new';
      }
    }
    const { registry, call } = registryOf();
    const dispose = () => disposed.push('old');
    registry.replace('a', [versionOf('a.one', Old, { path: 'a', dispose })]);
    const running = call('a.one');

    const retired = registry.replace('a', [versionOf('a.one', New, { path: 'a', version: 2 })]);

    expect(retired.map(({ version, inFlight }) => [version, inFlight])).to.deep.equal([[1, 1]]);
    expect((await call('a.one')).payload).to.equal('new');
    expect(disposed).to.deep.equal([]);
    release();
    expect((await running).payload).to.equal('old');
    expect(disposed).to.deep.equal(['old']);
  });

  it('takes away a service whose class is gone from its file', async () => {
    const { registry, call } = registryOf();
    registry.replace('a', [versionOf('a.one', Echo, { path: 'a' })]);
    registry.replace('a', []);
    expect(await rejection(call('a.one'))).to.include({ code: 'not-found' });
    expect(registry.list()).to.deep.equal([]);
  });

  it('refuses a name that another file holds, naming both, and changes nothing', () => {
    const { registry } = registryOf();
    registry.replace('a', [versionOf('x.y', Echo, { path: 'a' })]);
    expect(() => registry.replace('b', [versionOf('x.y', Echo, { path: 'b' })])).to.throw(
      Fault,
      'Service x.y is claimed by services/a.ts and services/b.ts',
    );
    expect(registry.get('x.y')?.path).to.equal('a');
  });

  it('counts calls and errors', async () => {
    class Broken extends Service {
      handle(): void {
        throw new TypeError('bug');
      }
    }
    const { registry, call } = registryOf({ broken: Broken });
    await rejection(call('broken'));
    expect(registry.get('broken')).to.include({ calls: 1, errors: 1, inFlight: 0 });
  });
});

describe('IO', () => {
  function io(definition: ServiceClass['io'], answer?: unknown) {
    class Declared extends Service {
      static readonly io = definition;
      handle(): unknown {
        return answer === undefined ? this.request.input : answer;
      }
    }
    return registryOf({ declared: Declared }).call;
  }

  it('demands the required names and passes only the listed ones', async () => {
    const call = io({ input: { required: ['user', 'message'], optional: ['subject'] } });

    const reply = await call('declared', { user: 'sean', message: '', other: 1 });
    expect(reply.payload).to.deep.equal({ user: 'sean', message: '' });
    const missing = await rejection(call('declared', { message: null }));
    expect(missing).to.include({
      code: 'bad-request',
      message: 'Service declared needs user and message',
    });
    expect(missing).to.deep.include({ details: { missing: ['user', 'message'] } });
    for (const input of [null, 'text', 7, ['a'], Buffer.from('x')]) {
      expect((await rejection(call('declared', input))).message).to.contain(
        'takes an object with user, message and optionally subject',
      );
    }
  });

  it('knows "-name" as optional, and fills in defaults', async () => {
    const call = io({ input: ['user', '-subject', '-level'], default: '', defaults: { level: 3 } });
    const { payload } = await call('declared', { user: 'sean' });
    expect(payload).to.deep.equal({ user: 'sean', subject: '', level: 3 });
  });

  it('filters the output, items of lists too, and leaves text and bytes alone', async () => {
    const output = { output: ['id', '-note'] };
    const run = async (answer: unknown) => (await io(output, answer)('declared')).payload;

    expect(await run({ id: 1, secret: 2 })).to.deep.equal({ id: 1 });
    expect(await run([{ id: 1, secret: 2 }])).to.deep.equal([{ id: 1 }]);
    expect(await run('{"id":1,"secret":2}')).to.equal('{"id":1,"secret":2}');
    const broken = await rejection(io(output, { note: 'x' })('declared'));
    expect(broken).to.include({ code: 'internal', message: 'Internal error' });
    expect(String(broken.cause)).to.contain('Service declared answered without id');
  });

  it('does not let names of a prototype through', async () => {
    const call = io({ input: ['-toString', '-user'] });
    expect((await call('declared', { user: 1 })).payload).to.deep.equal({ user: 1 });
  });

  it('takes any Standard Schema, with its problems as details', async () => {
    const input = z.object({ amount: z.coerce.number().min(1) });
    const call = io({ input, output: z.object({ amount: z.number() }) });

    expect((await call('declared', { amount: '5' })).payload).to.deep.equal({ amount: 5 });
    const bad = await rejection(call('declared', { amount: 0 }));
    expect(bad).to.include({ code: 'bad-request' });
    expect(bad.message).to.match(/^Service declared: amount: /);
    const wrong = await rejection(
      io({ output: z.object({ id: z.number() }) }, { id: 'x' })('declared'),
    );
    expect(wrong).to.include({ code: 'internal' });
  });

  it('waits for a schema that checks asynchronously', async () => {
    const input = z.object({ user: z.string().refine(async (user) => user === 'sean') });
    const call = io({ input });
    expect((await call('declared', { user: 'sean' })).payload).to.deep.equal({ user: 'sean' });
    expect(await rejection(call('declared', { user: 'eve' }))).to.include({ code: 'bad-request' });
  });
});

describe('service classes', () => {
  it('are named <file>.<class> in kebab-case, folders first, unless they name themselves', () => {
    class SendMessage extends Echo {}
    class Named extends Echo {
      static override readonly serviceName = 'my.name';
    }
    expect(serviceName('pushover.ts', SendMessage)).to.equal('pushover.send-message');
    expect(serviceName('crm/customerData.ts', SendMessage)).to.equal(
      'crm.customer-data.send-message',
    );
    expect(serviceName('x.mjs', Named)).to.equal('my.name');
    class Bad extends Echo {
      static override readonly serviceName = 'no spaces';
    }
    expect(() => serviceName('x.ts', Bad)).to.throw(Fault, '"no spaces" cannot name a service');
  });

  it('are told from other exports', () => {
    expect(isServiceClass(Echo)).to.equal(true);
    for (const other of [Service, class {}, () => {}, 'Echo', null, {}]) {
      expect(isServiceClass(other)).to.equal(false);
    }
  });

  it('are checked before they are deployed', () => {
    class NoHandle extends Service {}
    class Throws extends Echo {
      constructor() {
        super();
        throw new RangeError('in constructor');
      }
    }
    class Twice extends Echo {
      static readonly io = { input: ['a', '-a'] };
    }
    class BadList extends Echo {
      static readonly io = { input: { required: [7 as unknown as string] } };
    }
    class Misspelt extends Echo {
      static readonly io = { inptu: ['a'] } as object;
    }
    class BadTimeout extends Echo {
      static readonly timeout = 'soon';
    }
    class Early extends Echo {
      readonly early = this.cid;
    }
    expect(() => checkService(NoHandle)).to.throw(Fault, 'Class NoHandle has no handle method');
    expect(() => checkService(Throws)).to.throw(RangeError, 'in constructor');
    expect(() => checkService(Twice)).to.throw(Fault, 'Twice.io.input names "a" twice');
    expect(() => checkService(BadList)).to.throw(Fault, 'must list names');
    expect(() => checkService(Misspelt)).to.throw(
      Fault,
      'Misspelt.io has "inptu", and knows input',
    );
    expect(() => checkService(BadTimeout)).to.throw(Fault, 'Not a duration');
    expect(() => checkService(Early)).to.throw(Error, 'no call yet in its constructor');
    checkService(Echo);
  });

  it('are described with their IO, methods and timeout', () => {
    class Described extends Service {
      static readonly io = { input: ['user', '-note'], output: z.object({ ok: z.boolean() }) };
      static readonly timeout = '2s';
      handleGet(): void {}
    }
    const about = describeService(Described) as Record<string, unknown>;
    expect(about).to.deep.include({
      className: 'Described',
      methods: ['GET'],
      timeoutMs: 2_000,
      input: { required: ['user'], optional: ['note'] },
    });
    expect(about['output']).to.deep.include({ type: 'object' });
  });
});
