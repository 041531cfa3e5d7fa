import { randomUUID } from 'node:crypto';
import { parseBody } from './body.ts';
import { Quota } from './quota.ts';
import { Receipts } from './receipts.ts';
import {
  deviceProblem,
  type Fields,
  isEmergency,
  messageProblems,
  type Problem,
  recipients,
  type Submission,
  sounds,
  tokenProblem,
  userProblem,
} from './rules.ts';

export interface Asked {
  readonly method: string;
  readonly url: URL;
  /** Content type. */
  readonly type: string;
  readonly body: Buffer;
}

export interface Answer {
  readonly status: number;
  readonly reply: object;
  readonly headers?: Readonly<Record<string, string>>;
  /** The fields of a message, for who wants to show it. */
  readonly fields?: Fields;
}

type Handler = (submission: Submission, part: string) => Answer;

interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: RegExp;
  readonly handler: Handler;
}

/** The calls of https://pushover.net/api, on state of its own. */
export class PushoverApi {
  readonly receipts: Receipts;
  readonly #quota: Quota;
  readonly #routes: readonly Route[];

  constructor(now: () => number, quota?: number) {
    this.receipts = new Receipts(now);
    this.#quota = new Quota(now, quota);
    this.#routes = [
      { method: 'POST', path: /^\/1\/messages\.json$/, handler: (asked) => this.#message(asked) },
      { method: 'POST', path: /^\/1\/users\/validate\.json$/, handler: (asked) => validate(asked) },
      { method: 'GET', path: /^\/1\/sounds\.json$/, handler: withToken(() => ok({ sounds })) },
      {
        method: 'GET',
        path: /^\/1\/apps\/limits\.json$/,
        handler: withToken(() => ok(this.#quota.view())),
      },
      // The form of this path is not confirmed by the API page.
      {
        method: 'POST',
        path: /^\/1\/receipts\/cancel_by_tag\/([^/%]+)\.json$/,
        handler: withToken((token, tag) => ok({ canceled: this.receipts.cancelByTag(tag, token) })),
      },
      {
        method: 'POST',
        path: /^\/1\/receipts\/([^/%]+)\/cancel\.json$/,
        handler: withToken((token, id) => (this.receipts.cancel(id, token) ? ok({}) : noReceipt())),
      },
      {
        method: 'GET',
        path: /^\/1\/receipts\/([^/%]+)\.json$/,
        handler: withToken((token, id) => {
          const view = this.receipts.view(id, token);
          return view === undefined ? noReceipt() : ok(view);
        }),
      },
    ];
  }

  async answer({ method, url, type, body }: Asked): Promise<Answer> {
    if (url.pathname === '/') return ok({});
    const found = this.#routes.filter(({ path }) => path.test(url.pathname));
    if (found.length === 0) return refusal(404, 'no such resource');
    const route = found.find((candidate) => candidate.method === method);
    if (route === undefined) return refusal(405, `method ${method} is not allowed here`);
    const submission = body.length === 0 ? { fields: {} } : await parseBody(type, body);
    if (submission === undefined)
      return refusal(400, 'the body is not a form, JSON object or multipart form');
    const fields = { ...Object.fromEntries(url.searchParams), ...submission.fields };
    const part = route.path.exec(url.pathname)?.[1] ?? '';
    return route.handler({ ...submission, fields }, part);
  }

  overQuota(): Answer {
    const problem = { field: 'token', text: 'application has exceeded its monthly message limit' };
    return { ...problems([problem], 429), headers: this.#quota.headers() };
  }

  clear(): void {
    this.receipts.clear();
    this.#quota.clear();
  }

  #message(submission: Submission): Answer {
    const { fields } = submission;
    const found = messageProblems(submission);
    if (found.length > 0)
      return { ...problems(found, 400), headers: this.#quota.headers(), fields };
    if (!this.#quota.charge(recipients(fields).length)) return { ...this.overQuota(), fields };
    const receipt = isEmergency(fields) ? { receipt: this.receipts.open(fields) } : {};
    return { ...ok(receipt), headers: this.#quota.headers(), fields };
  }
}

function validate({ fields }: Submission): Answer {
  const problem = tokenProblem(fields) ?? userProblem(fields) ?? deviceProblem(fields);
  if (problem !== undefined) return problems([problem], 400);
  return ok({ group: 0, devices: ['phone'], licenses: ['Android', 'iOS'] });
}

function withToken(handler: (token: string, part: string) => Answer): Handler {
  return ({ fields }, part) => {
    const problem = tokenProblem(fields);
    return problem === undefined ? handler(fields['token'] ?? '', part) : problems([problem], 400);
  };
}

function noReceipt(): Answer {
  return problems(
    [{ field: 'receipt', text: 'receipt not found; may be invalid or expired' }],
    404,
  );
}

function ok(more: object): Answer {
  return { status: 200, reply: { ...more, status: 1, request: randomUUID() } };
}

/** A refusal that no field is to blame for. */
export function refusal(status: number, text: string): Answer {
  return { status, reply: { errors: [text], status: 0, request: randomUUID() } };
}

/** Each field at fault is a key of the reply. */
export function problems(found: readonly Problem[], status: number): Answer {
  const keys = Object.fromEntries(found.map(({ field }) => [field, 'invalid']));
  const errors = found.map(({ text }) => text);
  return { status, reply: { ...keys, errors, status: 0, request: randomUUID() } };
}
