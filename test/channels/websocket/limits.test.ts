import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { until } from '../../support/until.ts';
import { Client, handshake, reply, serving, stopAll, type World } from './fixture.ts';

const firstByte = 0x80;

describe('WebSocket channel, at its limits', () => {
  afterEach(stopAll);

  it('takes a frame of exactly maxFrame, and closes 1009 for one byte more', async () => {
    const world = await serving({ channels: { echo: { path: '/ws', maxFrame: '4kb' } } });
    const client = await Client.loggedIn(world);
    const textOf = (bytes: number) => {
      const meta = {
        ...{ action: 'invoke-service', id: 'i', timestamp: '2023-01-01T00:00:00.000000' },
        token: client.token,
      };
      const empty = JSON.stringify({ meta, data: '' }).length;
      return JSON.stringify({ meta, data: 'x'.repeat(bytes - empty) });
    };
    client.socket.send(textOf(4_096));
    expect((await client.next()).meta.status).to.equal(200);
    client.socket.send(textOf(4_097));
    expect((await client.closed).code).to.equal(1009);
  });

  it('takes a message in 64 fragments, and closes 1008 for one in 65', async () => {
    const world = await serving();
    for (const [fragments, code] of [
      [64, undefined],
      [65, 1008],
    ] as const) {
      const client = await Client.open(world);
      const text = createSession.padEnd(fragments, ' ');
      const cut = (at: number) => Math.round((text.length * at) / fragments);
      for (let at = 0; at < fragments; at++) {
        client.socket.send(text.slice(cut(at), cut(at + 1)), { fin: at === fragments - 1 });
      }
      if (code === undefined) expect((await client.next()).meta.msg_type).to.equal('zwsx.rspa');
      else expect((await client.closed).code).to.equal(code);
    }
  });

  it('closes 4001 for bytes that are not UTF-8 before the login, and answers 422 after it', async () => {
    const world = await serving();
    const guest = await Client.open(world);
    guest.socket.send(Buffer.from([0x7b, 0xff]), { binary: false });
    expect((await guest.closed).code).to.equal(4001);

    const client = await Client.loggedIn(world);
    client.socket.send(Buffer.from([0x7b, 0xff]), { binary: false });
    const { meta, data } = await client.next();
    expect(data).to.deep.equal({ cid: '<no-cid>' });
    expect(meta).to.deep.equal({
      id: '<no-cid>',
      timestamp: meta.timestamp,
      msg_type: 'zwsx.rsperr',
      status: 422,
      in_reply_to: '<no-msg-id>',
      error_message: 'Invalid UTF-8 bytes',
    });
    expect((await client.invoke('ż')).data).to.equal('ż');
  });

  it('takes a binary frame for its text', async () => {
    const client = await Client.open(await serving());
    client.socket.send(Buffer.from(createSession), { binary: true });
    expect((await client.next()).meta.msg_type).to.equal('zwsx.rspa');
  });

  it('says what is wrong with a frame, closes 4003 before the login and goes on after it', async () => {
    const world = await serving();
    for (const [text, reason] of malformed) {
      const guest = await Client.open(world);
      guest.socket.send(text);
      const frame = await guest.next();
      expect(frame.meta).to.include({ msg_type: 'zwsx.merr', status: 400 });
      expect(frame.data, text).to.match(reason);
      expect((await guest.closed).code).to.equal(4003);
    }
    const client = await Client.loggedIn(world);
    for (const [text, reason] of malformed) {
      client.socket.send(text);
      expect((await client.next()).data, text).to.match(reason);
    }
    expect((await client.invoke(1)).data).to.equal(1);
  });

  it('survives 500 frames out of order, of no sense and of bad bytes: nobody else notices', async function () {
    this.timeout(30_000);
    const world = await serving({
      channels: { echo: { path: '/ws', maxFrame: '64kb', loginTimeout: '250ms' } },
    });
    const canary = await Client.loggedIn(world);
    const random = randomFrom(4_711);
    const codes = new Map<number, number>();
    for (let batch = 0; batch < 10; batch++) {
      const ends = Array.from({ length: 50 }, () => abuse(world, random));
      for (const code of await Promise.all(ends)) codes.set(code, (codes.get(code) ?? 0) + 1);
      expect((await canary.invoke({ batch })).data).to.deep.equal({ batch });
    }
    expect([...codes.keys()].sort()).to.deep.equal([1002, 1005, 1008, 1009, 4001, 4003]);
    expect(codes.get(0)).to.equal(undefined);
    expect(world.log.lines.filter(({ level }) => level === 'error')).to.deep.equal([]);
    await until(() => world.sockets.sockets === 1);
  });

  it('reaches 2,000 clients, each once, with memory of which little is left', async function () {
    this.timeout(30_000);
    const world = await serving();
    const before = process.memoryUsage().rss;
    const sockets = await Promise.all(Array.from({ length: 2_000 }, () => silentClient(world)));
    await until(() => world.sockets.clients.size === 2_000);
    const data = { news: 'x'.repeat(1_000) };
    expect(world.sockets.clients.broadcast('echo', data)).to.equal(2_000);
    const got = await Promise.all(sockets.map((client) => client.message));
    expect(got.every((text) => text.endsWith(`"data":${JSON.stringify(data)}}`))).to.equal(true);
    // Both ends of each connection are in this process.
    expect((process.memoryUsage().rss - before) / 2_000).to.be.lessThan(150 * 1_024);
    expect(world.sessions.every(({ bufferedAmount }) => bufferedAmount === 0)).to.equal(true);
    for (const { socket } of sockets) socket.destroy();
    await until(() => world.sockets.sockets === 0);
  });

  describe('when a client does not read', () => {
    const limits = { maxBufferedBytes: 65_536, stallMs: 150 };

    it('buffers for it up to the limit, says when there is room again, and loses nothing', async () => {
      const world = await serving({ limits: { ...limits, stallMs: 30_000 } });
      const client = await Client.loggedIn(world);
      const [session] = world.sessions;
      client.socket.pause();
      const frame = JSON.stringify({ meta: {}, data: 'x'.repeat(5_000) });
      let sent = 0;
      let taken = 0;
      while (session?.send(frame, () => taken++)) {
        sent++;
        expect(session.bufferedAmount).to.be.at.most(limits.maxBufferedBytes);
        // Lets the system take what it can.
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(session?.writable).to.equal(false);
      expect(session?.bufferedAmount).to.be.greaterThan(limits.maxBufferedBytes - 2 * frame.length);
      let roomy = 0;
      session?.onWritable(() => roomy++);
      client.socket.resume();
      await until(() => roomy > 0 && taken === sent);
      expect(session?.send(frame)).to.equal(true);
      await until(() => client.frames.length === sent + 1);
    });

    it('closes 1013 when it takes nothing for the stall time', async () => {
      const world = await serving({ limits });
      const client = await Client.loggedIn(world);
      const [session] = world.sessions;
      client.socket.pause();
      const outcomes: boolean[] = [];
      while (session?.send({ data: 'x'.repeat(5_000) }, (error) => outcomes.push(!error))) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      const codes: number[] = [];
      session?.onClose((code) => codes.push(code));
      await until(() => codes.length === 1);
      expect(codes).to.deep.equal([1013]);
      client.socket.resume();
      expect(await client.closed).to.deep.equal({ code: 1013, reason: 'The client does not read' });
      expect(world.log.lines.find(({ level }) => level === 'warn')?.message).to.equal(
        'client does not read: disconnected',
      );
    });

    it('lets a large frame through alone', async () => {
      const world = await serving({ limits });
      const client = await Client.loggedIn(world);
      expect(world.sessions[0]?.send({ meta: {}, data: 'x'.repeat(500_000) })).to.equal(true);
      expect(((await client.next()).data as string).length).to.equal(500_000);
    });

    it('starts no more of its calls than there is room for their answers', async () => {
      const world = await serving({
        service: () => reply('x'.repeat(20_000)),
        limits: { ...limits, stallMs: 30_000 },
      });
      const client = await Client.loggedIn(world);
      const [session] = world.sessions;
      client.socket.pause();
      const total = 2_000;
      for (let at = 0; at < total; at++) client.send('invoke-service', {}, at);
      await until(() => session?.writable === false);
      let most = 0;
      for (let turn = 0; turn < 200; turn++) {
        most = Math.max(most, session?.bufferedAmount ?? 0);
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(most).to.be.lessThan(limits.maxBufferedBytes + 65 * 20_200);
      expect(world.calls.length).to.be.lessThan(total);
      client.socket.resume();
      await until(() => client.frames.length === total);
      expect(client.frames.every(({ meta }) => meta.status === 200)).to.equal(true);
    });
  });
});

const createSession = JSON.stringify({
  meta: { action: 'create-session', id: 'i', timestamp: '2023-01-01T00:00:00.000000' },
});

const malformed: readonly (readonly [string, RegExp])[] = [
  ['', /^Frame is not valid JSON/],
  ['{', /^Frame is not valid JSON/],
  ['null', /^Frame is not an object/],
  ['[]', /^Frame is not an object/],
  ['{}', /^Frame has no meta$/],
  ['{"meta":[]}', /^Frame has no meta$/],
  ['{"meta":{}}', /^Frame has no meta\.id/],
  ['{"meta":{"id":7,"timestamp":"2023-01-01T00:00:00"}}', /^Frame has no meta\.id/],
  [`{"meta":{"id":"${'i'.repeat(256)}"}}`, /^Frame has no meta\.id/],
  ['{"meta":{"id":"i"}}', /^Frame has no meta\.timestamp/],
  ['{"meta":{"id":"i","timestamp":"yesterday"}}', /^Frame has no meta\.timestamp/],
  [
    '{"meta":{"id":"i","timestamp":"2023-01-01T00:00:00","action":"fly"}}',
    /^Frame has an unknown meta\.action/,
  ],
  ['{"__proto__":{}}', /^Frame is not valid JSON/],
  [`${'['.repeat(200)}${']'.repeat(200)}`, /nests deeper/],
];

/** One connection that misbehaves; its close code, as the server says it. */
async function abuse(world: World, random: () => number): Promise<number> {
  const kind = Math.floor(random() * abuses.length);
  const socket = connect(world.port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(handshake('/ws'));
  for (const part of abuses[kind]?.(random) ?? []) socket.write(part);
  let bytes = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    if (closeCodeIn(bytes) !== undefined) socket.end();
  });
  await once(socket, 'close');
  return closeCodeIn(bytes) ?? 0;
}

type Abuse = (random: () => number) => readonly Buffer[];

const abuses: readonly Abuse[] = [
  // Not a frame of ours.
  (random) => [
    frameOf(0x1, Buffer.from((malformed[Math.floor(random() * malformed.length)] ?? [''])[0])),
  ],
  // A login cut short by noise.
  (random) => [frameOf(0x1, Buffer.from(createSession.slice(0, random() * createSession.length)))],
  // Noise for text.
  (random) => [frameOf(0x1, Buffer.concat([Buffer.from([0xff]), noise(random, 100)]))],
  // Out of order: calls and answers of who never logged in.
  () => [frameOf(0x1, Buffer.from(createSession.replace('create-session', 'invoke-service')))],
  () => [frameOf(0x1, Buffer.from(createSession.replace('create-session', '')))],
  // After the login, with a token that is none.
  () => [frameOf(0x1, Buffer.from(createSession)), frameOf(0x1, Buffer.from(createSession))],
  // A continuation of nothing, reserved opcodes, reserved bits, no mask, a long ping, a cut ping.
  (random) => [frameOf(0x0, noise(random, 10))],
  (random) => [frameOf(0x3 + Math.floor(random() * 5), noise(random, 10))],
  (random) => [frameOf(0x41, noise(random, 10))],
  () => [Buffer.from([firstByte | 0x1, 2, 0x7b, 0x7d])],
  (random) => [frameOf(0x9, noise(random, 126))],
  () => [Buffer.from([0x9, firstByte, 0, 0, 0, 0])],
  // Two messages into each other.
  () => [frameOf(0x1, Buffer.from('{'), false), frameOf(0x1, Buffer.from('}'))],
  // Too long: said so, or by its length alone.
  () => [Buffer.from([firstByte | 0x1, firstByte | 127, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff])],
  () => [Buffer.from([firstByte | 0x1, firstByte | 127, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])],
  () => [frameOf(0x1, Buffer.alloc(65_537, 0x20))],
  // A Close with a code that none may send, and one of a single byte.
  () => [frameOf(0x8, Buffer.from([0x03, 0xed]))],
  () => [frameOf(0x8, Buffer.from([0x03]))],
  // Fragments without an end.
  () =>
    Array.from({ length: 70 }, (_, at) => frameOf(at === 0 ? 0x1 : 0x0, Buffer.from(' '), false)),
];

function frameOf(opcode: number, payload: Buffer, fin = true): Buffer {
  const head = [opcode | (fin ? firstByte : 0)];
  if (payload.length < 126) head.push(firstByte | payload.length);
  else if (payload.length < 65_536) {
    head.push(firstByte | 126, payload.length >> 8, payload.length & 0xff);
  } else {
    const length = payload.length;
    head.push(firstByte | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((by) => (length >> by) & 0xff));
  }
  const mask = Buffer.from([1, 2, 3, 4]);
  const masked = Buffer.from(payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0)));
  return Buffer.concat([Buffer.from(head), mask, masked]);
}

/** Of the Close frame; 1005 when it has no code. */
function closeCodeIn(bytes: Buffer): number | undefined {
  let at = bytes.indexOf('\r\n\r\n') + 4;
  while (at < bytes.length) {
    const opcode = (bytes[at] ?? 0) & 0xf;
    const short = bytes[at + 1] ?? 0;
    const start = at + (short === 126 ? 4 : 2);
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short;
    if (opcode === 0x8) return length < 2 ? 1005 : bytes.readUInt16BE(start);
    at = start + length;
  }
  return undefined;
}

function noise(random: () => number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
}

/** The same numbers each time (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A client that costs this process little: a socket that logs in and waits for one message. */
async function silentClient({
  port,
}: World): Promise<{ socket: Socket; message: Promise<string> }> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(
    Buffer.concat([Buffer.from(handshake('/ws')), frameOf(0x1, Buffer.from(createSession))]),
  );
  let text = '';
  const message = new Promise<string>((resolve) => {
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.includes('"news"') && text.endsWith('}}')) resolve(text);
    });
  });
  return { socket, message };
}
