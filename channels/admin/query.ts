import type { Context } from 'koa';
import type { InvocationView } from '../../runtime/admin/api.ts';
import { limitOf, type PageQuery } from '../../runtime/admin/page.ts';
import { parseDuration } from '../../runtime/core/duration.ts';
import { Fault } from '../../runtime/core/fault.ts';
import type { LogQuery } from '../../runtime/log/log-hub.ts';
import type { Level } from '../../runtime/log/logger.ts';
import type { MessageState } from '../../runtime/pubsub/message.ts';

/** @throws Fault `bad-request` for a parameter given several times. */
export function one(ctx: Context, name: string): string | undefined {
  const value = ctx.query[name];
  if (Array.isArray(value)) throw new Fault('bad-request', `?${name}= is given several times`);
  return value === '' ? undefined : value;
}

/** `?follow=1`, `?follow=true`. */
export function flag(ctx: Context, name: string): boolean {
  const value = one(ctx, name);
  if (value === undefined || value === '0' || value === 'false') return false;
  if (value === '1' || value === 'true') return true;
  throw new Fault('bad-request', `?${name}= must be 1 or 0`);
}

export function pageQuery(ctx: Context): PageQuery {
  return { limit: one(ctx, 'limit'), after: one(ctx, 'after') };
}

const levels: readonly string[] = ['debug', 'info', 'warn', 'error'] satisfies Level[];

export function logQuery(ctx: Context): LogQuery {
  const level = one(ctx, 'level');
  if (level !== undefined && !isLevel(level)) {
    throw new Fault('bad-request', `?level= must be one of ${levels.join(', ')}`);
  }
  const since = one(ctx, 'since');
  const [service, cid, grep] = [one(ctx, 'service'), one(ctx, 'cid'), one(ctx, 'grep')];
  return {
    limit: limitOf(one(ctx, 'limit')),
    ...(level === undefined ? {} : { level }),
    ...(service === undefined ? {} : { service }),
    ...(cid === undefined ? {} : { cid }),
    ...(grep === undefined ? {} : { grep }),
    ...(since === undefined ? {} : { since: Date.now() - parseDuration(since) }),
  };
}

function isLevel(value: string): value is Level {
  return levels.includes(value);
}

const states: readonly string[] = [
  'waiting',
  'active',
  'delayed',
  'dead',
] satisfies InvocationView['state'][];

export function stateQuery(ctx: Context): InvocationView['state'] | undefined {
  const state = one(ctx, 'state');
  if (state === undefined || isState(state)) return state;
  throw new Fault('bad-request', `?state= must be one of ${states.join(', ')}`);
}

function isState(value: string): value is InvocationView['state'] {
  return states.includes(value);
}

const messageStates: readonly string[] = [
  'waiting',
  'leased',
  'delayed',
  'dead',
] satisfies MessageState[];

export function messageStateQuery(ctx: Context): MessageState | undefined {
  const state = one(ctx, 'state');
  if (state === undefined || isMessageState(state)) return state;
  throw new Fault('bad-request', `?state= must be one of ${messageStates.join(', ')}`);
}

function isMessageState(value: string): value is MessageState {
  return messageStates.includes(value);
}

/** A parameter that may be any text. */
export function textQuery(ctx: Context, name: string): string | undefined {
  return one(ctx, name);
}

/** The revision of `If-Match: "5"`. @throws Fault `bad-request` for anything else that is given. */
export function ifMatch(ctx: Context): { readonly ifRevision?: number } {
  const header = ctx.get('If-Match');
  if (header === '') return {};
  const revision = /^"(\d{1,15})"$/.exec(header)?.[1];
  if (revision !== undefined) return { ifRevision: Number(revision) };
  throw new Fault('bad-request', 'If-Match must be a revision in quotes, such as "5"');
}
