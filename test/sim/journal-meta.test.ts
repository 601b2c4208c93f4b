/** The simulation's quick engine keeps the contract of metadata, so that what runs on it means what it means on SQLite. */
import { testMetaStore } from '../../src/meta/contract/contract.ts';
import { SeededDisk } from '../../src/objects/index.ts';
import { JournalMeta } from './journal-meta.ts';

testMetaStore('metadata in a journal on a seeded disk', () =>
  JournalMeta.open(new SeededDisk({ seed: 1 }), '', 'journal'),
);
