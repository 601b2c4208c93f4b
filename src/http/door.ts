/**
 * The HTTP door: Fastify routes requests to handlers by the route table, handlers ask the service and answer with data,
 * `send` puts the answer on the wire. The door holds no rules about files.
 *
 * One door may listen in several places, each with its own name: TCP for programs on this machine, the control socket
 * for the command line. Until there are accounts, TCP is loopback only, because whoever reaches the port can do
 * everything.
 *
 * Every error becomes a problem document, those of the parser and the router as well. What is not a Fault is a bug: it
 * is logged with its stack and answered 500 without details.
 */
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import {
  type FileService,
  type HttpMethod,
  problemOfFault,
  ROUTE_IDS,
  type Route,
  type RouteId,
  routeOf,
} from '../api/index.ts';
import { type Clock, Fault, hexOf, type Limit, type Log, limit, type Random } from '../base/index.ts';
import { problemAnswer, type Sending, send } from './exchange/answer.ts';
import { answeredFault, headersOfFault } from './exchange/answered-fault.ts';
import {
  type Arrival,
  arrivalOf,
  checkSender,
  type Entrance,
  ownHosts,
  partsOfUrl,
  setArrival,
} from './exchange/arrival.ts';
import {
  type DoorParts,
  Exchange,
  type Handler,
  type Handlers,
  type HealthFacts,
  rulesOf,
  type UrlNames,
} from './exchange/exchange.ts';
import { Pace } from './exchange/pace.ts';
import { refuseRaw } from './exchange/raw-refusal.ts';
import { SIGNING_KEY_BYTES, UrlSigner } from './exchange/signed-urls.ts';
import { dropBody } from './exchange/upload-body.ts';
import { lockTokensOf } from './exchange/write-headers.ts';
import { bulkHandlers } from './handlers/bulk-handlers.ts';
import { fileHandlers, present } from './handlers/file-handlers.ts';
import { lockHandlers } from './handlers/lock-handlers.ts';
import { snapshotHandlers } from './handlers/snapshot-handlers.ts';
import { storeHandlers } from './handlers/store-handlers.ts';
import { treeHandlers } from './handlers/tree-handlers.ts';
import { tusHandlers } from './handlers/tus-handlers.ts';
import { uploadHandlers } from './handlers/upload-handlers.ts';
import { listenOnLoopback, listenPrivately } from './listening.ts';
import { HTTP_OPTIONS_DEFAULT, type HttpOptions } from './options.ts';

/** Who asks; stands in the commit of what they do. */
export interface HttpCaller {
  readonly user: string;
  readonly door: string;
  readonly request: string;
  /** Locks that the request presents. */
  readonly lockTokens?: readonly number[] | undefined;
}

export interface HttpDoorParts {
  /** The service in the name of a caller; called once a request. */
  readonly service: (caller: HttpCaller) => FileService;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Signs URLs, SIGNING_KEY_BYTES; absent: one that lasts as long as the door. */
  readonly signingKey?: Uint8Array;
  /** What is absent has its default. */
  readonly options?: Partial<HttpOptions>;
  /** What /v1/health and the documents tell. */
  readonly info: () => Promise<HealthFacts> | HealthFacts;
}

export type ListenAddress =
  /** Port 0 takes a free one. */
  | { readonly host: string; readonly port: number; readonly door?: string }
  /** A Unix socket with mode 0600. What stands there is removed first when it is a socket: the caller holds the store. */
  | { readonly socketPath: string; readonly door?: string };

/** Where a listener really listens. */
export type ListenedAddress =
  | { readonly host: string; readonly port: number; readonly url: string }
  | { readonly socketPath: string };

export interface HttpDoor extends AsyncDisposable {
  /** @throws Fault `denied` for a host that others can reach, `exists` for a port in use, `io`. */
  listen(address: ListenAddress): Promise<ListenedAddress>;
  /**
   * Serves a connection that somebody else accepted on a Unix socket before the door listened there, as if it had come
   * to the door. Nothing of it may have been read: accept it with `pauseOnConnect`.
   */
  admit(connection: Socket): void;
  /**
   * Stops accepting, lets running requests finish, and ends what still runs after `deadlineMs`. Safe twice; asked again
   * with 0 it ends at once what still runs. Clients that keep connections open are told with their next answer that it
   * was the last, and have a moment to ask for it, so that none is cut off while it is sending.
   * Resolves when every connection is closed; answers how many requests had to be ended.
   */
  drain(deadlineMs: number): Promise<{ readonly ended: number }>;
}

type TcpAddress = Extract<ListenAddress, { host: string }>;
type SocketPathAddress = Extract<ListenAddress, { socketPath: string }>;

const USER_UNTIL_ACCOUNTS = 'owner';
/** How long a connection that stays open may bring one more request when the door closes. */
const LAST_REQUEST_MS = 200;
/** A door that closes listens on until nobody came for this long, so often at most. */
const LAST_TURN_MS = 10;
const LAST_TURNS_MAX = 50;

const HANDLERS: Handlers = {
  ...fileHandlers,
  ...treeHandlers,
  ...bulkHandlers,
  ...snapshotHandlers,
  ...lockHandlers,
  ...uploadHandlers,
  ...tusHandlers,
  ...storeHandlers,
};

export async function createHttpDoor(parts: HttpDoorParts): Promise<HttpDoor> {
  const door = new Door(parts);
  await door.prepare();
  return door;
}

type Handle = (message: IncomingMessage, response: ServerResponse) => void;

/** A request that is being answered. */
interface Running {
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
  readonly controller: AbortController;
  /** It waits for its turn among the transfers. */
  isInLine: boolean;
}

class Door implements HttpDoor {
  readonly #parts: HttpDoorParts;
  readonly #options: HttpOptions;
  readonly #doorParts: DoorParts;
  readonly #app: FastifyInstance;
  readonly #methods = new Map<string, Set<string>>();
  readonly #servers: Server[] = [];
  /** Those of them that listen on Unix sockets, by its path. */
  readonly #socketServers = new Map<string, Server>();
  readonly #connections = new Set<Socket>();
  /** All there have been. */
  #connectionCount = 0;
  readonly #running = new Map<ServerResponse, Running>();
  /** The latest request of a connection, for the look at idle ones. */
  readonly #latest = new WeakMap<Socket, Running>();
  readonly #pace: Pace<Running>;
  readonly #transfers: Limit;
  readonly #requestPrefix: string;
  #requestCount = 0;
  #handle: Handle = () => {};
  #draining: Promise<{ ended: number }> | undefined;
  #isHurried = false;
  /** While draining: something ended, look whether that was all. */
  #onEnded: (() => void) | undefined;

  constructor(parts: HttpDoorParts) {
    this.#parts = parts;
    this.#options = { ...HTTP_OPTIONS_DEFAULT, ...parts.options };
    this.#requestPrefix = hexOf(parts.random.bytes(4));
    const isDraining = (): boolean => this.#draining !== undefined;
    const signer = new UrlSigner(parts.signingKey ?? parts.random.bytes(SIGNING_KEY_BYTES), parts.clock);
    this.#doorParts = {
      clock: parts.clock,
      random: parts.random,
      options: this.#options,
      signer,
      info: parts.info,
      isDraining,
    };
    this.#app = this.#createApp();
    const { transfersMax, transfersWaitingMax, idleTimeoutMs, bytesPerSecondMin } = this.#options;
    this.#transfers = limit({ running: transfersMax, waiting: transfersWaitingMax, what: 'bringing or taking files' });
    this.#pace = new Pace(this.#running, {
      clock: parts.clock,
      windowMs: idleTimeoutMs,
      bytesPerSecondMin,
      isClientsTurn: waitsForClient,
      onSlow: (running) => this.#endSlow(running),
    });
  }

  async prepare(): Promise<void> {
    for (const id of ROUTE_IDS) this.#addRoute(id);
    await this.#app.ready();
  }

  // ---- routing

  #createApp(): FastifyInstance {
    const app = Fastify({
      // Fastify only routes: the servers are ours, because there may be several and each has its own name.
      serverFactory: (handler) => {
        this.#handle = handler as Handle;
        return createServer();
      },
      rewriteUrl: (message) => message.url ?? '/',
      routerOptions: { querystringParser: () => ({}), maxParamLength: 32 },
      genReqId: (message) => arrivalOf(message).request,
      frameworkErrors: (error, request, reply) => this.#fail(error, request.raw, reply),
      exposeHeadRoutes: false,
      logger: false,
    });
    // Bodies are ours to read: file contents stream, JSON is bounded before it is parsed.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (_request, _payload, done) => done(null));
    app.setErrorHandler((error, request, reply) => this.#fail(error, request.raw, reply));
    app.setNotFoundHandler((request, reply) => this.#fail(this.#notRouted(request.raw), request.raw, reply));
    return app;
  }

  #addRoute<Id extends RouteId>(id: Id): void {
    const route = routeOf(id);
    const handler: Handler<Id> = HANDLERS[id];
    const url = route.path.replace('{path}', '').replaceAll(/\{(id|upload|part)\}/g, ':$1');
    const hasOwnHead = ROUTE_IDS.some(
      (other) => routeOf(other).method === 'HEAD' && routeOf(other).path === route.path,
    );
    const methods: HttpMethod[] = route.method === 'GET' && !hasOwnHead ? ['GET', 'HEAD'] : [route.method];
    const known = this.#methods.get(route.path) ?? new Set();
    for (const method of methods) known.add(method);
    this.#methods.set(route.path, known);
    const kind = kindOf(route);
    const answer = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
      reply.hijack();
      const names = request.params as UrlNames;
      await this.#serve(kind, request.raw, reply.raw, (message, signal) => {
        const service = this.#serviceFor(message);
        const rules = rulesOf(id);
        return handler(new Exchange<Id>({ message, service, signal, door: this.#doorParts, rules, names }));
      });
    };
    this.#app.route({ method: methods, url, handler: answer });
  }

  #serviceFor(message: IncomingMessage): FileService {
    const { entrance, request } = arrivalOf(message);
    const lockTokens = lockTokensOf(message.headers);
    return this.#parts.service({ user: USER_UNTIL_ACCOUNTS, door: entrance.door, request, ...present({ lockTokens }) });
  }

  #notRouted(message: IncomingMessage): Fault {
    const { route } = partsOfUrl(message.url ?? '/');
    const allowed = this.#allowed(route);
    const about = { method: message.method ?? '', url: route.slice(0, 300) };
    if (allowed.length === 0) {
      return new Fault(
        'not-found',
        `There is nothing at ${JSON.stringify(about.url)}. /v1/docs lists what there is.`,
        about,
      );
    }
    const sentence = `${about.method} cannot be done at ${JSON.stringify(about.url)}; ${allowed.join(', ')} can.`;
    return new Fault('unsupported', sentence, { ...about, allowed });
  }

  #allowed(route: string): string[] {
    for (const [path, methods] of this.#methods) {
      const isIt = /\{(id|upload|part)\}/.test(path)
        ? new RegExp(`^${path.replaceAll(/\{(id|upload|part)\}/g, '[^/]+')}$`).test(route)
        : path.replace('{path}', '') === route;
      if (isIt) return [...methods];
    }
    return [];
  }

  // ---- one request

  #arrive(entrance: Entrance, message: IncomingMessage, response: ServerResponse, waits: boolean): void {
    const { route, ...parts } = partsOfUrl(message.url ?? '/');
    const request = `${this.#requestPrefix}-${(this.#requestCount++).toString(36)}`;
    const goOn = waits ? () => response.writeContinue() : undefined;
    const arrival: Arrival = { ...parts, entrance, request, goOn, bodyBytes: 0, waitingBytes: 0 };
    setArrival(message, arrival);
    message.url = route;
    const running: Running = { message, response, controller: new AbortController(), isInLine: false };
    this.#running.set(response, running);
    this.#latest.set(message.socket, running);
    this.#pace.start();
    if (this.#draining !== undefined) response.shouldKeepAlive = false;
    response.once('close', () => this.#leave(running));
    // The connection reports what happens to it; without a listener its errors would end the process.
    message.on('error', () => {});
    this.#handle(message, response);
  }

  #leave(running: Running): void {
    this.#running.delete(running.response);
    if (!running.response.writableFinished) {
      running.controller.abort(new Fault('aborted', 'The client went away.', {}));
    }
    this.#onEnded?.();
  }

  async #serve(
    kind: RequestKind,
    message: IncomingMessage,
    response: ServerResponse,
    handle: (message: IncomingMessage, signal: AbortSignal) => ReturnType<Handler<RouteId>>,
  ): Promise<void> {
    const sending = this.#sendingOf(message, response);
    using _timer = kind === 'quick' ? this.#endLate(sending) : undefined;
    try {
      checkSender(arrivalOf(message), message.headers);
      const act = async (): Promise<void> => send(await handle(message, sending.signal), sending);
      if (kind === 'transfer') await this.#inTurn(sending, act);
      else await act();
    } catch (error) {
      await this.#sendFault(error, sending);
    } finally {
      dropBody(message);
    }
  }

  #fail(error: unknown, message: IncomingMessage, reply: FastifyReply): void {
    reply.hijack();
    const refuse = (): never => {
      throw error;
    };
    void this.#serve('other', message, reply.raw, refuse);
  }

  /** When its turn comes, which it keeps until its answer is with the kernel. @throws Fault `busy` when there is no room in line. */
  async #inTurn({ response, signal }: Sending, act: () => Promise<void>): Promise<void> {
    const { transfersMax, transfersWaitingMax, transferWaitMs } = this.#options;
    if (this.#transfers.load.running < transfersMax) return this.#transfers.run(act);
    const running = this.#running.get(response);
    const tooMany = (why: string): Fault => {
      const sentence = `${transfersMax} requests bring or take files already, ${why}. Try again in a moment.`;
      return new Fault('busy', sentence, { transfers: transfersMax });
    };
    const late = new AbortController();
    const timer = this.#parts.clock.after(transferWaitMs, () =>
      late.abort(tooMany(`and none of them ended for ${transferWaitMs / 1_000} s`)),
    );
    if (running !== undefined) running.isInLine = true;
    const begin = (): Promise<void> => {
      timer[Symbol.dispose]();
      if (running !== undefined) running.isInLine = false;
      return act();
    };
    const refuse = (error: unknown): never => {
      throw Fault.is(error, 'busy') && Object.hasOwn(error.about, 'waiting')
        ? tooMany(`and ${transfersWaitingMax} wait`)
        : error;
    };
    let hasBegun = false;
    try {
      await this.#transfers.run(
        () => {
          hasBegun = true;
          return begin();
        },
        AbortSignal.any([signal, late.signal]),
      );
    } catch (error) {
      if (hasBegun) throw error;
      refuse(error);
    } finally {
      timer[Symbol.dispose]();
    }
  }

  /** What is neither sent nor asked in time is given up. */
  #endLate({ message, response }: Sending): Disposable | undefined {
    // Events go on for as long as somebody listens.
    if (/\btext\/event-stream\b/i.test(message.headers.accept ?? '')) return undefined;
    const { requestTimeoutMs } = this.#options;
    return this.#parts.clock.after(requestTimeoutMs, () => {
      const sentence = `The request took longer than ${requestTimeoutMs / 1_000} s and was given up. What it had done by then may stay.`;
      const fault = new Fault('timeout', sentence, { seconds: requestTimeoutMs / 1_000 });
      this.#running.get(response)?.controller.abort(fault);
      arrivalOf(message).breakBody?.(fault);
    });
  }

  #endSlow(running: Running): void {
    const { bytesPerSecondMin } = this.#options;
    const sentence = `The body came with less than ${bytesPerSecondMin} bytes a second and was given up.`;
    giveUp(running, new Fault('timeout', sentence, { bytes_per_second: bytesPerSecondMin }));
  }

  #sendingOf(message: IncomingMessage, response: ServerResponse): Sending {
    const { clock } = this.#parts;
    const signal = this.#running.get(response)?.controller.signal ?? AbortSignal.abort();
    return { message, response, signal, clock, options: this.#options };
  }

  /** Never rejects. Once the head is out, all that is left is to end the connection before the answer seems whole. */
  async #sendFault(error: unknown, sending: Sending): Promise<void> {
    const { message, response } = sending;
    const { request, encodedPath } = arrivalOf(message);
    const { fault, status } = answeredFault(error, message.headers);
    this.#report(error, fault, status, message);
    if (response.headersSent || response.destroyed) {
      if (!response.writableFinished) response.destroy();
      return;
    }
    const path = encodedPath === undefined ? undefined : `/${encodedPath}`;
    const problem = problemOfFault(fault, { request, status, path });
    await send(problemAnswer(problem, headersOfFault(fault, status)), sending).catch(() => response.destroy());
  }

  #report(error: unknown, fault: Fault, status: number | undefined, message: IncomingMessage): void {
    const { request, entrance } = arrivalOf(message);
    const data = {
      request,
      door: entrance.door,
      method: message.method,
      code: fault.code,
      status,
      error: fault.message,
    };
    if (!Fault.is(error) && status === 500) {
      this.#parts.log.error('http.bug', { ...data, stack: error instanceof Error ? error.stack : String(error) });
    } else if (Fault.is(error, 'corrupt', 'io', 'full', 'incompatible', 'gone')) {
      this.#parts.log.error('http.fault', { ...data, about: fault.about, cause: String(fault.cause ?? '') });
    } else this.#parts.log.debug('http.refused', data);
  }

  // ---- listening

  async listen(address: ListenAddress): Promise<ListenedAddress> {
    if (this.#draining !== undefined)
      throw new Fault('unavailable', 'The HTTP door is closing and listens no more.', {});
    return 'socketPath' in address ? this.#listenOnSocket(address) : this.#listenOnTcp(address);
  }

  async #listenOnTcp({ host, port, door = 'http' }: TcpAddress): Promise<ListenedAddress> {
    const entrance = { door, isOwnHost: (_: string): boolean => false };
    const server = this.#createServer(entrance);
    const listened = await listenOnLoopback(server, host, port);
    entrance.isOwnHost = ownHosts(listened.port, this.#options.hosts);
    this.#servers.push(server);
    this.#parts.log.info('http.listening', { door, host: listened.host, port: listened.port });
    return listened;
  }

  async #listenOnSocket({ socketPath, door = 'control' }: SocketPathAddress): Promise<ListenedAddress> {
    const server = this.#createServer({ door });
    await listenPrivately(server, socketPath);
    this.#servers.push(server);
    this.#socketServers.set(socketPath, server);
    this.#parts.log.info('http.listening', { door, socketPath });
    return { socketPath };
  }

  admit(connection: Socket): void {
    const [server] = this.#socketServers.values();
    if (server === undefined) throw new Error('Broken invariant: a door that has no Unix socket admits nobody.');
    server.emit('connection', connection);
    connection.resume();
  }

  #createServer(entrance: Entrance): Server {
    const options = this.#options;
    const server = createServer({
      noDelay: true,
      // A missing Host is answered by checkSender, with a problem document.
      requireHostHeader: false,
      maxHeaderSize: options.headerBytesMax,
      headersTimeout: options.headersTimeoutMs,
      requestTimeout: 0,
      keepAliveTimeout: options.keepAliveTimeoutMs,
      connectionsCheckingInterval: Math.min(5_000, options.headersTimeoutMs),
    });
    server.maxConnections = options.connectionsMax;
    server.timeout = options.idleTimeoutMs;
    server.on('connection', (socket) => {
      this.#connections.add(socket);
      this.#connectionCount++;
      socket.once('close', () => {
        this.#connections.delete(socket);
        this.#onEnded?.();
      });
    });
    server.on('request', (message, response) => this.#arrive(entrance, message, response, false));
    server.on('checkContinue', (message, response) => this.#arrive(entrance, message, response, true));
    server.on('clientError', (error, socket) => this.#refuse(error, socket as Socket));
    server.on('timeout', (socket) => this.#lookAtIdle(socket));
    return server;
  }

  /** The parser gave up on a connection. What came whole before is still answered, and first. */
  #refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    const latest = this.#latest.get(socket);
    if (latest === undefined || !this.#running.has(latest.response)) refuseRaw(error, socket);
    else if (latest.message.complete) latest.response.once('finish', () => refuseRaw(error, socket));
    else if (latest.response.headersSent) socket.destroy();
    else refuseRaw(error, socket);
  }

  /** A connection has stood still: it ends unless it is we who are slow. */
  #lookAtIdle(socket: Socket): void {
    const { idleTimeoutMs } = this.#options;
    const latest = this.#latest.get(socket);
    if (latest === undefined || !this.#running.has(latest.response)) {
      socket.destroy();
      return;
    }
    // Looked at again, also for a client that does not take what it is told now.
    socket.setTimeout(idleTimeoutMs);
    if (!waitsForClient(latest)) return;
    const seconds = idleTimeoutMs / 1_000;
    const sentence = `Nothing of the body came for ${seconds} s, and it was given up.`;
    giveUp(latest, new Fault('timeout', sentence, { still_seconds: seconds }));
  }

  // ---- ending

  drain(deadlineMs: number): Promise<{ readonly ended: number }> {
    if (deadlineMs <= 0) this.#isHurried = true;
    this.#draining ??= this.#drain(deadlineMs);
    this.#onEnded?.();
    return this.#draining;
  }

  async #drain(deadlineMs: number): Promise<{ ended: number }> {
    // `#draining` is set only when this function first waits; nothing before it may ask for it.
    for (const { response } of this.#running.values()) response.shouldKeepAlive = false;
    const closed = await this.#stopListening();
    await this.#until(() => this.#connections.size === 0, Math.min(LAST_REQUEST_MS, deadlineMs));
    for (const server of this.#servers) server.close();
    await this.#until(() => this.#running.size === 0, deadlineMs);
    const ended = this.#running.size;
    const reason = new Fault('unavailable', 'The server is shutting down. Try again when it is back.', {});
    for (const { controller, response } of this.#running.values()) {
      controller.abort(reason);
      response.destroy();
    }
    for (const server of this.#servers) server.closeAllConnections();
    // Those that were admitted are of no server that could wait for them.
    await Promise.all([...closed, ...[...this.#connections].map(whenClosed)]);
    this.#pace[Symbol.dispose]();
    await this.#app.close();
    this.#parts.log.info('http.drained', { ended });
    return { ended };
  }

  /** Answers what resolves when every connection is gone too. */
  async #stopListening(): Promise<readonly Promise<void>[]> {
    // First the names go and then, when all who found one are let in, the sockets: who waits in line is cut off else.
    for (const path of this.#socketServers.keys()) rmSync(path, { force: true });
    for (let turn = 0, seen = -1; turn < LAST_TURNS_MAX && seen !== this.#connectionCount && !this.#isHurried; turn++) {
      seen = this.#connectionCount;
      await new Promise((resolve) => setTimeout(resolve, LAST_TURN_MS));
    }
    return this.#servers.map((server) => {
      // An HTTP server's own close() would also close connections on which a request is just arriving.
      return new Promise<void>((resolve) => NetServer.prototype.close.call(server, () => resolve()));
    });
  }

  async #until(isSo: () => boolean, deadlineMs: number): Promise<void> {
    if (isSo() || this.#isHurried) return;
    await new Promise<void>((resolve) => {
      const timer = this.#parts.clock.after(deadlineMs, resolve);
      this.#onEnded = () => {
        if (!isSo() && !this.#isHurried) return;
        timer[Symbol.dispose]();
        resolve();
      };
    });
    this.#onEnded = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain(0);
  }
}

function whenClosed(connection: Socket): Promise<void> {
  return new Promise((resolve) => connection.once('close', () => resolve()));
}

/**
 * transfer: it brings or takes files, and its turn is waited for. quick: it has a time. other: neither, such as a list
 * that is streamed.
 */
type RequestKind = 'transfer' | 'quick' | 'other';

function kindOf({ method, body, answers }: Route): RequestKind {
  const types = Object.values(answers).map(({ type }) => type);
  const takesFiles = method !== 'HEAD' && types.some((type) => type === 'bytes' || type === 'parts');
  if (takesFiles || body?.type === 'bytes' || body?.type === 'multipart') return 'transfer';
  return types.includes('ndjson') ? 'other' : 'quick';
}

/** A client that does not move is told, where it can be; what was begun for it ends. */
function giveUp({ message, response }: Running, fault: Fault): void {
  const { breakBody } = arrivalOf(message);
  if (response.headersSent || breakBody === undefined) message.socket.destroy();
  else breakBody(fault);
}

/** True when nothing can go on before the client sends or takes more. */
function waitsForClient({ message, response, isInLine }: Running): boolean {
  if (isInLine) return false;
  if (response.writableLength > 0) return true;
  return !message.complete && message.readableLength + arrivalOf(message).waitingBytes === 0;
}
