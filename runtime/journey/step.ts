/** What happened: through which door, to which message, over which connection. */
export type StepKind =
  | 'channel'
  | 'invoke'
  | 'publish'
  | 'queue'
  | 'attempt'
  | 'delivered'
  | 'acked'
  | 'dead'
  | 'outgoing'
  | 'expired'
  | 'log';

/** Names and numbers only: never data, never a secret. What is not listed here is not kept. */
export interface StepFacts {
  readonly channel?: string;
  readonly service?: string;
  readonly version?: number | string;
  readonly topic?: string;
  readonly msgId?: string;
  /** How many queues it was put in. */
  readonly queues?: number;
  /** Names, with ", " between them. */
  readonly subscriptions?: string;
  readonly subscription?: string;
  /** Where a push goes: a service or an outgoing connection. */
  readonly endpoint?: string;
  readonly attempt?: number;
  readonly connection?: string;
  readonly method?: string;
  readonly status?: number;
  readonly publisher?: string;
  readonly inReplyTo?: string;
  readonly duplicate?: boolean;
  readonly reason?: string;
  readonly error?: string;
  /** When it is tried again, in ms from the step. */
  readonly againInMs?: number;
  readonly message?: string;
}

export interface Step {
  /** Of the journey; empty when only the message is known. */
  readonly cid: string;
  readonly kind: StepKind;
  /** When it began, in ms since 1970; now when it is left out. */
  readonly at?: number;
  /** How long it took. */
  readonly ms?: number;
  readonly ok?: boolean;
  readonly facts: StepFacts;
}

/** A step as it was kept. */
export interface KeptStep extends Step {
  readonly at: number;
  /** The process that noted it. */
  readonly place?: string;
}

const longest = 300;

const known: Readonly<Record<keyof StepFacts, readonly string[]>> = {
  channel: ['string'],
  service: ['string'],
  version: ['number', 'string'],
  topic: ['string'],
  msgId: ['string'],
  queues: ['number'],
  subscriptions: ['string'],
  subscription: ['string'],
  endpoint: ['string'],
  attempt: ['number'],
  connection: ['string'],
  method: ['string'],
  status: ['number'],
  publisher: ['string'],
  inReplyTo: ['string'],
  duplicate: ['boolean'],
  reason: ['string'],
  error: ['string'],
  againInMs: ['number'],
  message: ['string'],
};

/** The step as it is stored: listed facts alone, texts cut to 300 characters and without secrets. */
export function shortStep(step: KeptStep, redact: (text: string) => string): KeptStep {
  const facts: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(step.facts)) {
    if (!isKnown(name, value)) continue;
    facts[name] = typeof value === 'string' ? cut(redact(value)) : value;
  }
  const { cid, kind, at, ms, ok } = step;
  return {
    cid,
    kind,
    at,
    ...(ms === undefined ? {} : { ms: Math.round(ms * 10) / 10 }),
    ...(ok === undefined ? {} : { ok }),
    facts,
  };
}

function isKnown(name: string, value: unknown): boolean {
  return Object.hasOwn(known, name) && known[name as keyof StepFacts].includes(typeof value);
}

/** Half of a surrogate pair is not left at the end. */
function cut(text: string): string {
  if (text.length <= longest) return text;
  return `${text.slice(0, longest - 3).replace(/[\uD800-\uDBFF]$/, '')}...`;
}

/** Whether it must not get lost among the usual ones. */
export function isTrouble({ kind, ok }: Step): boolean {
  return ok === false || kind === 'dead' || kind === 'expired';
}
