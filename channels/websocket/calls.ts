import { newCid } from '../../runtime/core/cid.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { httpStatus } from '../../runtime/core/http-status.ts';
import type { WebSocketChannel } from './channel.ts';
import type { ClientFrame } from './client-frame.ts';
import { wishOf } from './gateway.ts';
import type { ConnectionHost } from './host.ts';
import { faultFrame, replyFrame } from './server-frame.ts';
import type { Session } from './session.ts';
import { WsxCall } from './wsx-call.ts';

export interface CallsOptions {
  readonly host: ConnectionHost;
  readonly channel: WebSocketChannel;
  readonly session: Session;
  readonly answer: (frame: string) => void;
  /** A call has ended: there is a place for another. */
  readonly ended: () => void;
}

interface Answered {
  readonly statusCode: number;
  readonly payload: unknown;
}

/** The calls of services that one client has under way. */
export class Calls {
  readonly #options: CallsOptions;
  readonly #running = new Set<WsxCall>();

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running.size;
  }

  get full(): boolean {
    return this.#running.size >= this.#options.host.limits.maxInFlight;
  }

  /** Answers an invoke-service frame. */
  take(frame: ClientFrame): void {
    const { host, channel } = this.#options;
    const cid = newCid();
    try {
      if (host.draining) throw new Fault('unavailable', 'Server is shutting down');
      const wish = wishOf(channel, frame);
      const call = new WsxCall(this.#options.session, wish, {
        cid,
        timeoutMs: channel.timeoutMs,
      });
      this.#begin(call);
      this.#run(call).then(
        (answered) => this.#reply(call, frame, answered),
        (error) => this.#fail(call, frame, error),
      );
    } catch (error) {
      const fault = Fault.from(error);
      this.#options.answer(faultFrame(cid, frame.id, fault));
      if (host.log.debugging) {
        host.log.debug('frame refused', { cid, channel: channel.name, reason: fault.message });
      }
    }
  }

  /** Tells the channel's hook service, where there is one. */
  hook(event: string, facts: Readonly<Record<string, unknown>> = {}): void {
    const { host, channel, session } = this.#options;
    if (channel.hook === undefined) return;
    const { id, clientId, clientName } = session;
    const input = {
      event,
      channel: channel.name,
      pub_client_id: id,
      client_id: clientId,
      client_name: clientName,
      ...facts,
    };
    const wish = { service: channel.hook, input, text: undefined };
    const call = new WsxCall(session, wish, { cid: newCid(), timeoutMs: channel.timeoutMs });
    this.#begin(call);
    host.invoke(call).then(
      () => this.#end(call),
      (error) => {
        this.#log(call, Fault.from(error));
        this.#end(call);
      },
    );
  }

  /** Nobody waits for the answers any more. */
  giveUp(): void {
    if (this.#running.size === 0) return;
    const gone = new Fault('unavailable', 'The WebSocket client closed the connection');
    for (const call of this.#running) call.giveUp(gone);
  }

  async #run(call: WsxCall): Promise<Answered> {
    const { host, channel, session } = this.#options;
    const own = channel.service === undefined ? host.gatewayService(call.service) : undefined;
    if (!own) return host.invoke(call);
    const { cid, signal } = call;
    const text = call.rawRequest === '' ? undefined : String(call.rawRequest);
    const request = text === undefined ? undefined : call.input;
    return { statusCode: 200, payload: await own({ cid, session, request, text, signal }) };
  }

  #reply(call: WsxCall, frame: ClientFrame, { statusCode, payload }: Answered): void {
    try {
      this.#options.answer(replyFrame(call.cid, frame.id, { status: statusCode, payload }));
    } catch (error) {
      this.#fail(call, frame, error);
      return;
    }
    const { log } = this.#options.host;
    if (log.debugging) log.debug('frame served', this.#facts(call, statusCode));
    this.#end(call);
  }

  #fail(call: WsxCall, frame: ClientFrame, error: unknown): void {
    const fault = Fault.from(error);
    this.#options.answer(faultFrame(call.cid, frame.id, fault));
    this.#log(call, fault);
    this.#end(call);
  }

  #begin(call: WsxCall): void {
    this.#running.add(call);
    this.#options.host.callBegun();
  }

  #end(call: WsxCall): void {
    this.#running.delete(call);
    this.#options.host.callEnded();
    this.#options.ended();
  }

  #log(call: WsxCall, fault: Fault): void {
    const { log } = this.#options.host;
    const facts = {
      ...this.#facts(call, httpStatus[fault.code]),
      code: fault.code,
      reason: fault.message,
    };
    if (fault.code === 'internal') {
      log.error('frame failed', { ...facts, error: fault.cause ?? fault });
    } else if (fault.code === 'unavailable' || fault.code === 'timeout') {
      log.warn('frame failed', facts);
    } else if (log.debugging) {
      log.debug('frame failed', facts);
    }
  }

  #facts(call: WsxCall, status: number): Record<string, unknown> {
    const { channel, session } = this.#options;
    return {
      cid: call.cid,
      channel: channel.name,
      client: session.id,
      service: call.service,
      status,
      ms: Math.round((performance.now() - call.startedAt) * 100) / 100,
    };
  }
}
