/*
 * Pushover's rules for a message, as its API page states them (https://pushover.net/api).
 * Texts that only clients have reported, or that nobody has, are marked: they may differ in the real API.
 */

export type Fields = Readonly<Record<string, string>>;

export interface Problem {
  /** The field at fault: a key of the reply. */
  readonly field: string;
  readonly text: string;
}

export interface Attachment {
  readonly type: string;
  readonly bytes: number;
}

export interface Submission {
  readonly fields: Fields;
  readonly attachment?: Attachment;
}

export const limits = {
  message: 1_024,
  title: 250,
  url: 512,
  url_title: 100,
  users: 50,
  attachmentBytes: 5_242_880,
  minRetrySeconds: 30,
  maxExpireSeconds: 10_800,
  maxRepeats: 50,
} as const;

/** Reported by clients. */
const texts = {
  token: 'application token is invalid, see https://pushover.net/api',
  user: 'user identifier is not a valid user, group, or subscribed user key',
  blank: 'message cannot be blank',
  device: 'device name is not valid for this user',
  retry: 'retry must be supplied with priority=2',
  expire: 'expire must be supplied with priority=2',
} as const;

export const sounds: Readonly<Record<string, string>> = {
  pushover: 'Pushover (default)',
  bike: 'Bike',
  bugle: 'Bugle',
  cashregister: 'Cash Register',
  classical: 'Classical',
  cosmic: 'Cosmic',
  falling: 'Falling',
  gamelan: 'Gamelan',
  incoming: 'Incoming',
  intermission: 'Intermission',
  magic: 'Magic',
  mechanical: 'Mechanical',
  pianobar: 'Piano Bar',
  siren: 'Siren',
  spacealarm: 'Space Alarm',
  tugboat: 'Tug Boat',
  alien: 'Alien Alarm (long)',
  climb: 'Climb (long)',
  persistent: 'Persistent (long)',
  echo: 'Pushover Echo (long)',
  updown: 'Up Down (long)',
  vibrate: 'Vibrate Only',
  none: 'None (silent)',
};

type Stage = (submission: Submission) => readonly (Problem | undefined)[];

/** In this order; the first stage with a problem answers with all of its own. */
const stages: readonly Stage[] = [
  ({ fields }) => [tokenProblem(fields)],
  ({ fields }) => [userProblem(fields)],
  ({ fields }) => [blank(fields['message']) ? { field: 'message', text: texts.blank } : undefined],
  ({ fields, attachment }) => [
    tooLong(fields, 'message'),
    tooLong(fields, 'title'),
    tooLong(fields, 'url'),
    tooLong(fields, 'url_title'),
    deviceProblem(fields),
    attachmentProblem(attachment),
  ],
  ({ fields }) => [priorityProblem(fields), ...emergencyProblems(fields)],
  ({ fields }) => [
    // Only a literal 1 counts as true (reported).
    fields['html'] === '1' && fields['monospace'] === '1'
      ? { field: 'html', text: 'html and monospace cannot both be set' }
      : undefined,
  ],
  ({ fields }) => [
    wholeNumber(fields, 'ttl', 1),
    soundProblem(fields),
    wholeNumber(fields, 'timestamp', 0),
  ],
];

/** What is wrong with a message; empty when nothing is. */
export function messageProblems(submission: Submission): readonly Problem[] {
  for (const stage of stages) {
    const problems = stage(submission).filter((problem) => problem !== undefined);
    if (problems.length > 0) return problems;
  }
  return [];
}

export function tokenProblem(fields: Fields): Problem | undefined {
  return isKey(fields['token'] ?? '') ? undefined : { field: 'token', text: texts.token };
}

export function userProblem(fields: Fields): Problem | undefined {
  const users = recipients(fields);
  const valid = users.length <= limits.users && users.every(isKey);
  return valid ? undefined : { field: 'user', text: texts.user };
}

export function deviceProblem(fields: Fields): Problem | undefined {
  const device = fields['device'] ?? '';
  // Devices are ignored with several users.
  if (device === '' || recipients(fields).length > 1) return undefined;
  const valid = device.split(',').every((name) => /^[A-Za-z0-9_-]{1,25}$/.test(name));
  return valid ? undefined : { field: 'device', text: texts.device };
}

/** User and group keys of a message: 50 at most, comma-separated, no spaces. */
export function recipients(fields: Fields): readonly string[] {
  return (fields['user'] ?? '').split(',');
}

export function isEmergency(fields: Fields): boolean {
  return fields['priority'] === '2';
}

function isKey(text: string): boolean {
  return /^[A-Za-z0-9]{30}$/.test(text);
}

function blank(text: string | undefined): boolean {
  return text === undefined || text.trim() === '';
}

/** Characters are code points: the API counts "4-byte UTF-8 characters". */
function tooLong(
  fields: Fields,
  field: 'message' | 'title' | 'url' | 'url_title',
): Problem | undefined {
  const limit = limits[field];
  if ([...(fields[field] ?? '')].length <= limit) return undefined;
  return { field, text: `${field} is too long, limit is ${limit} characters` };
}

function attachmentProblem(attachment: Attachment | undefined): Problem | undefined {
  if (attachment === undefined) return undefined;
  const field = 'attachment';
  if (!attachment.type.startsWith('image/')) return { field, text: 'attachment must be an image' };
  return attachment.bytes > limits.attachmentBytes
    ? { field, text: `attachment is too large, limit is ${limits.attachmentBytes} bytes` }
    : undefined;
}

function priorityProblem(fields: Fields): Problem | undefined {
  const priority = fields['priority'] ?? '';
  if (/^(?:|-2|-1|0|1|2)$/.test(priority)) return undefined;
  return { field: 'priority', text: 'priority is invalid, must be between -2 and 2' };
}

function emergencyProblems(fields: Fields): readonly (Problem | undefined)[] {
  if (!isEmergency(fields)) return [];
  return [retryProblem(fields['retry'] ?? ''), expireProblem(fields['expire'] ?? '')];
}

function retryProblem(retry: string): Problem | undefined {
  if (retry === '') return { field: 'retry', text: texts.retry };
  if (/^\d{1,9}$/.test(retry) && Number(retry) >= limits.minRetrySeconds) return undefined;
  return { field: 'retry', text: `retry must be at least ${limits.minRetrySeconds} seconds` };
}

function expireProblem(expire: string): Problem | undefined {
  if (expire === '') return { field: 'expire', text: texts.expire };
  const seconds = /^\d{1,9}$/.test(expire) ? Number(expire) : 0;
  if (seconds > 0 && seconds <= limits.maxExpireSeconds) return undefined;
  return {
    field: 'expire',
    text: `expire must be between 1 and ${limits.maxExpireSeconds} seconds`,
  };
}

function wholeNumber(fields: Fields, field: string, least: number): Problem | undefined {
  const text = fields[field] ?? '';
  if (text === '' || (/^\d{1,12}$/.test(text) && Number(text) >= least)) return undefined;
  return { field, text: `${field} must be a whole number of at least ${least}` };
}

/** A name of the list, or a custom one of the account: those have the same shape. */
function soundProblem(fields: Fields): Problem | undefined {
  const sound = fields['sound'] ?? '';
  if (sound === '' || sound in sounds || /^[A-Za-z0-9_-]{1,20}$/.test(sound)) return undefined;
  return { field: 'sound', text: 'sound is invalid' };
}
