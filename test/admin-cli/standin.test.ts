import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect } from 'chai';
import { runHence, spawnHence, until } from './support/hence.ts';

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('hence standin pushover', () => {
  it('serves until Ctrl-C, and shows each message with its exact body', async () => {
    const port = await freePort();
    const child = spawnHence(['standin', 'pushover', '--port', String(port)]);
    const closed = once(child, 'close');
    await until(child, `Pushover stand-in on http://127.0.0.1:${port}`);
    const body = `token=${'a'.repeat(30)}&user=${'u'.repeat(30)}&title=Hi&message=hello+there`;
    const shown = until(child, body);
    const reply = await fetch(`http://127.0.0.1:${port}/1/messages.json`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body,
    });
    expect(reply.status).to.equal(200);
    await reply.text();
    expect(await shown)
      .to.contain('│ Hi · just now')
      .and.to.contain('│ hello there');
    child.kill('SIGINT');
    expect((await closed)[0]).to.equal(130);
  });

  it('ends with 4 when its port is taken, and offers the next', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const { code, stderr } = await runHence(['standin', 'pushover', '--port', String(port)]);
    expect(code).to.equal(4);
    expect(stderr)
      .to.contain(`Port ${port} is taken`)
      .and.to.contain(`--port ${port + 1}`);
    other.close();
    await once(other, 'close');
  });
});
