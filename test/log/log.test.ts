import { PassThrough, Writable } from 'node:stream';
import { expect } from 'chai';
import { Log } from '../../runtime/log/log.ts';
import { LogHub, type LogRecord } from '../../runtime/log/log-hub.ts';
import { prettyLine } from '../../runtime/log/pretty.ts';
import { Redactor } from '../../runtime/log/redact.ts';
import { until } from '../support/until.ts';

function sink(): { readonly stream: Writable; readonly text: () => string } {
  const chunks: string[] = [];
  const stream = new PassThrough();
  stream.on('data', (chunk) => chunks.push(String(chunk)));
  return { stream, text: () => chunks.join('') };
}

function hubOf(format: 'pretty' | 'json' = 'json', keep = 100, redactor = new Redactor()) {
  const out = sink();
  return { hub: new LogHub({ format, out: out.stream, colour: false, keep, redactor }), out };
}

describe('Log', () => {
  it('writes one JSON line per event with the facts of its parents', async () => {
    const out = sink();
    const log = Log.open({
      level: 'info',
      stream: out.stream,
      redactor: new Redactor(),
      facts: { worker: 1 },
    });

    log.child({ cid: 'c1' }).info('service deployed', { service: 'a.b', ms: 4 });
    log.debug('not written');
    log.child({ service: 'x' }).error('boom', { error: new TypeError('bad\nline') });
    await log.close();
    log.info('after the end');

    const lines = out
      .text()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as LogRecord);
    expect(lines).to.have.length(2);
    expect(lines[0]).to.include({ level: 'info', worker: 1, cid: 'c1', service: 'a.b', ms: 4 });
    expect(lines[0]?.time).to.match(/^\d{4}-\d\d-\d\dT/);
    expect(lines[1]?.['error']).to.contain('TypeError: bad');
  });

  it('keeps the order of lines when debug lines wait, and has them all at the end', async () => {
    const out = sink();
    const log = Log.open({ level: 'debug', stream: out.stream, redactor: new Redactor() });
    const written = () => [...out.text().matchAll(/"n":(\d+)/g)].map(([, n]) => Number(n));

    log.debug('one', { n: 1 });
    log.debug('two', { n: 2 });
    expect(written()).to.deep.equal([]);
    log.info('three', { n: 3 });
    expect(written()).to.deep.equal([1, 2, 3]);
    log.debug('four', { n: 4 });
    await until(() => written().length === 4);
    log.debug('x'.repeat(70_000), { n: 5 });
    expect(written()).to.deep.equal([1, 2, 3, 4, 5]);
    log.debug('last', { n: 6 });
    await log.close();
    expect(written()).to.deep.equal([1, 2, 3, 4, 5, 6]);
  });

  it('takes secrets out of the message as out of the facts', async () => {
    const out = sink();
    const redactor = new Redactor();
    redactor.add('canary-value');
    const log = Log.open({ level: 'info', stream: out.stream, redactor });

    log.info('sent canary-value to http://joe:canary-pass@x.y/', { note: 'canary-value' });
    log.info(new Error('canary-value in what is no text') as never);
    await log.close();

    expect(out.text()).to.not.contain('canary');
    expect(out.text()).to.contain('"message":"sent *** to http://***@x.y/","note":"***"');
    expect(out.text()).to.contain('"message":"Error: *** in what is no text');
  });

  it('says whether debug lines are written, for hot paths to ask', () => {
    const options = { stream: sink().stream, redactor: new Redactor() };
    expect(Log.open({ ...options, level: 'info' }).debugging).to.equal(false);
    expect(Log.open({ ...options, level: 'debug' }).child({ a: 1 }).debugging).to.equal(true);
  });
});

describe('Redactor', () => {
  it('hides secrets by key, by URL and by known value, at any depth', () => {
    const redactor = new Redactor();
    redactor.add('canary-value');
    const circular: Record<string, unknown> = { deep: { password: 'p1' } };
    circular['self'] = circular;

    const clean = JSON.stringify(
      redactor.facts({
        Authorization: 'Basic canary-header',
        password: 'canary-password',
        appToken: 'canary-token',
        api_key: 'canary-key',
        url: 'redis://user:canary-pass@host:6379/0',
        list: [{ cookie: 'canary-cookie' }, 'has canary-value inside'],
        error: new Error('with canary-value', { cause: new Error('and canary-value') }),
        circular,
        big: 12345678901234567890n,
        bytes: Buffer.from('canary-bytes'),
        message: 'kept',
        user: 'sean',
      }),
    );

    expect(clean).to.not.contain('canary');
    expect(clean).to.contain('"message":"kept"').and.contain('"user":"sean"');
    expect(clean).to.contain('redis://***@host:6379/0');
    expect(clean).to.contain('12345678901234567890');
  });

  it('does not hide words for a secret of under 6 characters', () => {
    const redactor = new Redactor();
    redactor.add('abcde');
    expect(redactor.text('abcdef')).to.equal('abcdef');
    expect(redactor.knows('abcdef')).to.equal(false);
    redactor.add('abcdef');
    expect(redactor.text('abcdef, abcde')).to.equal('***, abcde');
    expect(redactor.knows('abcdef')).to.equal(true);
  });

  it('hides the longest secret where one is within another, whatever characters they have', () => {
    const redactor = new Redactor();
    redactor.add('secret');
    redactor.add('secret.(*)"$&\\[x]');
    expect(redactor.text('a secret.(*)"$&\\[x] b')).to.equal('a *** b');
    expect(redactor.text(JSON.stringify(['secret.(*)"$&\\[x]']))).to.equal('["***"]');
    expect(redactor.text('a secrets')).to.equal('a ***s');
  });

  it('hides the user part of each URL up to its last "@", and nothing of an address', () => {
    const redactor = new Redactor();
    redactor.add('p@ssword');
    expect(redactor.text('http://joe:p@ss@x/ a@b.c HTTPS://ann@y?q=a@b')).to.equal(
      'http://***@x/ a@b.c HTTPS://***@y?q=a@b',
    );
    expect(redactor.text('http://x.y/a@b "ftp://z","a@b"')).to.equal(
      'http://x.y/a@b "ftp://z","a@b"',
    );
    expect(redactor.text('http://joe:p@ssword@x/')).to.equal('http://***@x/');
  });
});

describe('LogHub', () => {
  const line = (facts: Record<string, unknown>) =>
    `${JSON.stringify({ time: '2026-01-01T00:00:00.000Z', level: 'info', message: 'm', ...facts })}\n`;

  it('joins the lines of several processes and keeps the newest', () => {
    const { hub, out } = hubOf('json', 10);
    const one = hub.input();
    for (let count = 0; count < 30; count++) one.write(line({ count }));

    expect(hub.query({ limit: 3 }).map((record) => record['count'])).to.deep.equal([27, 28, 29]);
    expect(hub.query({ limit: 1_000 }).length).to.be.within(10, 12);
    expect(out.text().split('\n')).to.have.length(31);
  });

  it('finds by level, service, cid, age and text', () => {
    const { hub } = hubOf();
    const input = hub.input();
    input.write(line({ cid: 'c1', service: 'a', level: 'debug' }));
    input.write(line({ cid: 'c2', service: 'b', level: 'error', message: 'It BROKE' }));
    input.write(line({ cid: 'c3', service: 'a', level: 'warn', time: '2026-06-01T00:00:00.000Z' }));
    const cids = (query: Parameters<LogHub['query']>[0]) =>
      hub.query(query).map((record) => record['cid']);

    expect(cids({ level: 'warn' })).to.deep.equal(['c2', 'c3']);
    expect(cids({ service: 'a' })).to.deep.equal(['c1', 'c3']);
    expect(cids({ cid: 'c2' })).to.deep.equal(['c2']);
    expect(cids({ grep: 'broke' })).to.deep.equal(['c2']);
    expect(cids({ since: Date.parse('2026-05-01') })).to.deep.equal(['c3']);
  });

  it('makes a line of what user code prints, even of text that looks like a line', () => {
    const { hub } = hubOf();
    const input = hub.input({ worker: 2 });
    input.write('plain text\nhalf of ');
    input.write('a line\n{"time":"broken}\n{"time":"x","level":"nonsense","message":"m"}\n');

    expect(hub.query().map(({ message, worker }) => [message, worker])).to.deep.equal([
      ['plain text', 2],
      ['half of a line', 2],
      ['{"time":"broken}', 2],
      ['{"time":"x","level":"nonsense","message":"m"}', 2],
    ]);
  });

  it('takes secrets out of what user code prints', () => {
    const redactor = new Redactor();
    redactor.add('canary-value');
    for (const format of ['json', 'pretty'] as const) {
      const { hub, out } = hubOf(format, 100, redactor);
      const followed: unknown[] = [];
      hub.follow({}, ({ message }) => followed.push(message));
      hub.input({ worker: 2 }).write('token canary-value, http://joe:canary-pass@x.y/\n');

      expect(out.text()).to.not.contain('canary');
      expect(hub.query()[0]).to.include({ message: 'token ***, http://***@x.y/', worker: 2 });
      expect(followed).to.deep.equal(['token ***, http://***@x.y/']);
    }
  });

  it('takes the secrets that it knows out of the lines of processes that do not', () => {
    const redactor = new Redactor();
    const { hub, out } = hubOf('json', 100, redactor);
    const input = hub.input();
    input.write(line({ message: 'early canary"value' }));
    expect(hub.query()[0]?.message).to.equal('early canary"value');

    redactor.add('canary"value');
    redactor.add('message');
    redactor.add('2026-01');
    const before = out.text().length;
    input.write(line({ message: 'late canary"value', list: [{ a: 'canary"value' }], count: 3 }));

    const clean = {
      time: '2026-01-01T00:00:00.000Z',
      level: 'info',
      message: 'late ***',
      list: [{ a: '***' }],
      count: 3,
    };
    expect(hub.query()[1]).to.deep.equal(clean);
    expect(JSON.parse(out.text().slice(before))).to.deep.equal(clean);
  });

  it('follows new lines until told to stop', () => {
    const { hub } = hubOf();
    const seen: unknown[] = [];
    const stop = hub.follow({ level: 'warn' }, (record) => seen.push(record['n']));
    const input = hub.input();
    input.write(line({ n: 1, level: 'warn' }));
    input.write(line({ n: 2 }));
    stop();
    input.write(line({ n: 3, level: 'error' }));
    expect(seen).to.deep.equal([1]);
  });

  it('drops lines, counted, when its output is gone', () => {
    const out = new Writable({ write: (_chunk, _encoding, done) => done() });
    out.on('error', () => {});
    const hub = new LogHub({ format: 'json', out, colour: false, redactor: new Redactor() });
    out.destroy();
    hub.input().write(line({}));
    expect(hub.dropped).to.equal(1);
    expect(hub.query()).to.have.length(1);
  });
});

describe('prettyLine', () => {
  it('puts short facts on the line and long ones below it, and never forges a line', () => {
    const text = prettyLine(
      {
        time: '2026-01-01T10:20:30.000Z',
        level: 'error',
        message: 'deploy\nfailed',
        file: 'services/a.ts',
        frame: '1 | a\n2 | b',
        gone: undefined,
        list: [1],
      },
      false,
    );
    expect(text).to.match(/^ {2}\d\d:\d\d:30 {2}error {2}deploy failed {2}file=services\/a\.ts/);
    expect(text).to.contain('list=[1]\n            1 | a\n            2 | b\n');
    expect(prettyLine({ level: 'info', message: 'm' }, true)).to.contain('\u001b[');
  });
});
