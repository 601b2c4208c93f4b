/**
 * A value now or a promise of it. Reads of metadata answer either, so that an embedded engine answers without a trip
 * through the event loop. `andThen` keeps that: it calls on at once when the value is there.
 */

export type Maybe<T> = T | Promise<T>;

export function isPromise<T>(value: Maybe<T>): value is Promise<T> {
  return value instanceof Promise;
}

export function andThen<T, U>(value: Maybe<T>, next: (value: T) => Maybe<U>): Maybe<U> {
  return isPromise(value) ? value.then(next) : next(value);
}

/** What `act` answers, now or later; what it throws or rejects with is `handle`'s to answer or to throw on. */
export function rescue<T>(act: () => Maybe<T>, handle: (error: unknown) => Maybe<T>): Maybe<T> {
  try {
    const value = act();
    return isPromise(value) ? value.catch(handle) : value;
  } catch (error) {
    return handle(error);
  }
}
