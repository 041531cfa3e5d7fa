import type { MessageView, QueuedView } from '../../runtime/admin/message-api.ts';
import { ago, bytes, cell, count } from '../format.ts';
import { type Column, json } from '../output.ts';

const widest = 60;

/** What was published, on one line. */
function dataText({ data, text, base64 }: MessageView): string {
  if (data !== undefined) return json(data);
  return text ?? `<${base64 ?? ''}>`;
}

function short(text: string): string {
  const line = cell(text);
  return line.length > widest ? `${line.slice(0, widest - 3)}...` : line;
}

type Shared = Pick<MessageView, 'msgId' | 'topic' | 'priority' | 'receivedAt'>;

const sharedColumns: readonly Column<Shared>[] = [
  { head: 'MSG ID', cell: ({ msgId }) => cell(msgId) },
  { head: 'TOPIC', cell: ({ topic }) => cell(topic) },
  { head: 'PRIORITY', right: true, cell: ({ priority }) => count(priority) },
  { head: 'CAME', cell: ({ receivedAt }) => ago(receivedAt) },
];

export const queuedColumns: readonly Column<QueuedView>[] = [
  ...sharedColumns,
  { head: 'STATE', cell: ({ state }) => state },
  { head: 'TRIES', right: true, cell: ({ deliveries }) => count(deliveries) },
  { head: 'FAILED', right: true, cell: ({ failures }) => count(failures) },
  { head: 'WHY', cell: ({ reason, lastError }) => short(reason ?? lastError ?? '') },
  { head: 'DATA', cell: ({ preview }) => short(preview) },
  { head: 'SIZE', wide: true, right: true, cell: ({ size }) => bytes(size) },
  { head: 'LAST ERROR', wide: true, cell: ({ lastError }) => cell(lastError) },
  { head: 'SERVICE VERSION', wide: true, cell: ({ version }) => cell(version) },
  { head: 'PUBLISHER', wide: true, cell: ({ publisher }) => cell(publisher) },
  { head: 'CID', wide: true, cell: ({ cid }) => cell(cid) },
  { head: 'AT', wide: true, cell: ({ at }) => cell(at) },
  { head: 'EXPIRES', wide: true, cell: ({ expiresAt }) => cell(expiresAt) },
];

export const takenColumns: readonly Column<MessageView>[] = [
  ...sharedColumns,
  { head: 'TRIES', right: true, cell: ({ deliveries }) => count(deliveries ?? 1) },
  { head: 'DATA', cell: (message) => short(dataText(message)) },
  { head: 'SIZE', wide: true, right: true, cell: ({ size }) => bytes(size) },
  { head: 'PUBLISHER', wide: true, cell: ({ publisher }) => cell(publisher) },
  { head: 'CID', wide: true, cell: ({ cid }) => cell(cid) },
];
