import { isUtf8 } from 'node:buffer';
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { background } from '../../runtime/core/background.ts';
import { newCid } from '../../runtime/core/cid.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { Calls } from './calls.ts';
import type { WebSocketChannel } from './channel.ts';
import { type ClientFrame, dataText, introductionOf, parseFrame } from './client-frame.ts';
import { closeCode } from './close-code.ts';
import { Heartbeat } from './heartbeat.ts';
import type { ConnectionHost } from './host.ts';
import { IdleClock } from './idle-clock.ts';
import { checkCredentials, notAuthorized } from './login.ts';
import { Outbox } from './outbox.ts';
import { errorFrame, invalidUtf8Frame, tokenFrame } from './server-frame.ts';
import { Session } from './session.ts';
import { Token } from './token.ts';

/** A WebSocket, and the connection under it. */
export interface Wire {
  readonly socket: WebSocket;
  readonly stream: Duplex;
}

interface LoggedIn {
  readonly session: Session;
  readonly calls: Calls;
  token: Token;
}

/** One client's connection, from its handshake on. */
export class Connection {
  readonly channel: WebSocketChannel;
  readonly #host: ConnectionHost;
  readonly #socket: WebSocket;
  readonly #outbox: Outbox;
  readonly #heartbeat: Heartbeat;
  readonly #idle: IdleClock;
  readonly #loginTimer: NodeJS.Timeout;
  /** Calls that came while there was no room for them or for their answers. */
  readonly #held: ClientFrame[] = [];
  #heldLength = 0;
  #in: LoggedIn | undefined;
  #checking = false;
  #closing = false;
  #draining = false;

  constructor(host: ConnectionHost, channel: WebSocketChannel, { socket, stream }: Wire) {
    this.#host = host;
    this.channel = channel;
    this.#socket = socket;
    this.#outbox = new Outbox(socket, stream, {
      maxBytes: host.limits.maxBufferedBytes,
      stallMs: host.limits.stallMs,
      full: () => this.#steer(),
      roomy: () => this.#roomy(),
      stalled: () => this.#stalled(),
    });
    this.#heartbeat = new Heartbeat({
      intervalMs: channel.pingIntervalMs,
      missed: channel.pingsMissed,
      ping: (payload) => this.#ping(payload),
      alive: () => this.#in?.token.extend(channel.pingIntervalMs),
      dead: () => this.close(closeCode.pingsMissed, 'Pings missed'),
    });
    this.#idle = new IdleClock(channel.idleMs, () => this.close(closeCode.default, 'Idle'));
    this.#loginTimer = setTimeout(() => this.#refuse(notAuthorized()), channel.loginTimeoutMs);
    socket
      .on('message', (data) => this.#receive(data))
      .on('pong', (payload) => this.#heartbeat.pong(payload))
      .on('error', (error) => this.#broken(error))
      .on('close', (code) => this.#closed(code));
  }

  close(code: number | undefined, reason = ''): void {
    if (this.#closing) return;
    this.#end(code ?? closeCode.default);
    // A Close is answered by one, which has to be read.
    if (this.#socket.isPaused) this.#socket.resume();
    this.#socket.close(code, shortened(reason));
  }

  /** Closes when the calls under way are answered. */
  drain(): void {
    this.#draining = true;
    // Those that wait are answered too: that they are too late.
    for (const frame of this.#held.splice(0)) this.#in?.calls.take(frame);
    this.#closeWhenDrained();
  }

  #receive(data: RawData): void {
    if (this.#closing) return;
    try {
      // The sockets are left at ws' default, which is one Buffer a message.
      this.#take(data as Buffer);
    } catch (error) {
      this.#host.log.error('frame not handled', { ...this.#facts(), error });
      this.close(closeCode.unhandled, 'Internal server error');
    }
  }

  #take(bytes: Buffer): void {
    this.#idle.touch();
    if (!isUtf8(bytes)) {
      this.#refuseText();
      return;
    }
    const frame = this.#parsed(bytes.toString('utf8'));
    if (frame === undefined) return;
    const loggedIn = this.#in;
    if (loggedIn === undefined) this.#introduce(frame);
    else if (loggedIn.token.matches(frame.token)) this.#serve(frame, loggedIn);
    else this.#refuse(notAuthorized());
  }

  #parsed(text: string): ClientFrame | undefined {
    try {
      return parseFrame(text);
    } catch (error) {
      if (!Fault.is(error)) throw error;
      this.#malformed(error);
      return undefined;
    }
  }

  #introduce(frame: ClientFrame): void {
    if (frame.action === 'create-session' && !this.#checking) this.#login(frame);
    else this.#refuse(notAuthorized());
  }

  #serve(frame: ClientFrame, { session, calls }: LoggedIn): void {
    switch (frame.action) {
      case 'invoke-service':
        this.#hold(frame);
        this.#callHeld(calls);
        return;
      case 'client-response':
        this.#answered(frame, session, calls);
        return;
      case 'create-session':
        this.#login(frame);
        return;
    }
  }

  #answered(frame: ClientFrame, session: Session, calls: Calls): void {
    const { inReplyTo, data } = frame;
    if (inReplyTo === undefined || session.answered(inReplyTo, data)) return;
    this.#host.hooks.answered?.(session, { inReplyTo, data, text: dataText(frame) });
    if (inReplyTo.startsWith('zpsm') && !calls.full) {
      calls.hook('on_pubsub_response', { in_reply_to: inReplyTo, data });
    }
  }

  #login(frame: ClientFrame): void {
    const { authenticator } = this.#host;
    const checked = checkCredentials(authenticator, this.channel.security, frame);
    this.#checking = true;
    background(
      checked.then(() => this.#admit(frame)),
      (error) => {
        const fault = Fault.from(error);
        if (fault.code === 'bad-request') this.#malformed(fault);
        else this.#refuse(fault);
      },
    );
  }

  #admit(frame: ClientFrame): void {
    this.#checking = false;
    if (this.#closing) return;
    const token = new Token(this.channel.tokenTtlMs);
    const answer = () => this.#outbox.put(tokenFrame(newCid(), frame.id, token.value));
    if (this.#in) {
      this.#in.token = token;
      answer();
      return;
    }
    const { session, calls } = this.#open(frame, token);
    answer();
    this.#heartbeat.start();
    this.#host.opened(session);
    calls.hook('on_connected');
  }

  #open(frame: ClientFrame, token: Token): LoggedIn {
    const { channel } = this;
    const host = this.#host;
    const session = new Session({
      channel: channel.name,
      security: channel.security,
      introduction: introductionOf(frame),
      outbox: this.#outbox,
      close: (code, reason) => this.close(code, reason),
      broadcast: (request) => host.broadcast(channel.name, request),
    });
    const calls = new Calls({
      host,
      channel,
      session,
      answer: (text) => this.#answer(text),
      ended: () => this.#callEnded(calls),
    });
    clearTimeout(this.#loginTimer);
    this.#in = { session, calls, token };
    return this.#in;
  }

  #answer(frame: string): void {
    if (!this.#closing) this.#outbox.put(frame);
  }

  #hold(frame: ClientFrame): void {
    this.#held.push(frame);
    this.#heldLength += frame.text.length;
  }

  #callHeld(calls: Calls): void {
    while (!this.#outbox.full && !calls.full) {
      const frame = this.#held.shift();
      if (frame === undefined) break;
      this.#heldLength -= frame.text.length;
      calls.take(frame);
    }
    this.#steer();
  }

  #callEnded(calls: Calls): void {
    this.#closeWhenDrained();
    if (this.#held.length > 0) this.#callHeld(calls);
  }

  /** Nothing more is read of a client that has too much to come or to go. */
  #steer(): void {
    if (this.#closing) return;
    const pause = this.#outbox.full || this.#heldLength > this.#host.limits.maxBufferedBytes;
    if (pause === this.#socket.isPaused) return;
    if (pause) this.#socket.pause();
    else this.#socket.resume();
  }

  #roomy(): void {
    if (this.#in) this.#callHeld(this.#in.calls);
    else this.#steer();
    this.#in?.session.roomy();
  }

  #stalled(): void {
    this.#host.log.warn('client does not read: disconnected', {
      ...this.#facts(),
      buffered: this.#outbox.bytes,
    });
    this.close(closeCode.tryAgainLater, 'The client does not read');
  }

  #ping(payload: string): boolean {
    // Who does not read is found by its full buffer.
    if (this.#outbox.full) return false;
    this.#socket.ping(payload);
    return true;
  }

  #malformed(fault: Fault): void {
    this.#note('frame not understood', fault);
    this.#answer(errorFrame(newCid(), fault));
    if (this.#in === undefined) this.close(closeCode.connectionError, 'Not a frame');
  }

  #refuseText(): void {
    if (this.#in === undefined) this.close(closeCode.invalidUtf8, 'Invalid UTF-8 bytes');
    else this.#answer(invalidUtf8Frame());
  }

  /** Zato 3.2 has no close code for who is not let in. */
  #refuse(fault: Fault): void {
    if (this.#closing) return;
    if (fault.code === 'internal') {
      this.#host.log.error('login failed', { ...this.#facts(), error: fault.cause ?? fault });
    } else this.#note('client not let in', fault);
    this.#answer(errorFrame(newCid(), fault));
    this.close(fault.code === 'unauthorized' ? undefined : closeCode.tryAgainLater);
  }

  #broken(error: Error): void {
    this.#note('websocket connection broke', error);
  }

  #closed(code: number): void {
    this.#end(code);
    this.#host.closed(this, this.#in?.session);
  }

  #end(code: number): void {
    if (this.#closing) return;
    this.#closing = true;
    clearTimeout(this.#loginTimer);
    this.#heartbeat.stop();
    this.#idle.stop();
    this.#outbox.stop();
    this.#held.length = 0;
    this.#heldLength = 0;
    const loggedIn = this.#in;
    if (!loggedIn) return;
    loggedIn.session.end(code);
    loggedIn.calls.giveUp();
    loggedIn.calls.hook('on_disconnected', { close_code: code });
  }

  #closeWhenDrained(): void {
    if (!this.#draining || (this.#in?.calls.running ?? 0) > 0) return;
    this.close(closeCode.shutdown, 'Server is shutting down');
  }

  #note(message: string, { message: reason }: Error): void {
    const { log } = this.#host;
    if (log.debugging) log.debug(message, { ...this.#facts(), reason });
  }

  #facts(): Record<string, unknown> {
    return { channel: this.channel.name, client: this.#in?.session.id };
  }
}

/** A reason has room for 123 bytes. */
function shortened(reason: string): string {
  return Buffer.from(reason)
    .subarray(0, 123)
    .toString('utf8')
    .replace(/\ufffd+$/, '');
}
