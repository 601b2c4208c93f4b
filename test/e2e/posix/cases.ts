/** All cases, in the order in which they run. */
import type { Case } from './case.ts';
import { accessCases } from './cases-access.ts';
import { attributeCases } from './cases-attributes.ts';
import { dataCases } from './cases-data.ts';
import { lockCases } from './cases-locks.ts';
import { nameCases } from './cases-names.ts';
import { openCases } from './cases-open.ts';
import { pathCases } from './cases-paths.ts';
import { rangeCases } from './cases-ranges.ts';
import { timeCases } from './cases-times.ts';
import { xattrCases } from './cases-xattrs.ts';

export const CASES: readonly Case[] = [
  ...pathCases,
  ...nameCases,
  ...openCases,
  ...dataCases,
  ...rangeCases,
  ...attributeCases,
  ...timeCases,
  ...accessCases,
  ...xattrCases,
  ...lockCases,
];
