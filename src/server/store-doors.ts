/**
 * The doors of a store that this process holds: the control socket for commands on this machine, and TCP for a server.
 * The HTTP room is loaded here and nowhere else, because a short command that nobody talks to never needs it.
 */
import type { Socket } from 'node:net';
import type { Clock, Log, Random } from '../base/index.ts';
import type { HttpDoor, HttpOptions } from '../http/index.ts';
import { controlSocketOf } from './control-socket.ts';
import type { OpenStore } from './open-store.ts';
import type { ServerOptions } from './options-table.ts';
import { tellingService } from './telling-service.ts';

export interface DoorsQuestion {
  readonly store: OpenStore;
  readonly options: ServerOptions;
  /** Also listen where the options say. */
  readonly tcp: boolean;
  /** Resolves when every mount beside the doors has been told of every change so far; never rejects. Absent without mounts. */
  readonly told?: (() => Promise<void>) | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface StoreDoors extends AsyncDisposable {
  /** Where HTTP answers; absent without TCP. */
  readonly url: string | undefined;
  /** The control socket, for people. */
  readonly socket: string;
  /** Serves a connection that somebody accepted on the control socket before the doors listened there, unread. */
  admit(connection: Socket): void;
  /** Takes no new requests, waits for those under way at most `deadlineMs`, and answers how many were ended then. */
  drain(deadlineMs: number): Promise<{ readonly ended: number }>;
}

/** Refuses, before anything is opened or made, an address that a server may not have. @throws Fault `denied`. */
export async function checkAddress(options: ServerOptions): Promise<void> {
  const { loopbackOf } = await import('../http/index.ts');
  loopbackOf(options['http.host']);
}

/** Opens the doors and tells others where they are. @throws Fault `exists` for a port in use, `denied`, `io`. */
export async function openDoors(question: DoorsQuestion): Promise<StoreDoors> {
  const { store, options, told, clock, random, log } = question;
  const { createHttpDoor } = await import('../http/index.ts');
  await using building = new AsyncDisposableStack();
  const address = building.use(controlSocketOf(store.folder));
  const door: HttpDoor = building.use(
    await createHttpDoor({
      service: ({ door: name, ...caller }) => {
        const service = store.service({ door: name, ...caller });
        return told === undefined ? service : tellingService(service, told);
      },
      clock,
      random,
      log,
      signingKey: store.signingKey,
      options: httpOptionsOf(options),
      info: () => store.info(),
    }),
  );
  // First, because a port that is taken is a mistake of the caller: nobody must have been served by then.
  const tcp = question.tcp ? await door.listen({ host: options['http.host'], port: options['http.port'] }) : undefined;
  await door.listen({ socketPath: address.path });
  const url = tcp !== undefined && 'url' in tcp ? tcp.url : undefined;
  store.lock.announce({ addresses: [...(url === undefined ? [] : [url]), address.shown] });
  const owned = building.move();
  return {
    url,
    socket: address.shown,
    admit: (connection) => door.admit(connection),
    drain: (deadlineMs) => {
      store.drain();
      return door.drain(deadlineMs);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function httpOptionsOf(options: ServerOptions): Partial<HttpOptions> {
  return {
    fileBytesMax: options.max_file_size,
    jsonBytesMax: options['http.json_max'],
    batchBytesMax: options['http.batch_max'],
    bulkBytesMax: options['http.bulk_max'],
    bulkPartsMax: options['http.bulk_files_max'],
    syncEntriesMax: options['http.sync_entries_max'],
    connectionsMax: options['http.connections_max'],
    headersTimeoutMs: options['http.header_timeout'],
    idleTimeoutMs: options['http.stall_timeout'],
    bytesPerSecondMin: options['http.rate_min'],
    requestTimeoutMs: options['http.request_timeout'],
    transfersMax: options['http.transfers_max'],
    transfersWaitingMax: options['http.transfers_waiting_max'],
    transferWaitMs: options['http.transfer_wait'],
    keepAliveTimeoutMs: options['http.keep_alive'],
    hosts: options['http.allowed_hosts'],
    ...(options['http.public_url'] === undefined ? {} : { publicUrl: options['http.public_url'] }),
  };
}
