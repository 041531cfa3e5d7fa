import { Writable } from 'node:stream';
import { expect } from 'chai';
import { followLog } from '../../runtime/admin/log-stream.ts';
import { LogHub } from '../../runtime/log/log-hub.ts';
import { Redactor } from '../../runtime/log/redact.ts';

function hub(): { readonly logs: LogHub; write(message: string): void } {
  const out = new Writable({ write: (_chunk, _encoding, done) => done() });
  const logs = new LogHub({ format: 'json', out, colour: false, redactor: new Redactor() });
  const input = logs.input();
  return {
    logs,
    write: (message) => {
      input.write(
        `${JSON.stringify({ time: new Date().toISOString(), level: 'info', message })}\n`,
      );
    },
  };
}

describe('Following the log', () => {
  it('gives the kept lines, then each new one, until it is aborted', async () => {
    const { logs, write } = hub();
    write('one');
    const end = new AbortController();
    const lines = followLog(logs, {}, end.signal);
    expect((await lines.next()).value).to.include({ message: 'one' });
    const next = lines.next();
    write('two');
    expect((await next).value).to.include({ message: 'two' });
    const last = lines.next();
    end.abort();
    expect(await last).to.deep.equal({ value: undefined, done: true });
  });

  it('misses and doubles no line that comes while the kept ones are read', async () => {
    const { logs, write } = hub();
    for (const n of [1, 2, 3]) write(`${n}`);
    const end = new AbortController();
    const seen: string[] = [];
    for await (const { message } of followLog(logs, {}, end.signal)) {
      seen.push(message);
      if (seen.length <= 3) write(`${seen.length + 3}`);
      if (seen.length === 6) end.abort();
    }
    expect(seen).to.deep.equal(['1', '2', '3', '4', '5', '6']);
  });

  it('tells a slow reader how many lines it missed, and keeps the newest 1,000', async () => {
    const { logs, write } = hub();
    write('first');
    const end = new AbortController();
    const lines = followLog(logs, {}, end.signal);
    await lines.next();
    for (let n = 0; n < 1_001; n++) write(`${n}`);
    expect((await lines.next()).value).to.include({ level: 'warn', count: 1 });
    expect((await lines.next()).value).to.include({ message: '1' });
    for (let n = 2; n < 1_001; n++) await lines.next();
    const pending = lines.next();
    write('new');
    expect((await pending).value).to.include({ message: 'new' });
    await lines.return();
  });

  it('ends at once when it was aborted before', async () => {
    const { logs } = hub();
    const lines = followLog(logs, {}, AbortSignal.abort());
    expect((await lines.next()).done).to.equal(true);
  });
});
