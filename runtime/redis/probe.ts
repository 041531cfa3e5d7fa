import { connect } from 'node:net';

/**
 * Sends one inline command to a Redis on a unix socket and gives its reply without the frame, or undefined when nothing
 * answers in time. A raw socket, because a client with reconnects is the wrong tool to ask "is somebody there?".
 */
export function askRedis(
  path: string,
  command: string,
  timeoutMs: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    let received = '';
    const socket = connect(path, () => socket.write(`${command}\r\n`));
    const deadline = setTimeout(() => finish(undefined), timeoutMs);
    const finish = (reply: string | undefined) => {
      clearTimeout(deadline);
      socket.destroy();
      resolve(reply);
    };
    socket.setEncoding('utf8');
    socket.on('data', (text) => {
      received += text;
      const reply = completeReply(received);
      if (reply !== undefined) finish(reply);
    });
    socket.on('error', () => finish(undefined));
    socket.on('close', () => finish(undefined));
  });
}

/** A simple string or error as one line, or the body of a bulk string; ASCII, as PING and INFO answer. */
function completeReply(received: string): string | undefined {
  const end = received.indexOf('\r\n');
  if (end === -1) return undefined;
  if (!received.startsWith('$')) return received.slice(0, end);
  const body = received.slice(end + 2);
  return body.endsWith('\r\n') && Buffer.byteLength(body) >= Number(received.slice(1, end)) + 2
    ? body
    : undefined;
}
