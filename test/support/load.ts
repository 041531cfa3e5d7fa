import { Agent, request } from 'node:http';

interface LoadReport {
  readonly sent: number;
  /** What went wrong, one sentence each; a status that is not expected counts. */
  readonly failed: readonly string[];
  /** Each distinct body, and how often it came. */
  readonly bodies: ReadonlyMap<string, number>;
}

export interface Load {
  readonly sent: number;
  /** Bodies since the last look. */
  seen(): ReadonlyMap<string, number>;
  stop(): Promise<LoadReport>;
}

interface LoadOptions {
  readonly connections?: number;
  readonly expected?: readonly number[];
  readonly body?: string;
  /** Ends a client at its first failed request, whose error is kept. */
  readonly untilFailure?: boolean;
}

/** Clients that send one request after another, each on a keep-alive connection of its own. */
export function startLoad(url: string, options: LoadOptions = {}): Load {
  const { connections = 6, expected = [200], body, untilFailure = false } = options;
  const failed: string[] = [];
  const bodies = new Map<string, number>();
  let recent = new Map<string, number>();
  let sent = 0;
  let running = true;
  const client = async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (running) {
      sent += 1;
      try {
        const reply = await ask(url, agent, body);
        count(bodies, reply.body);
        count(recent, reply.body);
        if (!expected.includes(reply.status)) failed.push(`${reply.status} ${reply.body}`);
      } catch (error) {
        failed.push(String(error));
        if (untilFailure) break;
      }
    }
    agent.destroy();
  };
  const clients = Array.from({ length: connections }, client);
  return {
    get sent() {
      return sent;
    },
    seen() {
      const seen = recent;
      recent = new Map();
      return seen;
    },
    async stop() {
      running = false;
      await Promise.all(clients);
      return { sent, failed, bodies };
    },
  };
}

export interface HttpReply {
  readonly status: number;
  readonly body: string;
}

/** One request, by Node's own client: no retries of any kind. */
export function ask(url: string, agent?: Agent, body?: string): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    const sending = request(
      url,
      { method: body === undefined ? 'GET' : 'POST', ...(agent ? { agent } : {}) },
      (reply) => {
        let text = '';
        reply.on('data', (bytes) => {
          text += String(bytes);
        });
        reply.on('end', () => resolve({ status: reply.statusCode ?? 0, body: text }));
        reply.on('error', reject);
      },
    );
    sending.on('error', (error: NodeJS.ErrnoException) => {
      // A listener that closes resets what it has not accepted yet: refused, by another name.
      const fresh = error.code === 'ECONNRESET' && !sending.reusedSocket;
      reject(fresh ? new Error(`ECONNRESET of a new connection`, { cause: error }) : error);
    });
    sending.end(body);
  });
}

function count(bodies: Map<string, number>, body: string): void {
  bodies.set(body, (bodies.get(body) ?? 0) + 1);
}
