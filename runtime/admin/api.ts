import type { FaultCode } from '../core/fault.ts';
import type { DeployedService, DeployReport } from '../deploy/unit.ts';
import type { PingResult } from '../service/ports.ts';

/*
 * The admin API, as JSON over HTTP on the admin port (127.0.0.1:11224). Every path but /healthz and
 * /readyz wants `Authorization: Bearer <token>` and a Host of 127.0.0.1, localhost or [::1].
 *
 *   GET    /healthz                                200 while the control process answers
 *   GET    /readyz                                 200 Readiness, 503 Readiness
 *   GET    /api/status                             Status
 *   POST   /api/stop                               202 {}, then drains and ends
 *   GET    /api/services                           Page<ServiceView>
 *   GET    /api/services/:name                     ServiceView with about, history, failure
 *   POST   /api/services/:name/invoke              InvokeRequest -> InvokeReply
 *   PUT    /api/files/:file?check=1                source text (text/plain) -> DeployReport; check: no swap
 *   GET    /api/deploys                            Page<DeployReport>, newest first
 *   GET    /api/definitions/:type                  Page<DefinitionView>, by name
 *   GET    /api/definitions/:type/:name            DefinitionView, ETag "<revision>"
 *   POST   /api/definitions/:type                  { name, ...spec } -> 201 DefinitionView; 409 when it exists
 *   PUT    /api/definitions/:type/:name            the whole spec; If-Match "<revision>" -> 409 when it moved
 *   PATCH  /api/definitions/:type/:name            some keys, null removes one; If-Match as above
 *   DELETE /api/definitions/:type/:name            204; If-Match as above; 409 while another names it
 *   POST   /api/definitions/:type/:name/rename     { to } -> RenameReport; topics and subscriptions
 *   GET    /api/permissions/check?security=&operation=publish|subscribe&topic=   PermissionCheck
 *   POST   /api/config/apply?dry-run=1             ApplyRequest -> ApplyReport; 400 with Problem[] as details
 *   GET    /api/config/export                      text/yaml
 *   POST   /api/outgoing/:name/ping                PingResult
 *   POST   /api/kvdb                               { command: string[] } -> { result }
 *   GET    /api/standins/:name                     { url, messages: StandinMessage[] }, newest first
 *   DELETE /api/standins/:name                     204: forgets the messages
 *   GET    /api/invocations?state=waiting|active|delayed|dead   Page<InvocationView>
 *   POST   /api/invocations/:id/retry              200 {}
 *   DELETE /api/invocations/:id                    204
 *   POST   /api/messages                           PublishRequest -> PublishReply
 *   GET    /api/messages/:msgId                    MessageView with its standing in every queue
 *   GET    /api/queues?topic=                      Page<QueueView>, by name; those that get the topic
 *   GET    /api/queues/:subscription               QueueView
 *   GET    /api/queues/:subscription/messages?state=waiting|leased|delayed|dead&topic=
 *                                                  Page<QueuedView>; consumes nothing
 *   POST   /api/queues/:subscription/take          TakeRequest -> TakeReply
 *   POST   /api/queues/:subscription/purge         PurgeRequest -> { purged }
 *   POST   /api/queues/:subscription/redrive       RedriveRequest -> RedriveReply
 *   DELETE /api/queues/:subscription/messages/:msgId   204; 409 while it is being delivered
 *   GET    /api/journeys/:id                       JourneyView, by correlation id or message id
 *   GET    /api/schedules                          Page<ScheduleView>, by name
 *   GET    /api/schedules/:name                    ScheduleView with upcoming and history
 *   POST   /api/schedules/:name/run?wait=1         runs it now -> ManualRun; wait: with how it ended
 *   GET    /api/logs?follow=1&level=&service=&cid=&grep=&since=10m&limit=   NDJSON of LogLine
 *
 * Lists take ?limit= (default 100, at most 1000) and ?after=<name>. Errors are ErrorBody.
 */

export interface ErrorBody {
  readonly error: {
    readonly code: FaultCode;
    readonly message: string;
    readonly details?: unknown;
  };
  readonly cid: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly total: number;
  /** Give it as ?after= for the next page; absent on the last. */
  readonly after?: string;
}

export interface Readiness {
  readonly ready: boolean;
  /** What is missing, in words; empty when ready. */
  readonly reasons: readonly string[];
}

export interface WorkerView {
  readonly id: number;
  readonly pid: number;
  readonly state: 'starting' | 'serving' | 'standby' | 'draining' | 'dead';
  readonly uptimeMs: number;
  readonly rssBytes: number;
  readonly heapUsedBytes: number;
  readonly inFlight: number;
  /** Requests served since it started. */
  readonly served: number;
  /** Retired service versions that are still reachable. */
  readonly retiredAlive: number;
  /** The longest stall of its event loop since the last heartbeat. */
  readonly stallMs: number;
  /** Open WebSocket connections. */
  readonly sockets: number;
}

export interface Status {
  readonly version: string;
  readonly node: string;
  readonly pid: number;
  readonly uptimeMs: number;
  readonly ready: boolean;
  readonly reasons: readonly string[];
  readonly channelsUrl: string;
  readonly adminUrl: string;
  readonly redis: {
    readonly url: string;
    readonly embedded: boolean;
    readonly up: boolean;
    readonly version?: string;
  };
  /** The definitions' revision. */
  readonly revision: number;
  readonly services: { readonly deployed: number; readonly failed: number };
  /** Why files of the services folder do not serve as they are there. */
  readonly failures: DeployReport['failures'];
  readonly workers: readonly WorkerView[];
  /** Workers that ended and were replaced, since the start. */
  readonly replaced: number;
}

export interface ServiceView extends DeployedService {
  readonly state: 'ok' | 'failed';
  /** Why the file's newest version is not the one that serves. */
  readonly failure?: DeployReport['failures'][number];
  readonly deployedAt: string;
  readonly calls: number;
  readonly errors: number;
  readonly inFlight: number;
  /** Only from the route of one service. */
  readonly about?: unknown;
  readonly history?: readonly {
    readonly version: number;
    readonly hash: string;
    readonly at: string;
  }[];
  readonly channels?: readonly string[];
}

export interface InvokeRequest {
  readonly input?: unknown;
  /** Store it and answer with an id instead of waiting. */
  readonly async?: boolean;
  readonly timeoutMs?: number;
  readonly cid?: string;
}

export interface InvokeReply {
  readonly cid: string;
  readonly service: string;
  readonly version: number;
  readonly ms: number;
  readonly payload?: unknown;
  /** For an async call. */
  readonly id?: string;
}

/** The definition's own keys, beside these three. */
export interface DefinitionView {
  readonly name: string;
  readonly revision: number;
  readonly updatedAt: string;
  readonly [key: string]: unknown;
}

export interface ApplyRequest {
  /** Shown in problems: `hence.yaml`. */
  readonly file: string;
  readonly text: string;
}

export interface ApplyReport {
  readonly revision: number;
  readonly changes: readonly {
    readonly action: 'created' | 'changed' | 'unchanged';
    readonly type: string;
    readonly name: string;
  }[];
}

export interface RenameReport {
  readonly revision: number;
  /** As it is kept. */
  readonly name: string;
  /** The old one, the new one, and what named the old one. */
  readonly changes: readonly {
    readonly action: 'created' | 'changed' | 'unchanged' | 'deleted';
    readonly type: string;
    readonly name: string;
  }[];
}

export interface PermissionCheck {
  readonly security: string;
  readonly operation: 'publish' | 'subscribe';
  readonly topic: string;
  readonly allowed: boolean;
  /** What matched. */
  readonly pattern?: string;
  /** The permission that has it. */
  readonly permission?: string;
  /** A sentence. */
  readonly why: string;
}

export interface Problem {
  /** `hence.yaml:31:5` */
  readonly where: string;
  readonly message: string;
}

export interface StandinMessage {
  /** ISO 8601. */
  readonly at: string;
  readonly title: string;
  readonly message: string;
  /** The body exactly as it came. */
  readonly body: string;
  /** What was answered. */
  readonly status: number;
  readonly reply: unknown;
}

export interface InvocationView {
  readonly id: string;
  readonly service: string;
  readonly cid: string;
  readonly state: 'waiting' | 'active' | 'delayed' | 'dead';
  readonly attempts: number;
  readonly reason?: string;
  readonly createdAt: string;
}

export interface LogLine {
  /** ISO 8601. */
  readonly time: string;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly cid?: string;
  readonly service?: string;
  readonly [fact: string]: unknown;
}

export type { DeployReport, PingResult };
