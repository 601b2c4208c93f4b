/** One change on its way through an engine: what it asks, what it has drawn, and the rows it has come across. */
import type { Moment } from '../../base/index.ts';
import type { CommitNumber } from '../ids.ts';
import type { Change } from '../meta-store.ts';
import type { SpaceRow } from '../rows/rows.ts';
import type { Overlay } from './overlay.ts';

export interface Run {
  readonly change: Change;
  readonly overlay: Overlay;
  /** As it was before the change. */
  readonly space: SpaceRow | undefined;
  /** Its own commit's number, or the head for a change without a record. */
  readonly number: CommitNumber;
  /** When what it displaces died. */
  readonly died: CommitNumber;
  /** Of the commit `number`. */
  readonly time: Moment;
}
