/**
 * Two sorted streams side by side, one pair at a time: what is only left, only right, or in both. Nothing is gathered,
 * so two trees of a million files are compared in the memory of two entries.
 */

export type Stream<T> = Iterable<T> | AsyncIterable<T>;

export type Pair<L, R> =
  | { readonly left: L; readonly right: R }
  | { readonly left: L; readonly right?: undefined }
  | { readonly left?: undefined; readonly right: R };

/** Both streams must rise strictly by `order`; both are closed when the consumer stops. */
export async function* mergeSorted<L, R>(
  left: Stream<L>,
  right: Stream<R>,
  order: (left: L, right: R) => number,
): AsyncGenerator<Pair<L, R>, void> {
  const [lefts, rights] = [iteratorOf(left), iteratorOf(right)];
  try {
    let [l, r] = [await lefts.next(), await rights.next()];
    while (l.done !== true || r.done !== true) {
      let side = 0;
      if (l.done !== true && r.done !== true) {
        side = order(l.value, r.value);
        if (side === 0) yield { left: l.value, right: r.value };
        else yield side < 0 ? { left: l.value } : { right: r.value };
      } else if (l.done !== true) {
        side = -1;
        yield { left: l.value };
      } else if (r.done !== true) {
        side = 1;
        yield { right: r.value };
      }
      if (side <= 0) l = await lefts.next();
      if (side >= 0) r = await rights.next();
    }
  } finally {
    await lefts.return?.();
    await rights.return?.();
  }
}

function iteratorOf<T>(stream: Stream<T>): Iterator<T, void> | AsyncIterator<T, void> {
  return Symbol.asyncIterator in stream ? stream[Symbol.asyncIterator]() : stream[Symbol.iterator]();
}
