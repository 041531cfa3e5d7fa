/** The authoring API: all that a service file imports. */
export { Fault, type FaultCode, type FaultOptions } from './core/fault.ts';
export type { HttpRequest, ReceivedMessage } from './service/call.ts';
export type { ServiceIo } from './service/io.ts';
export { Model, type ModelClass } from './service/model.ts';
export { onUndeploy, type UndeployCallback } from './service/on-undeploy.ts';
export type { OutgoingCalls, OutgoingReply, OutgoingRequest, PingResult } from './service/ports.ts';
export type { InlinePublication, PublishMeta, PublishResult } from './service/publication.ts';
export type { NewTopic, PubSub, PubSubSender } from './service/pubsub-api.ts';
export type {
  GetMessagesOptions,
  PubSubMessage,
  ReadMessagesOptions,
} from './service/pubsub-ports.ts';
export type { PubSubItem, PubSubMeta } from './service/pubsub-publication.ts';
export { Service, type ServiceRequest, type ServiceResponse } from './service/service.ts';
export type { Wsx, WsxAnswer, WsxClient, WsxClients, WsxInvokeOptions } from './service/wsx.ts';
