/** http: the door of the HTTP API, and the way of a Node client through it. */
export {
  createHttpDoor,
  type HttpCaller,
  type HttpDoor,
  type HttpDoorParts,
  type ListenAddress,
  type ListenedAddress,
} from './door.ts';
export type { HealthFacts } from './exchange/exchange.ts';
export { bodyChecker } from './exchange/query.ts';
export { loopbackOf } from './listening.ts';
export { type NodeTransport, type NodeTransportOptions, nodeTransport } from './node-transport.ts';
export { HTTP_OPTIONS_DEFAULT, type HttpOptions } from './options.ts';
