import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { JourneyView, QueuedView, QueueView } from '../../runtime/admin/message-api.ts';
import { MessageBench } from '../admin/message-bench.ts';
import { until } from '../support/until.ts';
import { type Outcome, type RunOptions, runHence, runInTerminal } from './support/hence.ts';

describe('The message commands', () => {
  let bench: MessageBench;
  let cwd: string;

  before(async () => {
    bench = await MessageBench.open();
    cwd = await mkdtemp(join(tmpdir(), 'hence-cli-'));
  });
  after(async () => {
    await bench.close();
    await rm(cwd, { recursive: true, force: true });
  });
  beforeEach(async () => {
    await bench.clear();
    bench.subscribe({ billing: { topics: ['orders.*'] }, audit: { topics: ['**'] } });
  });

  const env = () => ({ HENCE_URL: bench.url, HENCE_TOKEN: bench.token });
  const hence = (args: readonly string[], options: RunOptions = {}): Promise<Outcome> =>
    runHence(args, { cwd, env: env(), ...options });
  const message = (line: string, options?: RunOptions) =>
    hence(['message', ...line.split(' ')], options);
  const depth = async (subKey: string) => (await bench.broker.depth([subKey]))[0];

  it('publish, show and get keep the data as it was written, in every format', async () => {
    const data = '{"id":12345678901234567890,"price":1.10,"name":"\\u00e9"}';
    const flags =
      '--priority 9 --expiration 1h --cid c1 --in-reply-to m0 --ext-client-id x --correl-id k';
    const sent = await hence(['message', 'publish', 'orders.new', '-d', '-', ...flags.split(' ')], {
      input: data,
    });
    expect(sent).to.deep.include({ code: 0, stderr: 'cid c1\n' });
    expect(sent.stdout).to.match(/^zpsm\.\S+ published to orders\.new, 2 queues\n$/);
    const msgId = sent.stdout.split(' ')[0] ?? '';

    const [raw, shown, json] = await Promise.all([
      message(`show ${msgId} --raw`),
      message(`show ${msgId}`),
      message(`show ${msgId} -o json`),
    ]);
    expect(raw).to.deep.equal({ code: 0, stdout: data, stderr: '' });
    expect(json.stdout).to.contain('"id": 12345678901234567890').and.to.contain('"price": 1.10');
    expect(JSON.parse(json.stdout)).to.deep.include({
      ...{ cid: 'c1', priority: 9, inReplyTo: 'm0', extClientId: 'x', correlId: 'k' },
      publisher: 'operator',
    });
    expect(shown.stdout).to.match(/^billing +waiting +0 +0 +-/m);
    expect(shown.stdout).to.match(/^ {2}"id": 12345678901234567890,$/m);

    const kept = await message('get billing --no-ack -o ndjson');
    expect(kept.stdout).to.contain('"data":{"id":12345678901234567890,"price":1.10,"name":"é"}');
    const yaml = await message('get billing --no-ack -o yaml');
    expect(yaml.stdout).to.match(/^ +id: 12345678901234567890$/m);
    const table = await message('get billing');
    expect(table.stdout).to.match(/^MSG ID +TOPIC +PRIORITY +CAME +TRIES +DATA$/m);
    expect(table.stdout).to.match(/ orders\.new +9 .* 3 +\{"id":12345678901234567890,/);
    await until(async () => (await depth('sk-billing'))?.leased === 0);
    expect(await message('get billing')).to.deep.equal({
      ...{ code: 0, stdout: '', stderr: 'no messages\n' },
    });
  });

  it('publish takes files of any content, and says when nobody subscribes', async () => {
    bench.subscribe({ billing: { topics: ['orders.*'] } });
    await writeFile(join(cwd, 'picture'), Buffer.from([0xff, 0x00, 0x0a]));
    const sent = await message('publish orders.new -d @picture --content-type image/x -o name');
    const shown = await message(`show ${sent.stdout.trim()} --raw -o json`);
    expect(shown.stdout).to.equal('\ufffd\u0000\n');
    const view = JSON.parse((await message(`show ${sent.stdout.trim()} --json`)).stdout);
    expect(view).to.include({ base64: '/wAK', contentType: 'image/x', size: 3 });
    const lost = await hence(['message', 'publish', 'nobody', '-d', '"hi"']);
    expect(lost.code).to.equal(0);
    expect(lost.stdout).to.contain('nothing subscribes, it is not kept');
  });

  it('publish refuses wrong usage before anything is sent', async () => {
    const wrong = await Promise.all([
      message('publish orders.new'),
      message('publish orders.new -d 1 --file x'),
      message('publish orders.new -d {broken'),
      message('publish orders.new -d 1 --rate 5/s'),
      message('publish orders.new --file none.ndjson'),
      message('publish orders.new -d 1 --priority 10'),
      message('publish a#b -d 1'),
    ]);
    expect(wrong.map(({ code }) => code)).to.deep.equal([2, 2, 2, 2, 2, 2, 2]);
    expect(wrong[2]?.stderr).to.match(/^error {2}-d is not valid JSON: /);
    expect(wrong[2]?.stderr).to.contain('--content-type text/plain');
    expect((await depth('sk-audit'))?.waiting).to.equal(0);
  });

  it('publish --file sends each line in its order, at the rate, and says where it stopped', async () => {
    const lines = '{"n":1}\n\n{"n":12345678901234567890}\r\n{"n":3}';
    await writeFile(join(cwd, 'orders.ndjson'), lines);
    const began = performance.now();
    const sent = await message('publish orders.new --file orders.ndjson --rate 10/s --priority 7');
    expect(performance.now() - began).to.be.greaterThan(200);
    expect(sent).to.deep.include({ code: 0, stdout: '3 published to orders.new\n' });
    const { items } = await bench.broker.browse('sk-billing', { state: 'waiting' });
    expect(items.map((one) => `${one.message.priority} ${one.message.data}`)).to.deep.equal([
      '7 {"n":1}',
      '7 {"n":12345678901234567890}',
      '7 {"n":3}',
    ]);
    await writeFile(join(cwd, 'bad.ndjson'), '1\n{oops\n');
    const bad = await message('publish orders.new --file bad.ndjson');
    expect(bad.code).to.equal(2);
    expect(bad.stderr).to.contain('Line 2 is not valid JSON');
    bench.topics.set('orders.new', { maxSize: 1 });
    await writeFile(join(cwd, 'large.ndjson'), '1\n2\n333\n4\n');
    const stopped = await message('publish orders.new --file large.ndjson');
    expect(stopped.code).to.equal(8);
    expect(stopped.stderr).to.contain('where: line 3').and.to.contain('tail -n +3');
    expect((await depth('sk-billing'))?.waiting).to.equal(5);
  });

  it('get waits, and takes no more than it was told', async () => {
    const waiting = message('get billing --wait 20s --max 1 -o json');
    await until(() => bench.waits());
    await bench.publish('orders.new', 1);
    await bench.publish('orders.new', 2);
    const got = JSON.parse((await waiting).stdout) as { items: { data: number }[]; total: number };
    expect(got).to.deep.include({ total: 1 });
    expect(got.items[0]?.data).to.equal(1);
    const nobody = await message('get nobody');
    expect(nobody.code).to.equal(3);
    expect(nobody.stderr).to.equal(
      'error  No such subscription: nobody\nfix:   hence message queues\n',
    );
  });

  it('queues and browse show what is where, page by page, and consume nothing', async () => {
    for (let at = 0; at < 3; at++) await bench.publish('orders.new', { at });
    const [first] = await bench.broker.take('sk-billing', { max: 1 });
    if (!first) throw new Error('Nothing was taken');
    const dead = { dead: 'rejected', reason: 'card\u001b[31m refused' };
    await bench.broker.reject('sk-billing', [{ ...first, ...dead }]);
    await bench.publish('other', 'x');

    const [table, one] = await Promise.all([message('queues'), message('queues billing -o json')]);
    expect(table.stdout).to.match(/^billing +pull +2 +0 +0 +1 .* orders\.\*$/m);
    expect(JSON.parse(one.stdout) as QueueView).to.include({ waiting: 2, dead: 1 });

    const all = await message('browse --subscription billing');
    expect(all.stdout).to.match(/ waiting +0 +0 +- +\{"at":1\}$/m);
    expect(all.stdout).to.match(/ dead +1 +\d+ +rejected +\{"at":0\}$/m);
    const page = await message('browse --subscription billing --limit 2');
    expect(page.stderr).to.contain('2 of 3').and.to.contain('next page: --after leased:0');
    const rest = await message('browse --subscription billing --after leased:0 -o ndjson');
    const letter = JSON.parse(rest.stdout) as QueuedView;
    expect(letter).to.include({ state: 'dead', reason: 'rejected', preview: '{"at":0}' });
    const wide = await message('browse --subscription billing --dead -o wide');
    expect(wide.stdout).to.contain('card[31m refused').and.to.contain('cid-1');
    const topic = await message('browse --topic orders.new -o ndjson');
    expect(topic.stdout.trim().split('\n')).to.have.length(6);
    const waiting = await message('browse --topic orders.new --state waiting');
    expect(waiting.stdout).to.match(/^SUBSCRIPTION +MSG ID/);
    expect(waiting.stdout)
      .to.match(/^audit +zpsm\./m)
      .and.to.not.contain('dead');
    expect((await message('browse')).code).to.equal(2);
    expect((await message('browse --subscription billing --state done')).code).to.equal(2);
    expect(await depth('sk-billing')).to.include({ waiting: 2, leased: 0, dead: 1 });
  });

  it('delete takes the named ones, says which are not there, and wants to be asked', async () => {
    const [one, two] = [await bench.publish('orders.new', 1), await bench.publish('orders.new', 2)];
    const gone = one.msgId.replace(/.f$/, 'ef');
    expect((await message(`delete billing ${one.msgId}`)).stderr).to.contain('this needs --yes');
    const some = await message(`delete billing ${one.msgId} ${gone} --yes`);
    expect(some.code).to.equal(8);
    expect(some.stdout).to.equal(`message ${one.msgId} deleted from billing\n`);
    expect(some.stderr).to.contain(`Subscription billing has no message ${gone}`);
    const none = await message(`rm billing ${gone} --yes`);
    expect(none.code).to.equal(3);
    const [delivery] = await bench.broker.take('sk-billing');
    expect((await message(`delete billing ${two.msgId} -y`)).code).to.equal(4);
    if (delivery) await bench.broker.ack('sk-billing', [delivery]);
    expect((await depth('sk-audit'))?.waiting).to.equal(2);
  });

  it('purge names the loss, and a program must say twice that it means it', async () => {
    for (let at = 0; at < 3; at++) await bench.publish('orders.new', at);
    const flags = ['', ' --yes', ' --allow-data-loss'];
    const refused = await Promise.all(flags.map((flag) => message(`purge billing${flag}`)));
    for (const { code, stderr } of refused) {
      expect(code).to.equal(2);
      expect(stderr).to.equal(
        'error  3 waiting messages of billing would be lost for good: ' +
          'this needs --yes and --allow-data-loss\n',
      );
    }
    const yes = '--yes --allow-data-loss';
    const old = await message(`purge billing --older-than 1h ${yes}`);
    expect(old.stdout).to.equal('0 waiting messages of billing purged\n');
    const done = await message(`purge billing ${yes} -o json`);
    expect(JSON.parse(done.stdout)).to.deep.equal({
      ...{ subscription: 'billing', state: 'waiting', purged: 3 },
    });
    const nothing = await message('purge billing --state dead');
    expect(nothing).to.deep.include({ code: 0, stdout: 'billing has no dead messages\n' });
  });

  it('purge asks a person to type the name', async () => {
    await bench.publish('orders.new', 1);
    const asked = 'Type billing to go on: ';
    const purge = (answer: string) =>
      runInTerminal(['message', 'purge', 'billing'], {
        env: env(),
        answers: [[asked, `${answer}\n`]],
      });
    const other = await purge('yes');
    expect(other.code).to.equal(1);
    expect(other.screen).to.contain('nothing purged');
    expect((await depth('sk-billing'))?.waiting).to.equal(1);
    const typed = await purge('billing');
    expect(typed.code).to.equal(0);
    expect((await depth('sk-billing'))?.waiting).to.equal(0);
  });

  it('redrive puts dead letters back: all, so many, those named, or one on trial', async () => {
    for (let at = 0; at < 6; at++) await bench.publish('orders.new', at);
    await bench.kill('sk-billing', 'no');
    const some = await message('redrive billing --max 2 --rate 100/s');
    expect(some).to.deep.include({
      ...{ code: 0, stdout: '2 dead letters of billing redriven, 4 dead now\n' },
    });
    const { items } = await bench.broker.browse('sk-billing', { state: 'dead' });
    const ids = items.map((item) => item.message.msgId);
    const partly = await message(`redrive billing ${ids[3]} ${ids[3]?.replace(/.f$/, 'ef')}`);
    expect(partly.code).to.equal(8);
    const trying = message('redrive billing --trial');
    const taken = await until(async () => {
      await bench.broker.purge('sk-billing', { state: 'waiting', olderThanMs: 3_600_000 });
      const deliveries = await bench.broker.take('sk-billing', { max: 100 });
      const mine = deliveries.find(({ message: one }) => one.msgId === ids[0]);
      return mine;
    });
    await bench.broker.reject('sk-billing', [{ ...taken, reason: 'still no' }]);
    const trial = await trying;
    expect(trial.code).to.equal(1);
    expect(trial.stderr).to.contain('The trial failed: still no');
    expect((await message('redrive nobody')).code).to.equal(3);
    expect((await message('redrive billing --rate soon')).code).to.equal(2);
  });

  it('why tells a journey as a timeline, and what is kept when there is none', async () => {
    const { msgId } = await bench.publish('orders.new', 1, { cid: 'c77' });
    const at = Date.now() - 10_000;
    const steps = [
      ['channel', 0, { ms: 40, ok: true }, { channel: 'POST /o', service: 'o.new', version: 3 }],
      ['publish', 5, { ms: 2, ok: true }, { topic: 'orders.new', msgId, queues: 2 }],
      ['outgoing', 20, { ms: 15, ok: true }, { connection: 'crm', method: 'post', status: 200 }],
      [
        'attempt',
        1_500,
        { ms: 12, ok: false },
        {
          ...{ subscription: 'billing', endpoint: 'service mail', attempt: 1, msgId },
          ...{ error: 'unavailable: no answer', againInMs: 5_000 },
        },
      ],
    ] as const;
    for (const [kind, after, how, facts] of steps) {
      bench.journey.note({ cid: 'c77', kind, at: at + after, ...how, facts });
    }
    await bench.journey.flush();
    const told = await hence(['why', msgId]);
    expect(told).to.deep.include({ code: 0, stderr: '' });
    const [head, ...lines] = told.stdout.trimEnd().split('\n');
    expect(head).to.match(/^cid c77 · began 20\S+Z$/);
    const patterns = [
      /^ *\+0 ms {2}channel +POST \/o → o\.new v3 +40 ms$/,
      new RegExp(`^ *\\+5 ms {2}publish +orders\\.new ${msgId} → 2 queues +2 ms$`),
      /^ *\+20 ms {2}outgoing +crm post → 200 +15 ms$/,
      /^ *\+1\.5 s {2}attempt +billing → service mail attempt 1 +12 ms {2}FAILED {2}unavailable: no answer {2}again in 5 s$/,
      /^now {2}(audit|billing): waiting · not handed out yet · zpsm\.\S+$/,
      /^now {2}(audit|billing): waiting · not handed out yet · zpsm\.\S+$/,
    ];
    expect(lines).to.have.length(patterns.length);
    for (const [index, pattern] of patterns.entries()) expect(lines[index]).to.match(pattern);

    const raw = JSON.parse((await hence(['why', 'c77', '-o', 'json'])).stdout) as JourneyView;
    expect(raw.steps).to.have.length(4);
    expect(raw.standings).to.have.length(2);
    const nothing = await hence(['why', 'nobody']);
    expect(nothing.code).to.equal(3);
    expect(nothing.stderr).to.match(/^error {2}Nothing is known of nobody: .* entries are kept/);
  });

  it('has help with examples for every verb', async () => {
    const verbs = ['publish', 'get', 'browse', 'show', 'delete', 'purge', 'redrive', 'queues'];
    const helps = await Promise.all(verbs.map((verb) => message(`${verb} --help`)));
    for (const [at, { code, stdout }] of helps.entries()) {
      expect(code).to.equal(0);
      expect(stdout).to.match(new RegExp(`Examples:\n {2}\\$ hence message ${verbs[at]} ?`));
    }
    expect((await hence(['why', '--help'])).stdout).to.contain('$ hence why');
  });
});
