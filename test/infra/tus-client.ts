/** tus-js-client as it is published: what a browser or a program uses to talk tus. For tests alone. */
export { DetailedError, Upload, type UploadOptions } from 'tus-js-client';
