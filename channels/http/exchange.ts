import type { IncomingMessage, ServerResponse } from 'node:http';
import { cidFrom } from '../../runtime/core/cid.ts';
import { Fault } from '../../runtime/core/fault.ts';
import type { Logger } from '../../runtime/log/logger.ts';
import type { Authenticator, Principal } from '../../runtime/security/authenticator.ts';
import type { Call, Reply } from '../../runtime/service/call.ts';
import { hasBody, readBody } from './body.ts';
import type { Channel } from './channel.ts';
import { ChannelCall } from './channel-call.ts';
import { encodeReply } from './encode.ts';
import { HttpFault, statusOf } from './http-fault.ts';
import { mergeInput, noFields, parseBody, parseFields } from './input.ts';
import type { Params, Routes } from './routes.ts';
import { send, sendFault } from './send.ts';
import { splitTarget, type Target } from './target.ts';

/** What all exchanges of a server share. */
export interface ExchangeHost {
  readonly routes: Routes;
  readonly authenticator: Pick<Authenticator, 'authenticate' | 'challenge'>;
  readonly log: Logger;
  /** When true, each connection ends with its next reply. */
  readonly draining: boolean;
  invoke(call: Call): Promise<Reply>;
  /** Asked about the requests that are of no channel; true when it has taken one. */
  readonly fallback: ((req: IncomingMessage, res: ServerResponse) => boolean) | undefined;
}

const maxHeaders = 100;

/** One request and its reply. */
export class Exchange {
  readonly #host: ExchangeHost;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #startedAt = performance.now();
  readonly #cid: string;
  #target: Target | undefined;
  #channel: Channel | undefined;
  #params: Params = {};
  #user: string | undefined;
  #abort: AbortController | undefined;
  #gone: Fault | undefined;
  #timer: NodeJS.Timeout | undefined;
  #answered = false;

  constructor(host: ExchangeHost, req: IncomingMessage, res: ServerResponse) {
    this.#host = host;
    this.#req = req;
    this.#res = res;
    this.#cid = cidFrom(req.headers['x-hence-cid']);
  }

  serve(): void {
    try {
      this.#route();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The connection is done with this exchange, answered or not. */
  closed(): void {
    clearTimeout(this.#timer);
    if (this.#res.writableFinished) return;
    this.#giveUp(new Fault('unavailable', 'The caller closed the connection'));
    if (this.#answered || this.#channel === undefined) return;
    this.#answered = true;
    this.#host.log.debug('request abandoned', this.#facts());
  }

  #route(): void {
    const { method = 'GET', url = '/' } = this.#req;
    checkHead(this.#req);
    const target = splitTarget(url);
    this.#target = target;
    const match = this.#host.routes.match(method, target.path);
    if (match === undefined) this.#unmatched();
    else if (match.channel === undefined) this.#refuseMethod(method, match.allow);
    else {
      this.#channel = match.channel;
      this.#params = match.params;
      this.#authenticate(match.channel);
    }
  }

  #unmatched(): void {
    const { fallback } = this.#host;
    if (this.#host.draining) this.#res.shouldKeepAlive = false;
    this.#answered = fallback?.(this.#req, this.#res) ?? false;
    if (this.#answered) return;
    const { method, url = '' } = this.#req;
    throw new Fault('not-found', `No channel takes ${method} ${url.slice(0, 200)}`);
  }

  #refuseMethod(method: string, allow: readonly string[]): void {
    if (method !== 'OPTIONS') {
      const sentence = `${method} is not served here, only ${allow.join(', ')}`;
      throw new Fault('method-not-allowed', sentence, { details: { allow } });
    }
    this.#answer({
      status: 204,
      headers: ['X-Hence-CID', this.#cid, 'Allow', allow.join(', ')],
      body: undefined,
    });
  }

  #authenticate(channel: Channel): void {
    if (channel.security === undefined) {
      this.#read(channel);
      return;
    }
    const { authorization } = this.#req.headers;
    const principal = this.#host.authenticator.authenticate(channel.security, authorization);
    if (!(principal instanceof Promise)) {
      this.#admit(channel, principal);
      return;
    }
    principal.then((found) => this.#admit(channel, found)).catch((error) => this.#fail(error));
  }

  #admit(channel: Channel, { name }: Principal): void {
    this.#user = name;
    this.#read(channel);
  }

  #read(channel: Channel): void {
    if (!hasBody(this.#req)) {
      this.#invoke(channel, undefined);
      return;
    }
    readBody(this.#req, channel.maxBodyBytes, (error, body) => {
      if (error) this.#fail(error);
      else this.#tryInvoke(channel, body);
    });
  }

  #tryInvoke(channel: Channel, body: Buffer): void {
    try {
      this.#invoke(channel, body);
    } catch (error) {
      this.#fail(error);
    }
  }

  #invoke(channel: Channel, bytes: Buffer | undefined): void {
    if (this.#answered) return;
    const call = this.#callOf(channel, bytes);
    this.#timer = setTimeout(expire, channel.timeoutMs, this);
    this.#host.invoke(call).then(
      (reply) => this.#reply(channel, reply),
      (error) => this.#fail(error),
    );
  }

  #callOf(channel: Channel, bytes: Buffer | undefined): Call {
    const { search, path } = this.#target as Target;
    const query = search === '' ? noFields : parseFields(search, 'Query');
    const body = parseBody(channel.dataFormat, bytes);
    const { method = 'GET', headers } = this.#req;
    const http = {
      // A GET channel answers HEAD with what GET would say.
      method: method === 'HEAD' && channel.method === 'GET' ? 'GET' : method,
      path,
      params: this.#params,
      query,
      headers,
    };
    return new ChannelCall(this, channel, {
      cid: this.#cid,
      input: mergeInput(body.value, query, this.#params),
      rawRequest: body.raw,
      http: this.#user === undefined ? http : { ...http, user: this.#user },
    });
  }

  /** Aborted when the caller is gone or the channel's time is up. Made at its first use. */
  signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#gone) this.#abort.abort(this.#gone);
    }
    return this.#abort.signal;
  }

  #giveUp(reason: Fault): void {
    this.#gone ??= reason;
    this.#abort?.abort(this.#gone);
  }

  /** For the timer: the service did not answer in time. */
  expire(): void {
    const { name, service, timeoutMs } = this.#channel as Channel;
    const late = new Fault(
      'timeout',
      `Channel ${name}: service ${service} did not answer in ${timeoutMs} ms`,
    );
    this.#giveUp(late);
    this.#fail(late);
  }

  #reply(channel: Channel, reply: Reply): void {
    if (this.#answered) return;
    try {
      this.#answer(encodeReply(channel, reply, this.#cid));
    } catch (error) {
      this.#fail(error);
    }
  }

  #answer(encoded: ReturnType<typeof encodeReply>): void {
    if (this.#host.draining) this.#res.shouldKeepAlive = false;
    send(this.#res, encoded);
    this.#done();
    if (this.#host.log.debugging) {
      this.#host.log.debug('request served', this.#facts(encoded.status));
    }
  }

  #fail(thrown: unknown): void {
    if (this.#answered) return;
    const fault = thrown instanceof URIError ? badEscape(thrown) : Fault.from(thrown);
    this.#done();
    if (this.#host.draining) this.#res.shouldKeepAlive = false;
    const writable = !this.#res.headersSent && !this.#res.destroyed;
    if (writable) sendFault(this.#req, this.#res, fault, this.#cid, this.#headersOf(fault));
    this.#logFault(fault);
  }

  #done(): void {
    this.#answered = true;
    clearTimeout(this.#timer);
  }

  #headersOf(fault: Fault): readonly string[] {
    const security = this.#channel?.security;
    if (fault.code === 'unauthorized' && security !== undefined) {
      return ['WWW-Authenticate', this.#host.authenticator.challenge(security)];
    }
    return fault.code === 'method-not-allowed' ? allowHeader(fault.details) : [];
  }

  #logFault(fault: Fault): void {
    const { log } = this.#host;
    const facts = { ...this.#facts(statusOf(fault)), code: fault.code };
    if (fault.code === 'internal') {
      log.error('request failed', { ...facts, reason: fault.message, error: fault.cause ?? fault });
    } else if (fault.code === 'unavailable' || fault.code === 'timeout') {
      log.warn('request failed', { ...facts, reason: fault.message });
    } else if (log.debugging) {
      log.debug('request failed', { ...facts, reason: fault.message });
    }
  }

  #facts(status?: number): Record<string, unknown> {
    return {
      cid: this.#cid,
      method: this.#req.method,
      path: this.#target?.path,
      channel: this.#channel?.name,
      service: this.#channel?.service,
      status,
      ms: Math.round((performance.now() - this.#startedAt) * 100) / 100,
    };
  }
}

/** What the parser lets pass, and HTTP or our limits do not. */
function checkHead({ rawHeaders, headers, httpVersion }: IncomingMessage): void {
  if (rawHeaders.length > 2 * maxHeaders) {
    throw new HttpFault(431, 'too-large', `More than ${maxHeaders} headers`);
  }
  if (headers.host === undefined && httpVersion === '1.1') {
    throw new Fault('bad-request', 'The Host header is missing');
  }
  if (!httpVersion.startsWith('1.')) {
    throw new HttpFault(505, 'bad-request', 'Only HTTP/1.1 and HTTP/1.0 are served here');
  }
}

function expire(exchange: Exchange): void {
  exchange.expire();
}

function badEscape(error: URIError): Fault {
  return new Fault('bad-request', 'The path has an escape that is not UTF-8', { cause: error });
}

function allowHeader(details: unknown): readonly string[] {
  if (typeof details !== 'object' || details === null || !('allow' in details)) return [];
  const { allow } = details;
  return Array.isArray(allow) ? ['Allow', allow.join(', ')] : [];
}
