/** The file service in this process does what every FileService does. */
import { openStand } from '../../test/stand.ts';
import { fileServiceContract } from '../api/contract.ts';
import { systemClock } from '../base/index.ts';

fileServiceContract('the service in this process', () => openStand({ clock: systemClock }), { door: 'test' });
