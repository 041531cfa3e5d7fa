import type { IncomingMessage } from 'node:http';
import type { Attachment, Fields, Submission } from './rules.ts';

/** An attachment of the largest size, as base64, and its fields. */
const maxBodyBytes = 8 * 1_024 * 1_024;

/** The body's text, or undefined when it is larger than any message. */
export async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size <= maxBodyBytes) chunks.push(chunk);
  }
  return size <= maxBodyBytes ? Buffer.concat(chunks) : undefined;
}

/** The fields of a body in any of the three forms that Pushover takes; undefined for another. */
export async function parseBody(
  contentType: string,
  body: Buffer,
): Promise<Submission | undefined> {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase();
  if (type === 'application/json') return fromJson(body.toString('utf8'));
  if (type === 'multipart/form-data') return fromMultipart(contentType, body);
  if (type !== 'application/x-www-form-urlencoded') return undefined;
  return submission(Object.fromEntries(new URLSearchParams(body.toString('utf8'))));
}

function fromJson(text: string): Submission | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const fields = Object.entries(value).filter(
    ([, field]) => field !== null && typeof field !== 'object',
  );
  return submission(Object.fromEntries(fields.map(([key, field]) => [key, String(field)])));
}

async function fromMultipart(contentType: string, body: Buffer): Promise<Submission | undefined> {
  try {
    const form = await new Response(body, { headers: { 'content-type': contentType } }).formData();
    const fields: Record<string, string> = {};
    let attachment: Attachment | undefined;
    for (const [key, value] of form) {
      if (typeof value === 'string') fields[key] = value;
      else if (key === 'attachment') attachment = { type: value.type, bytes: value.size };
    }
    return attachment === undefined ? submission(fields) : { fields, attachment };
  } catch {
    return undefined;
  }
}

function submission(fields: Fields): Submission {
  const base64 = fields['attachment_base64'];
  if (base64 === undefined) return { fields };
  const bytes = Buffer.from(base64, 'base64').length;
  return { fields, attachment: { type: fields['attachment_type'] ?? '', bytes } };
}
