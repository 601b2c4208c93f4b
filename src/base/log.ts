/**
 * What operators read: one line an event, a stable event name, plain data. Rooms get a Log through their constructor;
 * where lines go and how they look is the composition root's choice.
 */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export interface LogEvent {
  readonly level: LogLevel;
  /** `room.what`, stable, for searching: `chunks.pack-sealed`. */
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Log {
  debug(event: string, data?: Readonly<Record<string, unknown>>): void;
  info(event: string, data?: Readonly<Record<string, unknown>>): void;
  warn(event: string, data?: Readonly<Record<string, unknown>>): void;
  error(event: string, data?: Readonly<Record<string, unknown>>): void;
}

/** A log that hands every event at or above `level` to `sink`. */
export function logTo(sink: (event: LogEvent) => void, level: LogLevel = 'info'): Log {
  const least = LOG_LEVELS.indexOf(level);
  const at =
    (own: LogLevel) =>
    (event: string, data: Readonly<Record<string, unknown>> = {}): void => {
      if (LOG_LEVELS.indexOf(own) >= least) sink({ level: own, event, data });
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

export const silentLog: Log = logTo(() => {}, 'error');
