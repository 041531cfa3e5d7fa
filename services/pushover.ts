import { Fault, Service } from 'hence';

export interface Notification {
  /** Whose key is in the Redis hash `users.<user>`. */
  user: string;
  message: string;
  subject?: string;
  /** When set, the notification is logged and not sent. */
  testing?: unknown;
}

export interface Receipt {
  status: number;
  request: string;
}

interface PushoverReply extends Receipt {
  errors?: string[];
}

const maxMessage = 1_024;
const maxTitle = 250;
const key = /^[A-Za-z0-9]{30}$/;
const keys = /^[A-Za-z0-9]{30}(,[A-Za-z0-9]{30}){0,49}$/;

/** Notifies a user's phone by Pushover. */
export class SendMessage extends Service<Notification, Receipt> {
  static io = {
    input: { required: ['user', 'message'], optional: ['subject', 'testing'] },
    output: { required: ['status', 'request'] },
  };

  async handle() {
    const { user, message, subject, testing } = checked(this.request.input);

    if (testing) {
      this.logger.info('notification not sent: testing', { user, subject, notification: message });
      this.response.payload = { status: 1, request: 'test' };
      return;
    }

    const form = new URLSearchParams({
      token: await this.token(),
      user: await this.userKey(user),
      message,
    });
    if (subject) form.set('title', subject);

    const pushover = this.outgoing.plainHttp.get('pushover');
    const reply = await pushover.conn.send(this.cid, form);
    if (reply.status === 429) {
      throw new Fault('too-many', 'Pushover: the application has used up its messages');
    }
    if (reply.status >= 500) {
      throw new Fault('unavailable', `Pushover answered ${reply.status}`);
    }
    const { status, request, errors } = reply.json<PushoverReply>();
    if (status !== 1) {
      const reasons = errors ?? [`status ${reply.status}`];
      throw new Fault('bad-request', `Pushover refused the message: ${reasons.join(', ')}`, {
        details: { errors: reasons, request },
      });
    }
    this.response.payload = { status, request };
  }

  private async userKey(user: string): Promise<string> {
    const found = await this.kvdb.conn.hget(`users.${user}`, 'pushover');
    if (found === null) {
      throw new Fault(
        'not-found',
        `No Pushover key for user ${user}: hset users.${user} pushover KEY`,
      );
    }
    if (!keys.test(found)) {
      throw new Fault(
        'unavailable',
        `The Pushover key of user ${user} is not 30 letters and digits`,
      );
    }
    return found;
  }

  private async token(): Promise<string> {
    const found = await this.kvdb.conn.get('app.pushover.token');
    if (found === null) {
      throw new Fault('unavailable', 'No Pushover application token: set app.pushover.token TOKEN');
    }
    if (!key.test(found)) {
      throw new Fault('unavailable', 'app.pushover.token is not 30 letters and digits');
    }
    return found;
  }
}

/** Pushover blocks who sends too much that it must refuse: so nothing is sent that it would refuse. */
function checked(input: Notification) {
  const user = String(input.user);
  const message = String(input.message);
  const subject = input.subject === undefined ? '' : String(input.subject);
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(user)) {
    throw new Fault('bad-request', 'user must be 1-64 letters, digits, "_", "." or "-"');
  }
  if (message.trim() === '') throw new Fault('bad-request', 'message must not be blank');
  limit('message', message, maxMessage);
  limit('subject', subject, maxTitle);
  return { user, message, subject, testing: isSet(input.testing) };
}

/** Pushover counts characters, not UTF-16 units. */
function limit(field: string, text: string, most: number) {
  const length = [...text].length;
  if (length <= most) return;
  throw new Fault('bad-request', `${field} has ${length} characters, at most ${most} are allowed`, {
    details: { field, length, limit: most },
  });
}

/** From a form or a query everything comes as text. */
function isSet(value: unknown): boolean {
  const text = String(value ?? '').toLowerCase();
  return !['', 'false', '0', 'no'].includes(text);
}
