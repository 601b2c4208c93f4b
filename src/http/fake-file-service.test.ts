/** The fake passes the contract that the real service passes, so that the door's tests rest on something. */
import { fileServiceContract } from '../api/contract.ts';
import { FakeStore } from './fake-file-service.ts';

fileServiceContract('the fake', async () => ({
  service: new FakeStore().service(),
  [Symbol.asyncDispose]: async () => {},
}));
